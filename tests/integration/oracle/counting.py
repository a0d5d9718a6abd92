# SPDX-License-Identifier: Apache-2.0
"""Services that note each key they are asked for, and clients that ask for a hundred thousand in a row."""

from __future__ import annotations

import asyncio
from functools import partial

_ASK = b"GET /?k=%d HTTP/1.1\r\nHost: h\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_END = b"\r\n\r\n"
_AT_ONCE = 50
"""Requests that a client sends before it reads."""


class Counters:
    """Services that answer every request with nothing, and note its key.

    Attributes:
        addresses: Where each listens.
        seen: The keys each was asked for, in order, as often as it was.
    """

    def __init__(self, count: int) -> None:
        self.addresses: list[str] = []
        self.seen: list[list[int]] = [[] for _ in range(count)]
        self._servers: list[asyncio.Server] = []
        self.transports: set[asyncio.BaseTransport] = set()

    async def __aenter__(self) -> Counters:
        loop = asyncio.get_running_loop()
        for seen in self.seen:
            server = await loop.create_server(partial(_Service, self, seen), "127.0.0.1", 0)
            self._servers.append(server)
            self.addresses.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for transport in self.transports:
            transport.close()

    def homes(self, keys: int) -> list[int]:
        """The service that was asked for each of the keys 0, 1, 2..., each once; forgets what was seen."""
        found = [(key, service) for service, seen in enumerate(self.seen) for key in seen]
        for seen in self.seen:
            seen.clear()
        assert sorted(key for key, _ in found) == [*range(keys)]
        return [service for _, service in sorted(found)]


class _Service(asyncio.Protocol):
    def __init__(self, counters: Counters, seen: list[int]) -> None:
        self._counters, self._seen, self._rest = counters, seen, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._counters.transports.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._counters.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(_END)
        for head in heads:
            self._seen.append(int(head[len(b"GET /?k=") : head.index(b" ", 4)]))
            self._transport.write(_ANSWER)


async def ask_for(port: int, keys: int, connections: int) -> None:
    """Asks for the keys 0, 1, 2..., a few at once on each connection."""
    left = iter(range(0, keys, _AT_ONCE))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for first in left:
            asked = range(first, min(first + _AT_ONCE, keys))
            writer.write(b"".join(_ASK % key for key in asked))
            async with asyncio.timeout(60):
                await _ends(reader, len(asked))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(connections)))


async def _ends(reader: asyncio.StreamReader, count: int) -> None:
    """Reads so many answers; what they say is the services' to tell."""
    for _ in range(count):
        await reader.readuntil(_END)
