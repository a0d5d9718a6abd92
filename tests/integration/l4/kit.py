# SPDX-License-Identifier: Apache-2.0
"""Servers and clients of plain TCP, and a small gateway between them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from tidegate.testing import RunningGateway, gateway, wait_until

TIMEOUT: Final = 30.0
Serve = Callable[[socket.socket], None]


def echo(connection: socket.socket) -> None:
    """Sends back what comes until the end, then ends."""
    while piece := connection.recv(65536):
        connection.sendall(piece)


def named(name: bytes) -> Serve:
    """Says its name at once, and waits for the end."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(name)
        while connection.recv(65536):
            pass

    return serve


class Server:
    """A TCP server, on loopback by default; `serve` runs for each connection in a thread of its own."""

    def __init__(self, serve: Serve = echo, host: str = "127.0.0.1") -> None:
        self._serve = serve
        self._listening = socket.create_server((host, 0))
        self.address = f"{host}:{self._listening.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.settimeout(TIMEOUT)
            self.connections.append(connection)
            threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)

    def close(self) -> None:
        """Ends the server and every connection."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def between(
    *servers: Server | str,
    listener: str = "",
    route: str = "",
    backend: str = "",
    settings: str = "",
    more: str = "",
) -> RunningGateway:
    """A gateway with one listener of TCP, one backend over `servers` and one route; the texts go inside."""
    addresses = [each if isinstance(each, str) else each.address for each in servers]
    listed = ", ".join(f'"{each}"' for each in addresses)
    text = f"""
gateway: {{ {settings} }}
listeners: {{ db: {{ port: 0, protocol: tcp, {listener} }} }}
backends: {{ b: {{ endpoints: [{listed}], {backend} }} }}
routes:
  - {{ name: r, type: tcp, listeners: db, to: b, {route} }}
{more}"""
    return gateway(text, threads=1)


def client(running: RunningGateway, *, source: str | None = None, listener: str = "db") -> socket.socket:
    """A connection to the gateway, from `source` of loopback if given."""
    own = (source, 0) if source else None
    return socket.create_connection(("127.0.0.1", running.ports[listener]), TIMEOUT, own)


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end.

    Raises:
        ConnectionResetError: It was reset instead.
    """
    return b"".join(iter(lambda: connection.recv(65536), b""))


def reset(connection: socket.socket) -> None:
    """Closes by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def greeting(running: RunningGateway, *, source: str | None = None, listener: str = "db") -> bytes:
    """What a server that names itself says to a new connection; empty if that is reset or closed."""
    try:
        with client(running, source=source, listener=listener) as connection:
            return connection.recv(64)
    except ConnectionError:  # it may come before the connection is told to be there
        return b""


def entry(running: RunningGateway, number: int = 0) -> dict[str, Any]:
    """A line of the access log, by when it was written."""
    return running.log(number + 1)[number]


def open_connections(running: RunningGateway) -> int:
    """Connections that the listeners have now."""
    return sum(each["connections"] for each in running.status()["listeners"])


def wait_for(condition: Callable[[], object]) -> None:
    """Waits for it, and fails if it does not come."""
    assert wait_until(condition, TIMEOUT)
