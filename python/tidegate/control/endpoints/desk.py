# SPDX-License-Identifier: Apache-2.0
"""What control does with endpoints: takes changes, keeps them, and gives the node the new lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tidegate.control.compiled import Compiled
from tidegate.control.endpoints.memory import Memory
from tidegate.control.endpoints.roster import OPERATOR, Entry, refused
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
        self._before: dict[str, list[Entry]] = {}
        self._memory = Memory(directory)
        self.roster, problem = self._memory.load()
        if problem:
            events.warning(f"what was known of endpoints cannot be used, sources are asked again: {problem}")

    def complete(self, fresh: Compiled) -> None:
        """Puts what is known besides the configuration into its lists; `settle` follows."""
        self._before = self.roster.configured
        self.roster.configure(fresh.snapshot.endpoints)
        fresh.snapshot.endpoints.update(self.roster.lists())

    def settle(self, *, is_accepted: bool) -> None:
        """The configuration is in force, or the one before stays."""
        if is_accepted:
            self.roster.forget()
        else:
            self.roster.configured = self._before

    async def list(self, message: Message) -> Message:
        """`endpoints.list`: `{"backends": {name: [endpoint, ...]}}`, of one backend if `backend` names it."""
        wanted = message.get("backend")
        if wanted is not None:
            self.roster.check_backend(wanted)
        names = [wanted] if wanted is not None else list(self.roster.configured)
        return {"backends": {name: self.roster.told(name) for name in names if _is_users(name)}}

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
