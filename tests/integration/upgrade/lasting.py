# SPDX-License-Identifier: Apache-2.0
"""What is open while a gateway is replaced: exchanges that last, and a client that keeps its connection."""

from __future__ import annotations

import asyncio
import hashlib

from tests.integration.bad_days.load import Bench
from tests.integration.reload.streams import PAUSE, LongOrigin, Open


class Lasting(Open):
    """An upload, a stream, a WebSocket, and one that asks again and again, told when to connect anew."""

    def __init__(self, bench: Bench, port: int, origin: LongOrigin) -> None:
        # One upload at a time is summed up.
        origin.account.uploaded = hashlib.sha256()
        origin.stop.clear()
        self.connected = 0
        self._origin = origin
        super().__init__(bench, port)

    def is_under_way(self) -> bool:
        """Whether each of them has got somewhere."""
        return min(self.upload_bytes, self.echoes, self.asked) > 0

    def end(self) -> None:
        """Ends them in order; anything that was lost is an assertion."""
        self._origin.finish()
        self.finish()
        assert self.problems == []
        assert self.answer.decode() == self.uploaded.hexdigest()
        assert self.lines[-2:] == [b"end", b""]
        assert [int(line) for line in self.lines[:-2]] == list(range(len(self.lines) - 2))

    async def _ask(self) -> None:
        reader, writer = await self._connect()
        self.connected += 1
        while not self._ending:
            path = b"/steady/%d" % self.asked
            writer.write(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert await reader.readexactly(len(path)) == path
            self.asked += 1
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await self._connect()
                self.connected += 1
            await asyncio.sleep(PAUSE)
        writer.close()
