# SPDX-License-Identifier: Apache-2.0
"""Tells the node how the sources of endpoints are, for `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tidegate.protocol import ProtocolError, Refused

PACE: Final = 5.0
"""Seconds between two tellings while nothing changes."""
_REST: Final = 0.1
"""Seconds that a source which fails and works by turns is not told again."""
States = Callable[[], dict[str, dict[str, Any]]]
"""By backend: `{"kind", "endpoints", "failures", "is_failing", "age_ms"}`."""
Call = Callable[..., Any]


class Telling:
    """Sends `sources.set` when a source has begun or ceased to work, and every few seconds."""

    def __init__(self, states: States, call: Call) -> None:
        """Takes what it works with.

        Args:
            states: What there is to tell.
            call: `Node.call`.
        """
        self._states = states
        self._call = call
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def soon(self) -> None:
        """Something has changed, or there is another node."""
        self._changed.set()

    async def close(self) -> None:
        """Tells nothing any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        has_told = False
        while True:
            states = self._states()
            # Where no backend has a source, there is nothing to be told, but that the last one went.
            if states or has_told:
                try:
                    await self._call("sources.set", timeout=PACE, sources=states)
                    has_told = bool(states)
                except (ProtocolError, Refused):
                    # It is away, or older than this message: the next one may know it.
                    pass
            await asyncio.sleep(_REST)
            try:
                async with asyncio.timeout(PACE):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
