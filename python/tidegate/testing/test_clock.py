# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from tidegate.testing import FakeClock


def test_sleepers_wake_in_order_at_their_own_moments() -> None:
    async def body() -> list[tuple[str, float]]:
        clock, woken = FakeClock(), list[tuple[str, float]]()

        async def sleep(name: str, *naps: float) -> None:
            for nap in naps:
                await clock.sleep(nap)
                woken.append((name, clock.now))

        tasks = [asyncio.create_task(sleep("a", 5, 5)), asyncio.create_task(sleep("b", 7, 100))]
        await asyncio.sleep(0)
        await clock.advance(4)
        assert woken == []
        await clock.advance(6)
        for task in tasks:
            task.cancel()
        return woken

    assert asyncio.run(body()) == [("a", 5.0), ("b", 7.0), ("a", 10.0)]


def test_both_clocks_move_together() -> None:
    async def body() -> None:
        clock = FakeClock(wall=1000)
        await clock.advance(2.5)
        assert (clock.monotonic(), clock.time()) == (2.5, 1002.5)

    asyncio.run(body())
