# SPDX-License-Identifier: Apache-2.0
"""The live side: origin servers that say what they saw, and a client that asks by bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from .requests import Asked

_CONNECTIONS = 8


@dataclass(frozen=True)
class Seen:
    """What came back, and what the origin server was sent."""

    status: int
    location: str | None
    endpoint: str | None
    head: list[str] | None


class Origins:
    """A few origin servers that answer with the head they got."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.addresses: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Origins:
        for _ in range(self._count):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
            self.addresses.append(f"{host}:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        await close(*self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("sockname")[:2]
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")[:-2]
                body = json.dumps({"endpoint": f"{host}:{port}", "head": lines}).encode()
                length = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n".encode()
                # A response to HEAD has no body: what was seen goes into a field as well.
                told = json.dumps([f"{host}:{port}", lines]).encode("unicode_escape")
                writer.write(length + b"X-Seen: " + told + b"\r\n\r\n")
                if not head.startswith("HEAD "):
                    writer.write(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._writers.discard(writer)
            await close(writer)


async def close(*writers: asyncio.StreamWriter) -> None:
    """Closes connections whose other side may be gone already."""
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, method: str) -> tuple[Seen, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    if method != "HEAD":
        await reader.readexactly(int(fields.get("content-length", "0")))
    told = fields.get("x-seen")
    endpoint, lines = json.loads(told.encode().decode("unicode_escape")) if told else (None, None)
    seen = Seen(int(head[0].split()[1]), fields.get("location"), endpoint, lines)
    return seen, fields.get("connection") == "close"


async def _ask_in_turn(port: int, asked: Sequence[Asked]) -> list[Seen]:
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    answers = []
    for request in asked:
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        writer.write(request.wire())
        async with asyncio.timeout(10):
            seen, is_last = await _read(reader, request.method)
        answers.append(seen)
        if is_last:
            await close(writer)
            connection = None
    if connection is not None:
        await close(connection[1])
    return answers


async def ask(port: int, asked: Sequence[Asked]) -> list[Seen]:
    """Sends every request over a few kept connections; answers in the order of the requests."""
    parts = await asyncio.gather(
        *(_ask_in_turn(port, asked[first::_CONNECTIONS]) for first in range(_CONNECTIONS))
    )
    answers: list[Seen | None] = [None] * len(asked)
    for first, part in enumerate(parts):
        answers[first::_CONNECTIONS] = part
    return [answer for answer in answers if answer is not None]
