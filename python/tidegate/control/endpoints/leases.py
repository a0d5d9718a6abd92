# SPDX-License-Identifier: Apache-2.0
"""Endpoints that registered themselves, and how long they may stay unheard of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tidegate.control.endpoints.roster import MOST, REGISTRATION, Entry, Roster, checked, refused
from tidegate.events import Events

SHORTEST_MS: Final = 1_000
LONGEST_MS: Final = 86_400_000
_LOOK: Final = 0.25
"""Seconds between two looks at which leases have ended."""


class Leases:
    """The leases of one gateway. A restart of control gives each its whole time again."""

    def __init__(
        self, roster: Roster, events: Events, turn: asyncio.Lock, give: Callable[[], Awaitable[bool]]
    ) -> None:
        """Args:
        roster: Holds who is registered.
        events: Where to say what happens.
        turn: Held while anything is applied.
        give: Keeps the roster and gives the node what changed.
        """
        self._roster, self._events, self._turn, self._give = roster, events, turn, give
        now = time.monotonic()
        self._ends = {
            (backend, address): now + lease / 1000
            for backend, leases in roster.leases.items()
            for address, lease in leases.items()
        }
        self._overdue: set[tuple[str, str]] = set()

    async def register(
        self, backend: str, settings: Mapping[str, Any], lease_ms: object, *, most: int = MOST
    ) -> dict[str, Any]:
        """Registers an endpoint, renews it, or ends its registration (`lease_ms` 0).

        Raises:
            Refused: With what is wrong.
        """
        self._roster.check_backend(backend)
        endpoint = checked(settings)
        if type(lease_ms) is not int or (lease_ms != 0 and not SHORTEST_MS <= lease_ms <= LONGEST_MS):
            raise refused("lease_ms", f"must be 0, or from {SHORTEST_MS} to {LONGEST_MS} milliseconds")
        async with self._turn:
            registered = self._roster.registered.setdefault(backend, {})
            key = (backend, endpoint.address)
            if lease_ms == 0:
                if endpoint.address in registered:
                    # Its end, and not the end of all: the last one stays until another comes.
                    self._ends[key] = 0.0
                    await self._expire()
                return {"address": endpoint.address, "lease_ms": 0}
            entry = Entry.of(endpoint, REGISTRATION)
            before = registered.get(endpoint.address)
            if before is None and len(registered) >= most:
                raise refused(f"backend {backend}", f"{most} endpoints are registered, and that is the limit")
            registered[endpoint.address] = entry
            self._ends[key] = time.monotonic() + lease_ms / 1000
            self._overdue.discard(key)
            leases = self._roster.leases.setdefault(backend, {})
            if before != entry or leases.get(endpoint.address) != lease_ms:
                leases[endpoint.address] = lease_ms
                if before is None:
                    who = f"endpoint {endpoint.address} of {backend}"
                    self._events.info(f"{who} registered", lease_ms=lease_ms)
                await self._give()
        return {"address": endpoint.address, "lease_ms": lease_ms}

    async def run(self) -> None:
        """Takes out endpoints whose leases have ended, as long as control runs."""
        while True:
            await asyncio.sleep(_LOOK)
            if any(end <= time.monotonic() for end in self._ends.values()):
                async with self._turn:
                    await self._expire()

    async def _expire(self) -> None:
        now, has_changed = time.monotonic(), False
        for key in [key for key, end in self._ends.items() if end <= now]:
            backend, address = key
            if address not in self._roster.registered.get(backend, {}):
                del self._ends[key]
                continue
            if backend not in self._roster.configured:
                # The configuration has not been read yet.
                continue
            if self._roster.is_last(backend, address):
                if key not in self._overdue:
                    who = f"{address} of {backend}"
                    self._events.warning(f"the lease of {who} ended; it stays: it is the last")
                self._overdue.add(key)
                continue
            how = "left" if self._ends[key] == 0 else "was not heard of any more"
            self._events.info(f"endpoint {address} of {backend} {how}")
            self._roster.unregister(backend, address)
            del self._ends[key]
            self._overdue.discard(key)
            has_changed = True
        if has_changed:
            await self._give()
