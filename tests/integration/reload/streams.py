# SPDX-License-Identifier: Apache-2.0
"""Exchanges that last: an upload, a stream and a WebSocket, and an origin that keeps account of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass, field

from tests.integration.bad_days.load import Bench

PIECE = 1024
PAUSE = 0.02
"""Seconds between two pieces: what makes these exchanges last."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Account:
    """What the origin saw."""

    connections: int = 0
    requests: int = 0
    checks: int = 0
    uploaded: hashlib._Hash = field(default_factory=hashlib.sha256)
    upload_bytes: int = 0

    @property
    def kept(self) -> int:
        """Connections for requests: each check makes one of its own."""
        return self.connections - self.checks


class LongOrigin:
    """`/upload` answers the digest of a chunked body, `/stream` counts until told to stop, `/ws` echoes."""

    def __init__(self, bench: Bench) -> None:
        self.account = Account()
        self.stop = asyncio.Event()
        self._bench = bench
        self._server = bench.run(self._listen())
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def close(self) -> None:
        """Listens no more."""
        self._bench.loop.call_soon_threadsafe(self._server.close)

    def finish(self) -> None:
        """Ends the streams."""
        self._bench.loop.call_soon_threadsafe(self.stop.set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.account.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                if path == b"/upload":
                    await self._upload(reader, writer)
                elif path == b"/stream":
                    await self._stream(writer)
                elif path == b"/ws":
                    await self._echo(head, reader, writer)
                    return
                elif path == b"/healthz":
                    self.account.checks += 1
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                else:
                    self.account.requests += 1
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gateway has closed it
        finally:
            writer.close()

    async def _upload(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            data = await reader.readexactly(size + 2)
            self.account.uploaded.update(data[:-2])
            self.account.upload_bytes += size
        await reader.readuntil(b"\r\n")
        digest = self.account.uploaded.hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + digest)

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        number = 0
        while not self.stop.is_set():
            line = b"%d\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
            number += 1
            await asyncio.sleep(PAUSE)
        writer.write(b"4\r\nend\n\r\n0\r\n\r\n")

    async def _echo(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key.split(b":", 1)[1].strip() + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-accept: %b\r\n\r\n" % accept
        )
        while True:
            # RFC 6455 §5.2: a client's frames are masked, a server's are not.
            first, length = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            payload = await reader.readexactly(length & 0x7F)
            plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
            writer.write(bytes([first, len(plain)]) + plain)
            await writer.drain()


class Open:
    """The clients of the three, and one that asks again and again on one connection; all on `port`."""

    def __init__(self, bench: Bench, port: int) -> None:
        self.uploaded = hashlib.sha256()
        self.upload_bytes = 0
        self.answer = b""
        self.lines: list[bytes] = []
        self.echoes = 0
        self.asked = 0
        self.problems: list[str] = []
        self._bench = bench
        self._port = port
        self._ending = False
        work = (self._upload, self._stream, self._websocket, self._ask)
        self._tasks = [asyncio.run_coroutine_threadsafe(self._guard(each), bench.loop) for each in work]

    def finish(self) -> None:
        """Ends them in order and waits; the origin's streams must have been told."""
        self._ending = True
        for task in self._tasks:
            task.result(60)

    async def _guard(self, work: object) -> None:
        assert callable(work)
        try:
            await work()
        except (OSError, asyncio.IncompleteReadError, AssertionError, ValueError) as error:
            self.problems.append(f"{getattr(work, '__name__', work)}: {error!r}")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _upload(self) -> None:
        reader, writer = await self._connect()
        writer.write(b"POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        while not self._ending:
            piece = os.urandom(PIECE)
            self.uploaded.update(piece)
            self.upload_bytes += PIECE
            writer.write(b"%x\r\n%b\r\n" % (PIECE, piece))
            await writer.drain()
            await asyncio.sleep(PAUSE)
        writer.write(b"0\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        self.answer = await reader.readexactly(64)
        writer.close()

    async def _stream(self) -> None:
        reader, writer = await self._connect()
        writer.write(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        text = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            text += (await reader.readexactly(size + 2))[:-2]
        self.lines = text.split(b"\n")
        writer.close()

    async def _websocket(self) -> None:
        reader, writer = await self._connect()
        key = base64.b64encode(os.urandom(16))
        writer.write(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: %b\r\n\r\n" % key
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert base64.b64encode(hashlib.sha1(key + _GUID).digest()) in head
        while not self._ending:
            text, mask = b"echo %d" % self.echoes, os.urandom(4)
            masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
            writer.write(bytes([0x81, 0x80 | len(text)]) + mask + masked)
            got = await reader.readexactly(2 + len(text))
            assert got[2:] == text, got
            self.echoes += 1
            await asyncio.sleep(PAUSE)
        writer.close()

    async def _ask(self) -> None:
        reader, writer = await self._connect()
        while not self._ending:
            path = b"/steady/%d" % self.asked
            writer.write(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert await reader.readexactly(len(path)) == path
            self.asked += 1
            await asyncio.sleep(PAUSE)
        writer.close()
