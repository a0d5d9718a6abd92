# SPDX-License-Identifier: Apache-2.0
"""What control does with endpoints: takes changes, keeps them, and gives the node the new lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.config.backend import Endpoint
from tidegate.control.compiled import Compiled
from tidegate.control.endpoints.door import Door
from tidegate.control.endpoints.door import Wanted as Registrars
from tidegate.control.endpoints.followers import Followers, Wanted
from tidegate.control.endpoints.leases import Leases
from tidegate.control.endpoints.memory import Memory
from tidegate.control.endpoints.roster import OPERATOR, Entry, Roster, refused
from tidegate.events import Events
from tidegate.protocol import Message, ProtocolError

Send = Callable[[dict[str, str]], Awaitable[None]]
"""Gives the node the lists that differ: by backend, JSON of its endpoints."""


class Desk:
    """The endpoints of one gateway.

    Attributes:
        roster: Who named what.
    """

    def __init__(self, directory: Path, events: Events, turn: asyncio.Lock, send: Send) -> None:
        """Takes what it works with.

        Args:
            directory: The runtime directory.
            events: Where to say what happens.
            turn: Held while anything is applied: one change at a time.
            send: See `Send`.
        """
        self._events = events
        self._turn = turn
        self._send = send
        self._memory = Memory(directory)
        self.roster: Roster
        self.roster, problem = self._memory.load()
        if problem:
            events.warning(f"what was known of endpoints cannot be used, sources are asked again: {problem}")
        self._before: dict[str, list[Entry]] = {}
        self._sources_before: frozenset[str] = frozenset()
        self._sources: dict[str, Wanted] = {}
        self._wanted: dict[str, Wanted] = {}
        self._followers = Followers(events, self._found, self._source_changed)
        self._leases = Leases(self.roster, events, turn, self.give)
        self._door = Door(directory, self._leases)
        self._expiring = asyncio.create_task(self._leases.run())
        self._is_waiting = False
        self.source_changed: Callable[[], None] | None = None
        self._giving: set[asyncio.Task[None]] = set()

    async def complete(self, fresh: Compiled) -> None:
        """Puts what is known besides the configuration into its lists; `settle` follows.

        Sources that have never found anything are waited for, a few seconds at most.
        """
        self._before, self._sources_before = self.roster.configured, self.roster.sources
        self._sources, self._wanted = self._wanted, fresh.discovery
        self._followers.follow(fresh.discovery)
        self._is_waiting = True
        await self._followers.first(set(fresh.discovery) - set(self.roster.found))
        self.roster.configure(fresh.snapshot.endpoints, {*fresh.discovery, *fresh.processes})
        fresh.snapshot.endpoints.update(self.roster.lists())

    async def settle(self, registration: Mapping[str, Registrars], *, is_accepted: bool) -> None:
        """The configuration is in force, or the one before stays."""
        self._is_waiting = False
        if not is_accepted:
            self._wanted = self._sources
            self.roster.configured, self.roster.sources = self._before, self._sources_before
            self._followers.follow(self._wanted)
            return
        self.roster.forget()
        self._door.wanted = registration
        if problem := await self._door.open():
            self._events.error(f"instances cannot register: {problem}")
        # What was found while it was applied.
        await self.give()

    def sources(self) -> dict[str, dict[str, Any]]:
        """By backend with a source: `{"kind", "endpoints", "failures", "is_failing", "age_ms"}`."""
        return {
            name: {**state, "endpoints": len(self.roster.found.get(name, ()))}
            for name, state in self._followers.states().items()
        }

    async def close(self) -> None:
        """Ends what goes on by itself."""
        self._door.close()
        self._expiring.cancel()
        await asyncio.gather(self._expiring, return_exceptions=True)
        await self._followers.close()
        for task in self._giving:
            task.cancel()
        await asyncio.gather(*self._giving, return_exceptions=True)

    def _source_changed(self) -> None:
        if self.source_changed is not None:
            self.source_changed()

    def _found(self, backend: str, kind: str, endpoints: Sequence[Endpoint]) -> None:
        found = [Entry.of(endpoint, kind) for endpoint in endpoints]
        before = self.roster.found.get(backend)
        if found == before:
            return
        self.roster.found[backend] = found
        known = {each.address for each in before or ()}
        fresh = {each.address for each in found}
        self._events.info(
            f"endpoints of {backend} changed",
            kind=kind,
            now=len(fresh),
            new=len(fresh - known),
            gone=len(known - fresh),
        )
        self._source_changed()
        # Whoever applies a configuration has the turn, and looks itself.
        if not self._is_waiting:
            task = asyncio.create_task(self._give_later())
            self._giving.add(task)
            task.add_done_callback(self._giving.discard)

    async def _give_later(self) -> None:
        async with self._turn:
            await self.give()

    def note(self, backend: str, kind: str, endpoints: Sequence[Endpoint]) -> None:
        """Takes the endpoints of a backend whose source control is itself; `give_noted` follows."""
        self.roster.found[backend] = [Entry.of(endpoint, kind) for endpoint in endpoints]

    async def give_noted(self) -> None:
        """Gives the node what was noted; it has it afterwards, if it is there."""
        await self._give_later()

    async def list(self, message: Message) -> Message:
        """`endpoints.list`, of one backend if `backend` names it.

        Returns:
            `{"backends": {name: [endpoint, ...]}, "sources": {name: {"kind", "problem"}}}`.
        """
        wanted = message.get("backend")
        if wanted is not None:
            self.roster.check_backend(wanted)
        names = [wanted] if wanted is not None else list(self.roster.configured)
        return {
            "backends": {name: self.roster.told(name) for name in names if _is_users(name)},
            "sources": {name: each for name, each in self._followers.problems().items() if name in names},
        }

    async def change(self, message: Message) -> Message:
        """`endpoints.change`: `{"backend", "address", "action", "settings", "force"}`."""
        backend, action = str(message.get("backend")), str(message.get("action"))
        settings = message.get("settings", {})
        if not isinstance(settings, dict):
            raise refused("settings", "must be an object")
        async with self._turn:
            address = self.roster.change(
                backend,
                str(message.get("address")),
                action,
                settings,
                force=message.get("force") is True,
            )
            self._events.info(f"endpoint {address} of {backend}: {action}", by=OPERATOR)
            is_sent = await self.give()
        return {"backend": backend, "address": address, "action": action, "in_force": is_sent}

    async def register(self, message: Message) -> Message:
        """`endpoints.register`: `{"backend", "settings", "lease_ms"}`; a lease of 0 ends it."""
        settings = message.get("settings")
        if not isinstance(settings, dict):
            raise refused("settings", "must be an object")
        return await self._leases.register(str(message.get("backend")), settings, message.get("lease_ms"))

    async def give(self) -> bool:
        """Keeps what is known and gives it to the node; the caller holds the turn.

        Returns:
            Whether the node has it: one that is not there gets it when it comes up.
        """
        if problem := self._memory.save(self.roster):
            self._events.warning(f"endpoints could not be kept for the next start: {problem}")
        try:
            await self._send(self.roster.lists())
        except ProtocolError as error:
            self._events.warning(f"the node does not have the newest endpoints yet: {error}")
            return False
        return True


def _is_users(backend: str) -> bool:
    return not backend.startswith(("function:", "tidegate:"))
