# SPDX-License-Identifier: Apache-2.0
"""The stock service: what the scanners in the warehouse ask. A line in, a line out, over plain TCP.

`python -m shop.stock --address 127.0.1.71 --port 9000`, then `echo lamp | curl -sm 1 telnet://127.0.1.71:9000`.
"""

from __future__ import annotations

import argparse
import asyncio
from itertools import count

from shop.requestlog import RequestLog
from shop.serve import add_place, told_to_stop
from shop.settings import Settings

SHELVES = {"lamp": ("A1", 12), "rope": ("B4", 140), "compass": ("A2", 7), "kettle": ("C3", 23)}
"""By sku, the shelf and how many are on it."""
LINE_LIMIT = 256
"""Octets of a line; a barcode has a dozen."""
IDLE = 300.0


def answer(sku: str, settings: Settings) -> str:
    """What a scanner shows: `lamp: 12 on shelf A1 (stock-1, az-1)`."""
    shelf, number = SHELVES.get(sku, ("", 0))
    found = f"{number} on shelf {shelf}" if shelf else f"unknown; try {', '.join(SHELVES)}"
    return f"{sku}: {found} ({settings.instance}, {settings.zone})"


class Lines:
    """Answers line by line for as long as a connection lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = count(1)
        self._log = RequestLog(settings.logs / f"{settings.instance}.jsonl", settings.instance, settings.zone)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it ends with the client's side, or with a line that is none."""
        try:
            while line := await _line(reader):
                sku = line.decode("ascii").strip()
                self._log.request(next(self._numbers), "LINE", sku, {})
                writer.write(answer(sku, self._settings).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # Gone, too long, not ASCII, or silent: a scanner comes again.
        finally:
            writer.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE):
        return await reader.readline()


async def _main(arguments: argparse.Namespace) -> None:
    lines = Lines(Settings.from_environment("stock"))
    server = await asyncio.start_server(
        lines.serve, arguments.address, arguments.port, limit=LINE_LIMIT, backlog=512
    )
    await told_to_stop(arguments.until_input_ends).wait()
    server.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="shop.stock", description="Answer the warehouse's scanners.")
    add_place(parser)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
