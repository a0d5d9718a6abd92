# SPDX-License-Identifier: Apache-2.0
"""A client that speaks TLS, and configurations for it."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tidegate.testing import RunningGateway, wait_until

TIMEOUT = 30.0
HERE = {"path": "/", "to": {"respond": {"status": 200, "body": "here"}}}


def configuration(listener: dict[str, object], *routes: object, **more: object) -> str:
    """A configuration with one listener, `web`."""
    text = {"gateway": {"threads": 1, "admin": {"port": 60_999}}, "listeners": {"web": listener}}
    return json.dumps({**text, "routes": list(routes) or [HERE], **more})


def connect(running: RunningGateway) -> socket.socket:
    """A connection without TLS."""
    return socket.create_connection(("127.0.0.1", running.port), TIMEOUT)


@contextmanager
def secured(
    running: RunningGateway,
    context: ssl.SSLContext,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Iterator[ssl.SSLSocket]:
    """A connection with TLS."""
    with context.wrap_socket(connect(running), server_hostname=name, session=session) as wrapped:
        yield wrapped


class Sealer:
    """TLS for a client that sends its bytes itself, so that it can send them in pieces."""

    def __init__(self, context: ssl.SSLContext, bare: socket.socket) -> None:
        """Nothing is sent yet on `bare`, a connection without TLS."""
        self._bare = bare
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def shake(self, send: Callable[[bytes], object]) -> None:
        """The handshake; `send` gets what is to be sent."""
        while True:
            try:
                self._inner.do_handshake()
                break
            except ssl.SSLWantReadError:
                send(self._outgoing.read())
                self._incoming.write(self._bare.recv(65_536))
        send(self._outgoing.read())

    def seal(self, text: bytes) -> bytes:
        """What is to be sent for `text`."""
        self._inner.write(text)
        return self._outgoing.read()

    def read_until(self, end: bytes) -> bytes:
        """What comes, up to and including `end`."""
        seen = b""
        while not seen.endswith(end):
            self._incoming.write(self._bare.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                seen += self._inner.read(65_536)
        return seen


def request(path: str = "/", host: str = "localhost", method: str = "GET", more: str = "") -> bytes:
    """A request's head."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def response(connected: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next response that has a length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connected.recv(1)
        assert piece, f"the connection ended after {head!r}"
        head += piece
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    body = bytearray()
    while len(body) < length:
        piece = connected.recv(length - len(body))
        assert piece, "the body was cut"
        body += piece
    return head, bytes(body)


def ask(connected: socket.socket, **parts: str) -> tuple[bytes, bytes]:
    """One request and its response."""
    connected.sendall(request(**parts))
    return response(connected)


def entries(running: RunningGateway, count: int, listener: str = "web") -> list[dict[str, Any]]:
    """The log's entries of a listener, once there are `count`."""

    def found() -> list[dict[str, Any]]:
        return [entry for entry in running.log() if entry["listener"] == listener]

    assert wait_until(lambda: len(found()) >= count, TIMEOUT)
    return found()


def failed(running: RunningGateway, reason: str) -> int:
    """Handshakes that failed for a reason, by the metrics."""
    with socket.create_connection(("127.0.0.1", running.ports["admin"]), TIMEOUT) as admin:
        admin.sendall(request("/metrics"))
        text = response(admin)[1].decode()
    start = f'tidegate_tls_handshakes_failed_total{{reason="{reason}"}} '
    return next(int(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))
