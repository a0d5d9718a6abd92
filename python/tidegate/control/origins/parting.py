# SPDX-License-Identifier: Apache-2.0
"""Processes that no backend wants any more: they finish what they have, and end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from tidegate.protocol import Message, ProtocolError, Refused

LOOK: Final = 0.1
"""Seconds between two looks at what the node knows."""


class Hands(Protocol):
    """What it takes to see a process off."""

    async def supervisor(self, kind: str, /, **fields: Any) -> Message:
        """Asks the supervisor."""

    async def node_says(self, backend: str, address: str) -> dict[str, Any] | None:
        """What the node knows of an endpoint; None when it has no request there."""

    async def is_draining(self) -> bool:
        """Whether a node that was replaced still has requests."""


async def idle(hands: Hands, backend: str, address: str, deadline: float) -> None:
    """Waits until no request is under way at an endpoint that gets no new ones, or until `deadline`."""
    while time.monotonic() < deadline:
        said = await hands.node_says(backend, address)
        is_idle = said is None or (said["draining"] and not said["in_flight"])
        if is_idle and not await hands.is_draining():
            return
        await asyncio.sleep(LOOK)


class Partings:
    """Every process whose backend is gone, or has other endpoints now."""

    def __init__(self, hands: Hands) -> None:
        """Takes what it works with."""
        self._hands = hands
        self._under_way: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def begin(self, entry: Mapping[str, Any]) -> None:
        """Has a process end after its requests.

        Args:
            entry: As the supervisor tells it; nothing happens if it is ending already.
        """
        address, backend = str(entry["address"]), str(entry["backend"])
        if entry["leaving"] or address in self._under_way:
            return
        task = asyncio.create_task(self._part(backend, address, entry["drain_timeout_ms"] / 1000))
        self._under_way[address] = backend, task

    async def stay(self, backend: str) -> None:
        """The processes of a backend are wanted again, those that have not been told to end."""
        for address, (found, task) in list(self._under_way.items()):
            if found == backend:
                del self._under_way[address]
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def backends(self) -> set[str]:
        """Whose processes these are."""
        return {backend for backend, _ in self._under_way.values()}

    async def close(self) -> None:
        """Looks after them no more; the next control goes on."""
        for backend in self.backends():
            await self.stay(backend)

    async def _part(self, backend: str, address: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        # A request that was on its way there when it left the list is counted by then.
        await asyncio.sleep(LOOK)
        # Without a supervisor there is nobody to end it; the next one starts another control.
        with contextlib.suppress(ProtocolError, Refused):
            await idle(self._hands, backend, address, deadline)
            await self._hands.supervisor("process.stop", address=address)
            self._under_way.pop(address, None)
