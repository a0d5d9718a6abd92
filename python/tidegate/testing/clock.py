# SPDX-License-Identifier: Apache-2.0
"""Time that stands still until a test moves it, for Python code that takes its clock as an argument.

The node has a clock of its own in its own process, which nothing moves from outside: shorten the timeouts of
the configuration instead.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """Stands in for `time.monotonic`, `time.time` and `asyncio.sleep`.

    Attributes:
        now: Seconds since the clock was made.
    """

    def __init__(self, wall: float = 1_760_000_000.0) -> None:
        """`wall` is the Unix time in seconds that the clock starts at."""
        self.now = 0.0
        self._wall = wall
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Seconds, as `time.monotonic`."""
        return self.now

    def time(self) -> float:
        """Unix time in seconds, as `time.time`."""
        return self._wall + self.now

    async def sleep(self, seconds: float) -> None:
        """Waits until `advance` has moved the clock that far."""
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + max(seconds, 0), next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Moves the clock on and wakes whoever slept until then, in order, each at its own moment."""
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, moment)
            if not future.done():
                future.set_result(None)
            # Whoever woke may sleep again before `end`, and must be seen.
            for _ in range(3):
                await asyncio.sleep(0)
        self.now = end
