# SPDX-License-Identifier: Apache-2.0
"""One end of a conversation, driven by the supervisor's loop."""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tidegate.protocol import Decoder, Message, ProtocolError, encode
from tidegate.supervisor.loop import READ, WRITE, Loop, Timer

_CHUNK = 1 << 16

Answer = Callable[[Message | None], None]
"""Called with the reply, or with None when the peer is gone or silent."""


@dataclass
class _Call:
    message: Message
    descriptors: Sequence[int]
    answer: Answer
    timeout: float
    timer: Timer | None = field(default=None, repr=False)


class Peer:
    """A connection over which both sides may ask.

    Calls go out one at a time, each after the reply to the one before: the node tells which
    descriptors belong to which frame by what arrives together.
    """

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        on_request: Callable[[Message], None] | None = None,
        on_close: Callable[[str], None] | None = None,
    ) -> None:
        """Takes a connected Unix stream socket.

        Args:
            loop: What calls back.
            connection: Closed by `close`.
            on_request: Called with each message that is no reply.
            on_close: Called once, with the reason, when the peer closes or breaks the protocol.
        """
        self._loop = loop
        self._socket = connection
        self._socket.setblocking(False)
        self._decoder = Decoder()
        self._calls: deque[_Call] = deque()
        self._out: deque[tuple[bytes, Sequence[int]]] = deque()
        self._number = 0
        self._on_request = on_request
        self._on_close = on_close
        self.is_open = True
        loop.watch(connection.fileno(), self._ready)

    def call(
        self,
        kind: str,
        /,
        answer: Answer,
        *,
        descriptors: Sequence[int] = (),
        timeout: float = 10.0,
        **fields: object,
    ) -> None:
        """Asks; `answer` gets the reply, or None after `timeout` seconds or when the peer is gone."""
        if not self.is_open:
            answer(None)
            return
        self._number += 1
        message: Message = {"id": self._number, "type": kind, **fields}
        self._calls.append(_Call(message, descriptors, answer, timeout))
        if len(self._calls) == 1:
            self._start()

    def send(self, message: Message) -> None:
        """Sends a reply, or a message that asks for none."""
        if self.is_open:
            self._out.append((encode(message), ()))
            self._flush()

    def receive_rest(self) -> None:
        """Handles what a peer that has ended sent before."""
        # All of it is there. An end may never come: nobody had taken the connection from its queue yet.
        while self.is_open and self._receive():
            pass

    def close(self) -> None:
        """Closes the connection; calls under way are answered with None, `on_close` is not called."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.unwatch(self._socket.fileno())
        self._decoder.close()
        self._socket.close()
        calls, self._calls = self._calls, deque()
        for call in calls:
            if call.timer is not None:
                call.timer.cancel()
            call.answer(None)

    def _start(self) -> None:
        call = self._calls[0]
        call.timer = self._loop.after(call.timeout, lambda: self._fail("it did not answer"))
        self._out.append((encode(call.message), call.descriptors))
        self._flush()

    def _fail(self, reason: str) -> None:
        was_open = self.is_open
        self.close()
        if was_open and self._on_close is not None:
            self._on_close(reason)

    def _ready(self, events: int) -> None:
        if events & READ:
            self._receive()
        if self.is_open and events & WRITE:
            self._flush()

    def _receive(self) -> bool:
        """Reads once; returns whether there was anything."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _CHUNK, 200)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(str(error))
            return False
        if not data:
            self._fail("it closed the connection")
            return False
        try:
            messages = self._decoder.feed(data, descriptors)
        except ProtocolError as error:
            self._fail(str(error))
            return False
        for message in messages:
            if self.is_open:
                self._dispatch(message)
        return True

    def _dispatch(self, message: Message) -> None:
        if "type" in message:
            if self._on_request is not None:
                self._on_request(message)
            return
        if not self._calls or message.get("id") != self._calls[0].message["id"]:
            return
        call = self._calls.popleft()
        if call.timer is not None:
            call.timer.cancel()
        call.answer(message)
        if self._calls and self._calls[0].timer is None and self.is_open:
            self._start()

    def _flush(self) -> None:
        while self._out:
            data, descriptors = self._out[0]
            try:
                sent = socket.send_fds(self._socket, [data], list(descriptors))
            except BlockingIOError:
                break
            except OSError as error:
                self._fail(str(error))
                return
            if sent < len(data):
                # The descriptors went with the first byte.
                self._out[0] = (data[sent:], ())
            else:
                self._out.popleft()
        self._loop.watch(self._socket.fileno(), self._ready, READ | WRITE if self._out else READ)
