# SPDX-License-Identifier: Apache-2.0
"""Fake endpoints: origin servers on loopback that answer as scripted and keep every byte they were sent.

They are threads and blocking sockets on purpose: a script reads from top to bottom, and a test without an
event loop can use one. Start with `endpoint`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from .messages import Malformed, Message, Reader


@dataclass(frozen=True)
class Reply:
    """A well-formed response. Only what is written here is sent, no Date above all.

    `body` is framed by Content-Length unless `headers` name a framing; `interim` are informational statuses
    sent before it. Connection is added where the request makes it necessary.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b"ok\n"
    interim: Sequence[int] = ()

    def encode(self, request: Message) -> bytes:
        """The bytes to answer `request` with; a HEAD request gets no body."""
        head = "".join(f"HTTP/1.1 {status} Interim\r\n\r\n" for status in self.interim)
        head += f"HTTP/1.1 {self.status} Reply\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        names = {name.lower() for name, _ in self.headers}
        framed = names & {"content-length", "transfer-encoding"} or self.status in (101, 204, 304)
        if "connection" not in names and self.status != 101:
            head += "" if keeps_alive(request) else "connection: close\r\n"
            head += (
                "connection: keep-alive\r\n" if keeps_alive(request) and request.version == "HTTP/1.0" else ""
            )
        head += "\r\n" if framed else f"content-length: {len(self.body)}\r\n\r\n"
        return head.encode("latin-1") + (b"" if request.method == "HEAD" else self.body)


def keeps_alive(request: Message) -> bool:
    """Whether the client wants the connection to go on (RFC 9112 §9.3)."""
    if request.version == "HTTP/1.0":
        return request.lists("connection", "keep-alive")
    return not request.lists("connection", "close")


Answer = Reply | int | bytes
Respond = Answer | Sequence[Answer] | Callable[[Message], Answer]


@dataclass(frozen=True)
class Script:
    """What an endpoint does with each request.

    Args:
        respond: a reply, a status, raw bytes, a list of those (one per request, the last one repeated) or a
            function of the request.
        raw: sent in place of a response, whatever it is; then the connection is closed unless `half_close`.
        fail: a status to answer everything with; `refuse` closes the port; `silent` reads and never answers.
        delay: seconds before the response, or an event to wait for (at most 30 s).
        cut_at: sends that many bytes of the response, then closes.
        reset: ends the connection by RST in place of FIN, after the response or at `cut_at`.
        half_close: shuts its sending side after the response and goes on reading.
        trickle: sends that many bytes at a time, each as a packet of its own, 1 ms apart.
        early: answers as soon as the head arrived, before the body.
        keep: whether the connection stays open for another request.
        tls: what it speaks TLS by.
        says_end: whether inside of TLS it says that what it sent is all (RFC 8446 §6.1) before it closes.
    """

    respond: Respond = Reply()
    raw: bytes | None = None
    fail: int | Literal["refuse", "silent"] | None = None
    delay: float | threading.Event | None = None
    cut_at: int | None = None
    reset: bool = False
    half_close: bool = False
    trickle: int | None = None
    early: bool = False
    keep: bool = True
    tls: ssl.SSLContext | None = None
    says_end: bool = True

    def answer(self, request: Message, number: int) -> bytes:
        """The bytes to answer the endpoint's `number`th request (from 0) with."""
        if self.raw is not None:
            return self.raw
        answer = self.fail if isinstance(self.fail, int) else self.respond
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Sequence) and not isinstance(answer, bytes):
            answer = answer[min(number, len(answer) - 1)]
        if isinstance(answer, int):
            answer = Reply(answer)
        return answer if isinstance(answer, bytes) else answer.encode(request)


@dataclass(frozen=True)
class Agreed:
    """What a TLS handshake came to.

    Attributes:
        version: Such as `TLSv1.3`.
        protocol: By ALPN; `None` where there was none.
        is_resumed: Whether an earlier session was taken up again.
    """

    version: str | None
    protocol: str | None
    is_resumed: bool


@dataclass
class Connection:
    """One connection that an endpoint accepted: all bytes received, and the requests they made up."""

    number: int
    raw: bytearray = field(default_factory=bytearray)
    messages: list[Message] = field(default_factory=list)
    malformed: str | None = None
    """Why the bytes stopped being HTTP/1.1, if they did."""
    unfinished: bytes = b""
    """What arrived of a message that is not whole yet."""
    closed: bool = False
    upgraded: bytearray = field(default_factory=bytearray)
    """What arrived after a 101."""
    agreed: Agreed | None = None
    """What was agreed on in its TLS handshake, once that is over."""
    failed: str | None = None
    """Why there was no TLS, if there was none."""


class FakeEndpoint:
    """A running endpoint; use `endpoint(...)`. Attributes may be read at any time, from any thread."""

    def __init__(self, script: Script, address: str = "127.0.0.1", port: int = 0) -> None:
        """Binds `port` of `address` at once, a free one for 0."""
        self.script = script
        self.connections: list[Connection] = []
        self._changed = threading.Condition()
        self._served = 0
        self._sockets: set[socket.socket] = set()
        self._closing = False
        self._socket = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.host, self.port = self._socket.getsockname()[:2]
        if script.fail == "refuse":
            self._socket.close()
        else:
            self._socket.listen(512)
            threading.Thread(target=self._accept, name=f"endpoint-{self.port}", daemon=True).start()

    @property
    def address(self) -> str:
        """`IP:port`, as an endpoint is written in a configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """`http://IP:port`, or `https://IP:port`."""
        return f"http{'s' if self.script.tls else ''}://{self.address}"

    @property
    def messages(self) -> list[Message]:
        """Every whole request that arrived, in order of connections."""
        with self._changed:
            return [message for connection in self.connections for message in connection.messages]

    def begin(self, script: Script) -> None:
        """Takes another script and forgets what was recorded; open connections stay."""
        with self._changed:
            self.script = script
            self._served = 0
            self.connections = [connection for connection in self.connections if not connection.closed]
            for connection in self.connections:
                connection.raw.clear()
                connection.messages.clear()

    def wait(self, condition: Callable[[FakeEndpoint], object], timeout: float = 30.0) -> bool:
        """Waits until `condition(self)` holds, looking whenever something arrives.

        Returns:
            Whether it did, within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                if not self._changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    return False
        return True

    def wait_for(self, messages: int, timeout: float = 30.0) -> list[Message]:
        """Waits for that many whole requests and returns all.

        Raises:
            TimeoutError: when fewer arrived in `timeout` seconds.
        """
        if not self.wait(lambda _: len(self.messages) >= messages, timeout):
            raise TimeoutError(f"{len(self.messages)} of {messages} requests arrived: {self.messages!r}")
        return self.messages

    def drop_connections(self) -> None:
        """Closes every open connection, as a server that restarts does."""
        with self._changed:
            sockets = list(self._sockets)
        for connected in sockets:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the port and every connection."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.drop_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The condition's lock is an RLock, so `messages` may be read inside `wait`.

    def _accept(self) -> None:
        while not self._closing:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            with self._changed:
                connection = Connection(len(self.connections))
                self.connections.append(connection)
                self._sockets.add(connected)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(connected, connection), daemon=True).start()

    def _serve(self, connected: socket.socket, connection: Connection) -> None:
        reader = Reader("request")
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected = self._secure(connected, connection)
            self._read(connected, connection, reader)
            if isinstance(connected, ssl.SSLSocket) and self.script.says_end and not self.script.reset:
                connected.settimeout(1.0)
                connected.unwrap()
        except OSError:
            pass  # the gateway may reset at any time
        finally:
            with self._changed:
                self._sockets.discard(connected)
                # Closed before it is said so: whoever waited for `closed` may rely on it.
                connected.close()
                connection.closed = True
                self._changed.notify_all()

    def _secure(self, connected: socket.socket, connection: Connection) -> socket.socket:
        """The socket to speak HTTP on.

        Raises:
            OSError: There was no TLS.
        """
        if self.script.tls is None:
            return connected
        try:
            secured = self.script.tls.wrap_socket(connected, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:
            with self._changed:
                connection.failed = str(error)
                self._changed.notify_all()
            raise
        with self._changed:
            # Wrapping has taken the descriptor over.
            self._sockets.discard(connected)
            self._sockets.add(secured)
            connection.agreed = Agreed(
                secured.version(), secured.selected_alpn_protocol(), bool(secured.session_reused)
            )
            self._changed.notify_all()
        return secured

    def _read(self, connected: socket.socket, connection: Connection, reader: Reader) -> None:
        continued = answered_early = False
        while data := connected.recv(65536):
            with self._changed:
                connection.raw += data
                if reader.upgraded:
                    connection.upgraded += data
                    self._changed.notify_all()
                    connected.sendall(data)
                    continue
                try:
                    arrived = [] if connection.malformed else reader.feed(data)
                except Malformed as error:
                    connection.malformed, arrived = str(error), []
                connection.messages += arrived
                connection.unfinished = reader.rest
                self._changed.notify_all()
            if connection.malformed:
                connected.sendall(b"HTTP/1.1 400 Malformed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            for message in arrived:
                if not answered_early and not self._respond(connected, message, reader):
                    return
                continued = answered_early = False
            head = reader.head
            if head is not None and self.script.early and not answered_early:
                answered_early = True
                if not self._respond(connected, head, reader):
                    return
            elif (
                head is not None
                and head.lists("expect", "100-continue")
                and not continued
                and not answered_early
            ):
                continued = True
                connected.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _respond(self, connected: socket.socket, message: Message, reader: Reader) -> bool:
        """Answers one request; returns whether the connection goes on."""
        with self._changed:
            script, number = self.script, self._served
            self._served += 1
        if script.fail == "silent":
            return True
        if isinstance(script.delay, threading.Event):
            script.delay.wait(30)
        elif script.delay is not None:
            threading.Event().wait(script.delay)
        data = script.answer(message, number)
        cut = data if script.cut_at is None else data[: script.cut_at]
        if script.trickle is None:
            connected.sendall(cut)
        else:
            for start in range(0, len(cut), script.trickle):
                connected.sendall(cut[start : start + script.trickle])
                threading.Event().wait(0.001)
        if script.reset:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if script.half_close:
            connected.shutdown(socket.SHUT_WR)
            return True
        if data.startswith(b"HTTP/1.1 101 "):
            reader.upgraded = True
            return True
        return script.keep and keeps_alive(message) and script.cut_at is None and script.raw is None


def endpoint(
    respond: Respond = Reply(),
    *,
    raw: bytes | None = None,
    fail: int | Literal["refuse", "silent"] | None = None,
    delay: float | threading.Event | None = None,
    cut_at: int | None = None,
    reset: bool = False,
    half_close: bool = False,
    trickle: int | None = None,
    early: bool = False,
    keep: bool = True,
    address: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    says_end: bool = True,
) -> FakeEndpoint:
    """Starts a fake endpoint on a port of `address`, a free one for 0; see `Script` for the arguments.

    Example:
        >>> with endpoint(respond=Reply(204, body=b"")) as upstream:
        ...     upstream.address.startswith("127.0.0.1:")
        True
    """
    script = Script(respond, raw, fail, delay, cut_at, reset, half_close, trickle, early, keep, tls, says_end)
    return FakeEndpoint(script, address, port)
