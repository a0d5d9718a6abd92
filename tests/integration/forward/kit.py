# SPDX-License-Identifier: Apache-2.0
"""Servers that are asked through a forward proxy, clients of it, and configurations for it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tidegate.testing import RunningGateway, gateway

TIMEOUT = 30.0
Answer = Callable[["Asked"], bytes]
PASSWORD = "open: sesame"


def hashed(password: str, iterations: int) -> str:
    """A hash by PBKDF2 that is checked in no time."""
    salt = os.urandom(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    texts = [base64.b64encode(each).decode().rstrip("=") for each in (salt, digest)]
    return f"$pbkdf2-sha256$i={iterations}${texts[0]}${texts[1]}"


HASH = hashed(PASSWORD, 1_000)


class Asked:
    """One request as it came."""

    def __init__(self, head: bytes, body: bytes, client: tuple[str, int]) -> None:
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.fields = [tuple(line.split(": ", 1)) for line in lines if line]
        self.body, self.client = body, client

    def get(self, name: str) -> str | None:
        """The first field of a name in lower case."""
        return next((value for own, value in self.fields if own.lower() == name), None)


def plain(asked: Asked) -> bytes:
    """Tells the request line, and keeps the connection."""
    body = asked.line.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Own: 1\r\n\r\n%s" % (len(body), body)


class Origin:
    """An HTTP/1.1 server that notes what it is asked, on `address` of loopback by default."""

    def __init__(self, answer: Answer = plain, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listening = socket.create_server((address, port), family=family)
        self.port: int = self._listening.getsockname()[1]
        self.authority = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self._answer = answer
        self.asked: list[Asked] = []
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, client = self._listening.accept()
            except OSError:
                return
            connection.settimeout(TIMEOUT)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection, client[:2]], daemon=True).start()

    def _serve(self, connection: socket.socket, client: tuple[str, int]) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as stream:
            while head := self._head(stream):
                asked = Asked(head, b"", client)
                asked.body = self._body(stream, asked)
                self.asked.append(asked)
                connection.sendall(self._answer(asked))

    @staticmethod
    def _head(stream: Any) -> bytes:
        lines = []
        while (line := stream.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    @staticmethod
    def _body(stream: Any, asked: Asked) -> bytes:
        if (length := asked.get("content-length")) is not None:
            return bytes(stream.read(int(length)))
        body = b""
        while asked.get("transfer-encoding") == "chunked":
            size = int(stream.readline(), 16)
            body += stream.read(size)
            while (line := stream.readline()) not in (b"\r\n", b""):
                asked.fields.append(("trailer of", line.decode().strip()))
            if size == 0:
                break
        return body

    def close(self) -> None:
        """Ends it."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT)
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def loopback(*servers: Origin) -> list[dict[str, Any]]:
    """Rules that allow everything, and these servers although they are on loopback."""
    ports = [server.port for server in servers]
    rule = {"addresses": ["127.0.0.0/8", "::1"], "ports": ports}
    return [{"hosts": "*"}, *([rule] if ports else [])]


def proxy(
    *servers: Origin,
    listener: dict[str, Any] | None = None,
    backends: dict[str, Any] | None = None,
    **forward: Any,
) -> RunningGateway:
    """A gateway with one forward proxy, `out`, that may ask `servers`."""
    forward.setdefault("allow", loopback(*servers))
    own = {"address": "127.0.0.1", "port": 0, "protocol": "forward", "forward": forward, **(listener or {})}
    gate = {"threads": 1, "admin": {"port": 60_999}}
    text = {"gateway": gate, "listeners": {"out": own}, "backends": backends or {}}
    return gateway(json.dumps(text), threads=1)


def curl(
    running: RunningGateway, *arguments: str, scheme: str = "http", host: str = "127.0.0.1"
) -> subprocess.CompletedProcess[str]:
    """What curl says through the proxy; its last line is the status of the proxy's answer to CONNECT, and of
    the last answer."""
    port = running.ports["out"]
    command = ["curl", "-sS", "-m", "20", "--noproxy", "", "-x", f"{scheme}://{host}:{port}"]
    told = ["-w", "\n%{http_connect} %{http_code}"]
    return subprocess.run(
        [*command, *told, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def status(answer: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """The statuses of the answer to CONNECT and of the last one; 0 where there was none."""
    connect, last = answer.stdout.rsplit("\n", 1)[-1].split()
    return int(connect), int(last)


def raw(running: RunningGateway, *pieces: bytes) -> bytes:
    """All that the proxy says to these bytes on a connection of their own, up to its end."""
    with socket.create_connection(("127.0.0.1", running.ports["out"]), TIMEOUT) as connection:
        for piece in pieces:
            connection.sendall(piece)
        with suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def ask(running: RunningGateway, target: str, *fields: str, method: str = "GET") -> tuple[int, str]:
    """Status and text of the answer to a request with this very target."""
    host = target.split("/")[2] if "://" in target else target
    host = host if host and not target.startswith(("/", "*", ":")) else "x"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    answer = raw(running, "\r\n".join([*lines, "", ""]).encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    number = head[9:12]
    return int(number) if number.isdigit() else 0, body.decode("latin-1")


def tunnel(running: RunningGateway, authority: str, *fields: str) -> socket.socket:
    """A connection on which CONNECT was answered by 200."""
    connection = socket.create_connection(("127.0.0.1", running.ports["out"]), TIMEOUT)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *fields, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, head
        head += piece
    assert head.startswith(b"HTTP/1.1 200 "), head
    return connection
