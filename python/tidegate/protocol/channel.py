# SPDX-License-Identifier: Apache-2.0
"""The blocking end of a conversation, with a deadline on every call."""

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tidegate.protocol.frames import MAX_DESCRIPTORS, Decoder, Message, ProtocolError, check, encode
from tidegate.protocol.sockets import connect, sender_of

_CHUNK = 1 << 16


class Channel:
    """A connected Unix stream socket that carries frames, one call at a time.

    Attributes:
        sender: Process identifier, user and group behind the last message, as the kernel says;
            None unless `identify` was called before.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = Decoder()
        self._ready: list[Message] = []
        self._next = 1
        self.sender: tuple[int, int, int] | None = None

    @classmethod
    def to(cls, path: Path, timeout: float = 5.0) -> Self:
        """Connects to the Unix socket at `path`.

        Raises:
            OSError: Nobody is there, or may not be spoken to.
        """
        return cls(connect(path, timeout))

    def identify(self) -> None:
        """Asks the kernel to say from now on who sends."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends one message.

        Raises:
            ProtocolError: The peer is gone, or the message breaks a limit.
        """
        if len(descriptors) > MAX_DESCRIPTORS:
            raise ProtocolError(f"{len(descriptors)} descriptors are over the limit of {MAX_DESCRIPTORS}")
        frame = encode(message)
        try:
            sent = socket.send_fds(self._socket, [frame], list(descriptors))
            if sent < len(frame):
                self._socket.sendall(memoryview(frame)[sent:])
        except OSError as error:
            raise ProtocolError(f"the other process is gone: {error}") from error

    def receive(self, timeout: float) -> Message:
        """Waits up to `timeout` seconds for the next message.

        Raises:
            ProtocolError: None came in time, the peer has closed, or it broke the protocol.
        """
        deadline = time.monotonic() + timeout
        while not self._ready:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ProtocolError(f"no answer within {timeout:g} s")
            self._socket.settimeout(left)
            try:
                # Room for every descriptor of a frame and the sender's credentials.
                space = socket.CMSG_SPACE(4 * MAX_DESCRIPTORS) + socket.CMSG_SPACE(12)
                data, ancillary, _, _ = self._socket.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
            except TimeoutError:
                continue
            except OSError as error:
                raise ProtocolError(f"the other process is gone: {error}") from error
            self.sender = sender_of(ancillary) or self.sender
            descriptors = _descriptors(ancillary)
            if not data:
                raise ProtocolError("the other process closed the connection")
            self._ready = self._decoder.feed(data, descriptors)
        return self._ready.pop(0)

    def call(
        self, kind: str, /, *, timeout: float = 10.0, descriptors: Sequence[int] = (), **fields: Any
    ) -> Message:
        """Sends a request and returns its reply.

        Args:
            kind: The request's `type`.
            timeout: Seconds to wait.
            descriptors: Sent along.
            **fields: The rest of the request.

        Raises:
            Refused: The peer answered with problems.
            ProtocolError: It did not answer.
        """
        number = self._next
        self._next += 1
        self.send({"id": number, "type": kind, **fields}, descriptors)
        deadline = time.monotonic() + timeout
        while True:
            reply = self.receive(max(deadline - time.monotonic(), 0))
            if reply.get("id") == number:
                return check(reply)

    def take(self, count: int) -> list[int]:
        """Takes descriptors that came with messages; the caller owns them."""
        return self._decoder.take(count)

    def close(self) -> None:
        """Closes the connection and every descriptor that nobody took."""
        self._decoder.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            size = len(data) - len(data) % 4
            found += [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, size, 4)]
    return found


def close_all(descriptors: Sequence[int]) -> None:
    """Closes each descriptor."""
    for descriptor in descriptors:
        os.close(descriptor)
