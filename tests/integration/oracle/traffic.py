# SPDX-License-Identifier: Apache-2.0
"""Origin servers that say which they are, and clients that ask ten thousand times in a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from tests.integration.explained.live import close

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Origins:
    """Servers that answer every request with two digits: their position. `/hold` is answered on `release`.

    Args:
        count: How many.
        delays: How long each takes to answer, in seconds; not at all without it.
    """

    def __init__(self, count: int, delays: Sequence[float] = ()) -> None:
        self._delays = [*delays] or [0.0] * count
        self.held: list[int] = []
        self.addresses: list[str] = []
        self._count = count
        self._release = asyncio.Event()
        self._changed = asyncio.Condition()
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Origins:
        for position in range(self._count):
            server = await asyncio.start_server(functools.partial(self._serve, position), "127.0.0.1", 0)
            self._servers.append(server)
            self.addresses.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release.set()
        for server in self._servers:
            server.close()
        await close(*self._writers)

    def keep(self, writer: asyncio.StreamWriter) -> None:
        """Keeps a client's connection until the end."""
        self._writers.add(writer)

    async def wait_held(self, count: int) -> list[int]:
        """The positions of the servers that hold a request, once there are so many."""
        async with self._changed:
            async with asyncio.timeout(20):
                await self._changed.wait_for(lambda: len(self.held) >= count)
        return self.held

    async def _serve(self, position: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /hold"):
                    async with self._changed:
                        self.held.append(position)
                        self._changed.notify_all()
                    await self._release.wait()
                if self._delays[position]:
                    await asyncio.sleep(self._delays[position])
                writer.write(_HEAD + b"%02d" % position)
        self._writers.discard(writer)
        await close(writer)


def backend(addresses: Sequence[str], weights: Sequence[int], balancing: Any) -> dict[str, Any]:
    """A gateway with one backend of these endpoints."""
    endpoints = [
        {"address": address, "weight": weight} for address, weight in zip(addresses, weights, strict=True)
    ]
    return {
        "listeners": {"web": {"address": "127.0.0.1", "port": 80}},
        "backends": {"b": {"endpoints": endpoints, "balancing": balancing}},
        "routes": [{"path": "/", "to": "b"}],
    }


async def ask(port: int, requests: int, connections: int = 1) -> list[int]:
    """The positions of the servers that answered, in order of the answers."""
    answers: list[int] = []
    left = iter(range(requests))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            async with asyncio.timeout(20):
                answers.append(await _answer(reader))
        await close(writer)

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers


async def ask_anew(port: int, requests: int) -> list[int]:
    """The same with a new connection for each, one after the other."""
    return [position for _ in range(requests) for position in await ask(port, 1)]


async def hold_one_more(port: int, origins: Origins, number: int) -> None:
    """Sends a request that is answered at the end only; back when it is the `number`-th that is held."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    origins.keep(writer)
    writer.write(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
    await origins.wait_held(number)


@contextlib.asynccontextmanager
async def holding(port: int, origins: Origins, requests: int, target: str = "/hold") -> Any:
    """Keeps so many requests in flight; yields the positions of the servers that have them."""
    writers = []
    for _ in range(requests):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        writers.append(writer)
    try:
        yield await origins.wait_held(requests)
    finally:
        await close(*writers)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return int(await reader.readexactly(2))
