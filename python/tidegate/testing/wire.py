# SPDX-License-Identifier: Apache-2.0
"""A client that sends exactly the bytes it is told and keeps exactly what comes back."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .messages import Malformed, Message, Reader


class Wire:
    """One TCP connection to a gateway, by bytes.

    Sending and receiving go on together, so neither side can block the other. `received` is everything that
    came back; `responses` what the strict reader made of it; `closed` is `fin`, `reset` or None.
    """

    def __init__(self, address: tuple[str, int], *, timeout: float = 30.0) -> None:
        """Connects; every wait of this connection ends after `timeout` seconds."""
        self.timeout = timeout
        self.received = bytearray()
        self.reader = Reader("response")
        self.malformed: str | None = None
        self.closed: str | None = None
        self._pending = bytearray()
        self._socket = socket.create_connection(address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    @property
    def responses(self) -> list[Message]:
        """Every whole response so far, informational ones included."""
        return self.reader.messages

    @property
    def final_responses(self) -> list[Message]:
        """Every whole response but the informational ones (101 counts as final)."""
        return [message for message in self.responses if message.status >= 200 or message.status == 101]

    def send(self, data: bytes, *methods: str) -> None:
        """Sends `data`, waiting until it is all handed to the kernel or the peer has closed.

        `methods` are those of the requests whose responses will follow; they matter for HEAD alone.
        """
        for method in methods:
            self.reader.expect(method)
        self._pending += data
        self._run(lambda: not self._pending)

    def wait_final(self, count: int) -> bool:
        """Waits until `count` final responses are whole; False when the peer closed or time ran out first."""
        return self._run(lambda: len(self.final_responses) >= count)

    def wait_bytes(self, needle: bytes) -> bool:
        """Waits until `needle` was received."""
        return self._run(lambda: needle in self.received)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Waits until the peer closed or reset the connection."""
        return self._run(lambda: self.closed is not None, timeout)

    def shutdown(self) -> None:
        """Closes the sending side."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = self.closed or "reset"

    def reset(self) -> None:
        """Closes by RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Closes both sides."""
        self._selector.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        end = time.monotonic() + (self.timeout if timeout is None else timeout)

        while not done():
            if self.closed is not None:
                return False
            self._selector.modify(
                self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)
            )
            ready = self._selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                return bool(done())
            for _, events in ready:
                if events & selectors.EVENT_READ:
                    self._receive()
                if events & selectors.EVENT_WRITE and self._pending and self.closed is None:
                    self._transmit()
        return True

    def _transmit(self) -> None:
        try:
            del self._pending[: self._socket.send(self._pending[:262144])]
        except BlockingIOError:
            pass
        except OSError:
            # What the peer sent before it closed must still be read.
            self._pending.clear()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            self.closed = "reset"
            self._pending.clear()
            return
        try:
            if data:
                self.received += data
                if self.malformed is None:
                    self.reader.feed(data)
            else:
                self.closed = "fin"
                self._pending.clear()
                if self.malformed is None:
                    self.reader.end()
        except Malformed as error:
            self.malformed = str(error)
