# SPDX-License-Identifier: Apache-2.0
"""Whether a process serves, found out from outside."""

from __future__ import annotations

import asyncio
import contextlib

_QUESTION = b"HEAD / HTTP/1.0\r\nUser-Agent: tidegate\r\n\r\n"
"""Whatever it is answered with will do; without `Host` no application takes it for a visitor's."""

_PAUSE = 0.1
"""Seconds between two attempts."""


async def serves(address: str, *, asks: bool, patience: float) -> None:
    """Waits until a server serves at `address`; the arguments are those of `accepts`."""
    while True:
        if await accepts(address, asks=asks, patience=patience):
            return
        await asyncio.sleep(_PAUSE)


async def accepts(address: str, *, asks: bool, patience: float) -> bool:
    """Whether a server takes connections at `address`, and answers one request of HTTP if `asks`.

    The second matters for servers that listen before they have loaded their application: a connection alone
    says nothing of it.

    Args:
        patience: Seconds for the answer.
    """
    host, _, port = address.rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, int(port))
            if not asks:
                return True
            writer.write(_QUESTION)
            await writer.drain()
            return await reader.readexactly(5) == b"HTTP/"
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
