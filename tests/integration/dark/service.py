# SPDX-License-Identifier: Apache-2.0
"""A service that writes down the identifier of each request as it comes, and answers it a little later.

    python service.py LOG MILLISECONDS ADDRESS:PORT...

It prints `ready` once it listens. `GET /PREFIX/ID` and `POST /PREFIX/ID` get a 200 with `ID` as the body;
`/healthz` gets one at once and is not written down. The log has an identifier per line, written before the
answer is, so that it tells what came even of a process that was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys

HEALTHY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Exchange(asyncio.Protocol):
    """One connection, without pipelining: a proxy sends the next request after the answer."""

    def __init__(self, log: int, delay: float) -> None:
        self._log = log
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        # The load sends bodies of its identifier alone.
        identifier = head.split(b" ", 2)[1].rpartition(b"/")[2]
        if head.startswith(b"POST") and len(body) < len(identifier):
            return
        self._received = b""
        if identifier == b"healthz":
            self._transport.write(HEALTHY)
            return
        os.write(self._log, identifier + b"\n")
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(identifier), identifier)
        asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)


async def main() -> None:
    """Listens until it is killed."""
    path, milliseconds, *addresses = sys.argv[1:]
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop = asyncio.get_running_loop()
    delay = float(milliseconds) / 1000
    for address in addresses:
        host, _, port = address.rpartition(":")
        await loop.create_server(lambda: Exchange(log, delay), host, int(port), backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
