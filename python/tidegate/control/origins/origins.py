# SPDX-License-Identifier: Apache-2.0
"""The processes of all backends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidegate.control.apply import Node
from tidegate.control.endpoints.desk import Desk
from tidegate.control.endpoints.roster import refused
from tidegate.control.origins.group import Group, leaving
from tidegate.control.origins.parting import Partings
from tidegate.control.origins.wanted import Wanted, patience_of
from tidegate.events import Events
from tidegate.protocol import Message, ProtocolError, Refused
from tidegate.protocol.async_channel import AsyncChannel

KIND: Final = "processes"
"""The source of their endpoints, as `status` shows it."""
FIRST: Final = 5.0
"""Seconds that a configuration waits at most for the processes of a backend that had none."""


class Origins:
    """Looks after them; what groups work with, too.

    Attributes:
        events: Where to say what happens.
        turn: See `Hands`.
    """

    def __init__(self, supervisor: AsyncChannel, node: Node, desk: Desk, events: Events) -> None:
        """Takes who starts them, who uses them, and who keeps the lists of endpoints."""
        self._channel = supervisor
        self._node = node
        self._desk = desk
        self._groups: dict[str, Group] = {}
        self._fresh: dict[str, Group] = {}
        self._entries: list[dict[str, Any]] = []
        self._partings = Partings(self)
        self.events = events
        self.turn = asyncio.Lock()

    # One configuration

    async def prepare(self, wanted: Mapping[str, Wanted]) -> None:
        """Starts what backends want that have no processes yet; `settle` follows.

        Raises:
            Refused: They cannot be started at all.
        """
        if not wanted and not self._groups:
            return
        self._fresh = {
            name: Group(self, name, each, self._known(name))
            for name, each in wanted.items()
            if name not in self._groups
        }
        for name in self._fresh:
            await self._partings.stay(name)
        await self.refresh()
        await asyncio.gather(*(each.begin(FIRST) for each in self._fresh.values()))
        for name, group in self._fresh.items():
            self._desk.note(name, KIND, group.endpoints())

    async def settle(self, wanted: Mapping[str, Wanted], *, is_accepted: bool) -> None:
        """The configuration is in force, or the one before stays."""
        fresh, self._fresh = self._fresh, {}
        if not is_accepted:
            for group in fresh.values():
                # Those that were there before serve whatever is in force.
                await (group.end() if group.is_new else group.close())
            await self._part_strangers()
            return
        self._groups |= fresh
        for name in set(self._groups) - set(wanted):
            await self._groups.pop(name).close()
        # Asked in any case: the control before may have left some.
        await self._part_strangers()
        if self._groups:
            patience = {name: patience_of(each["spec"]) for name, each in wanted.items()}
            await self.supervisor("process.patience", patience=patience)
        for name, group in self._groups.items():
            group.follow(wanted[name])

    async def _part_strangers(self) -> None:
        """Has processes end, after their requests, that no backend wants any more."""
        async with self.turn:
            self._entries = (await self.supervisor("process.list"))["processes"]
            for each in self._entries:
                if each["backend"] not in self._groups:
                    self._partings.begin(each)

    def _known(self, backend: str) -> dict[str, bool]:
        return {
            each.address: bool(each.settings["draining"])
            for each in self._desk.roster.found.get(backend, ())
            if each.found_by == KIND
        }

    # What the supervisor tells

    async def look(self) -> None:
        """Something happened to a process."""
        # A supervisor that is gone has nothing to tell; the next one starts another control.
        with contextlib.suppress(ProtocolError, Refused):
            await self.refresh()

    async def refresh(self) -> None:
        """Asks the supervisor which processes there are, and how they are."""
        async with self.turn:
            reply = await self.supervisor("process.list")
            self._entries = reply["processes"]
            groups = {**self._groups, **self._fresh}
            others = [name for name, group in groups.items() if group.sync(self._of(name))]
        for name in others:
            await self.publish(name)

    def _of(self, backend: str) -> list[Mapping[str, Any]]:
        return [each for each in self._entries if each["backend"] == backend]

    # What an operator asks

    async def told(self) -> list[dict[str, Any]]:
        """For `tidegate status`, by backend."""
        parting = self._partings.backends() - set(self._groups)
        if self._groups or parting:
            self._entries = (await self.supervisor("process.list"))["processes"]
        return [
            *(group.told(self._of(name)) for name, group in self._groups.items()),
            *(leaving(name, self._of(name)) for name in sorted(parting) if self._of(name)),
        ]

    async def status(self, _message: Message) -> Message:
        """`processes.status`: `{"backends": [...]}`, as `told`."""
        return {"backends": await self.told()}

    async def restart(self, message: Message) -> Message:
        """`processes.restart`: `{"backend"}`; replaces its processes one by one."""
        backend = str(message.get("backend"))
        if backend not in self._groups:
            known = ", ".join(self._groups) or "none"
            raise refused(f"backend {backend}", f"it has no processes; backends that have some: {known}")
        self._groups[backend].restart()
        self.events.info("restarting processes one by one", backend=backend)
        return {"backend": backend}

    async def close(self) -> None:
        """Looks after them no more."""
        await self._partings.close()
        for group in (*self._groups.values(), *self._fresh.values()):
            await group.close()

    # What groups work with

    async def supervisor(self, kind: str, /, **fields: Any) -> Message:
        """Asks the supervisor."""
        return await self._channel.call(kind, **fields)

    async def node_says(self, backend: str, address: str) -> dict[str, Any] | None:
        """What the node knows of an endpoint, one with requests though it is in no list any more included.

        None when it has none, or there is no node.
        """
        if not self._node.is_up():
            return None
        try:
            reply = await self._node.call("status", timeout=5.0)
        except (ProtocolError, Refused):
            # It is asked again; nothing is concluded from its silence.
            return {"health": "unchecked", "draining": False, "in_flight": 0}
        found: Sequence[dict[str, Any]] = next(
            (each["endpoints"] for each in reply["backends"] if each["name"] == backend), []
        )
        # A request goes on at what its backend has no more, or whose backend is gone.
        departed = [
            {**each, "health": "unchecked", "draining": True}
            for each in reply.get("departed", ())
            if each["backend"] == backend
        ]
        return next((each for each in (*found, *departed) if each["address"] == address), None)

    async def is_draining(self) -> bool:
        """Whether a node that was replaced still has requests."""
        return bool((await self.supervisor("process.list"))["is_draining"])

    async def publish(self, backend: str) -> None:
        """Gives the node the endpoints of a backend."""
        group = self._groups.get(backend)
        # Those of a configuration that is not in force yet go with it.
        if group is not None:
            self._desk.note(backend, KIND, group.endpoints())
            await self._desk.give_noted()
