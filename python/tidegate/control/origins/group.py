# SPDX-License-Identifier: Apache-2.0
"""The processes of one backend: which of them are endpoints, and how new ones take the place of old ones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tidegate.config.backend import Endpoint
from tidegate.control.origins import parting
from tidegate.control.origins.answers import serves
from tidegate.control.origins.parting import idle
from tidegate.control.origins.wanted import Wanted
from tidegate.events import Events
from tidegate.protocol import ProtocolError, Refused


class Hands(parting.Hands, Protocol):
    """What a group works with."""

    events: Events
    turn: asyncio.Lock
    """Held while the list of the supervisor, or one change of it, is asked for and taken."""

    async def publish(self, backend: str) -> None:
        """Gives the node the endpoints of a backend; it has them afterwards, if it is there."""


@dataclass(eq=False)
class Member:
    """One process as control sees it.

    Attributes:
        pid: 0 while it is not running.
        ended: How often it ended so far.
        is_ready: Whether it serves.
        is_admitted: Whether it gets requests as soon as it serves; not before it is proved, in a replacement.
        is_leaving: Whether it gets no new requests, because it is to end.
        is_stale: Whether it is to be replaced by another that is just like it.
    """

    address: str
    number: int
    hash: str
    pid: int = 0
    ended: int = 0
    how: str = ""
    is_ready: bool = False
    is_admitted: bool = True
    is_leaving: bool = False
    is_stale: bool = False
    probe: asyncio.Task[None] | None = None


class Group:
    """The processes of one backend.

    Attributes:
        wanted: What the configuration says.
        members: By address, those that were not told to end.
        problem: Why a replacement stopped; empty if none did.
        is_rolling: Whether some are to be replaced.
        is_new: Whether there were no processes before.
    """

    def __init__(self, hands: Hands, backend: str, wanted: Wanted, known: Mapping[str, bool]) -> None:
        """Starts nothing; call `sync`, then `begin`, then `follow`.

        Args:
            hands: What it works with.
            backend: Whose processes these are.
            wanted: What the configuration says.
            known: By address, whether it gets no new requests: endpoints that the control before had.
        """
        self._known = dict(known)
        self._hands = hands
        self.backend = backend
        self.wanted = wanted
        self.members: dict[str, Member] = {}
        self.problem = ""
        self.is_rolling = False
        self.is_new = False
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # What the supervisor says

    def sync(self, entries: list[Mapping[str, Any]]) -> bool:
        """Takes the list of the supervisor; returns whether endpoints are others now."""
        is_other = False
        here = {str(each["address"]): each for each in entries if not each["leaving"]}
        for address in set(self.members) - set(here):
            self._stop_probe(self.members.pop(address))
            is_other = True
        for address, entry in here.items():
            member = self.members.get(address)
            if member is None:
                member = Member(address, int(entry["number"]), str(entry["hash"]))
                member.ended, member.how = int(entry["ended"]), str(entry["how"])
                self.members[address] = member
                self._remember(member, int(entry["pid"]))
            if (member.pid, member.ended) != (entry["pid"], entry["ended"]) or member.how != entry["how"]:
                is_other = is_other or member.is_ready
                member.pid, member.ended, member.how = entry["pid"], entry["ended"], entry["how"]
                member.is_ready = False
                self._stop_probe(member)
            if member.pid and not member.is_ready and member.probe is None:
                member.probe = asyncio.create_task(self._probe(member))
        self._changed.set()
        self._wake.set()
        return is_other

    def _remember(self, member: Member, pid: int) -> None:
        """Goes on with what the control before knew: a busy server must not be taken out meanwhile."""
        is_held = self._known.pop(member.address, None)
        if is_held is None or not pid:
            return
        if is_held and not self._is_old(member):
            # It was being proved.
            member.is_admitted = False
        else:
            member.pid, member.is_ready = pid, True

    async def _probe(self, member: Member) -> None:
        """Waits until a process serves."""
        await serves(
            member.address,
            asks=not self.wanted["has_check"],
            patience=self.wanted["start_timeout_ms"] / 1000,
        )
        member.is_ready = True
        member.probe = None
        self._hands.events.info(
            "process serves", backend=self.backend, number=member.number, address=member.address
        )
        self._changed.set()
        await self._hands.publish(self.backend)

    def _stop_probe(self, member: Member) -> None:
        if member.probe is not None:
            member.probe.cancel()
            member.probe = None

    # What the node is told

    def endpoints(self) -> list[Endpoint]:
        """Those that serve; the ones that get no new requests are marked so."""
        serving = [each for each in self.members.values() if each.is_ready]
        serving.sort(key=lambda each: each.number)
        return [
            Endpoint(address=each.address, draining=each.is_leaving or not each.is_admitted)
            for each in serving
        ]

    def told(self, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        """For `tidegate status`; `entries` is the list of the supervisor."""
        return {
            "backend": self.backend,
            "count": self.wanted["count"],
            "rolling": self.is_rolling,
            "problem": self.problem,
            "processes": [
                _shown(each) | {"state": self._state(each)}
                for each in sorted(entries, key=lambda each: (each["number"], each["leaving"]))
            ],
        }

    def _state(self, entry: Mapping[str, Any]) -> str:
        member = self.members.get(str(entry["address"]))
        if entry["leaving"] or member is None:
            return "stopping"
        if not entry["pid"]:
            return "waiting"
        if entry["pid"] != member.pid:
            # It was started a moment ago.
            return "starting"
        if member.is_leaving:
            return "draining"
        return "ready" if member.is_ready and member.is_admitted else "starting"

    # What is done about it

    def follow(self, wanted: Wanted) -> None:
        """Takes what a configuration in force wants; tries again what did not succeed."""
        self.wanted = wanted
        self.problem = ""
        self.is_rolling = any(map(self._is_old, self.members.values()))
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._arrange_always())

    def restart(self) -> None:
        """Has every process replaced by another like it."""
        for member in self.members.values():
            member.is_stale = True
        self.follow(self.wanted)

    async def begin(self, seconds: float) -> None:
        """Starts what is wanted if there is nothing yet, and waits a moment until it serves."""
        self.is_new = not self.members
        if self.is_new:
            for number in range(1, self.wanted["count"] + 1):
                await self._start(number)

        def is_settled() -> bool:
            return all(each.is_ready or each.ended or not each.pid for each in self.members.values())

        await self._until(is_settled, seconds)

    async def end(self) -> None:
        """Has all of them end."""
        await self.close()
        for member in list(self.members.values()):
            await self._stop(member)

    async def close(self) -> None:
        """Looks after them no more; they go on."""
        tasks = [self._task, *(each.probe for each in self.members.values())]
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(each for each in tasks if each is not None), return_exceptions=True)

    async def _arrange_always(self) -> None:
        # What came to serve since the configuration was put together.
        await self._hands.publish(self.backend)
        while True:
            self._wake.clear()
            try:
                await self._arrange()
            except (ProtocolError, Refused, OSError) as error:
                self._halt(f"a process cannot be started or ended: {error}")
            await self._wake.wait()

    async def _arrange(self) -> None:
        """Makes the processes what is wanted, one at a time where old ones are replaced."""
        while True:
            staying = [each for each in self.members.values() if not each.is_leaving]
            old = [each for each in staying if self._is_old(each)]
            new = [each for each in staying if not self._is_old(each)]
            count = self.wanted["count"]
            if not old:
                self.is_rolling = False
                await self._admit(new)
                await self._retire(*sorted(new, key=lambda each: each.number)[count:])
                taken = {each.number for each in new}
                for number in [each for each in range(1, count + 1) if each not in taken]:
                    await self._start(number)
                return
            if self.problem:
                return
            self.is_rolling = True
            # What does not serve goes first.
            old.sort(key=lambda each: (each.is_ready, each.number))
            await self._retire(*old[: max(len(old) + len(new) - count, 0) if new and _all_serve(new) else 0])
            if any(each.is_leaving for each in old):
                continue
            fresh = next((each for each in new if not (each.is_ready and each.is_admitted)), None)
            if fresh is None:
                numbers = [*(each.number for each in old), *range(1, count + 1)]
                taken = {each.number for each in new}
                fresh = await self._start(next(n for n in numbers if n not in taken), is_admitted=False)
            why = await self._prove(fresh)
            if why and not self._is_old(fresh):
                await self._stop(fresh)
                self._halt(f"the new process {why}; the {len(old)} before go on")
                return

    def _halt(self, why: str) -> None:
        self.problem = why
        self.is_rolling = False
        self._hands.events.error(
            f"replacing stopped: {why}; mend it and `tidegate reload`, or `tidegate restart {self.backend}`",
            backend=self.backend,
        )

    def _is_old(self, member: Member) -> bool:
        return member.is_stale or member.hash != self.wanted["spec"]["hash"]

    async def _admit(self, members: list[Member]) -> None:
        held = [each for each in members if not each.is_admitted]
        for member in held:
            member.is_admitted = True
        if held:
            await self._hands.publish(self.backend)

    async def _start(self, number: int, *, is_admitted: bool = True) -> Member:
        async with self._hands.turn:
            reply = await self._hands.supervisor(
                "process.start", backend=self.backend, number=number, spec=self.wanted["spec"]
            )
            entry = reply["process"]
            member = Member(entry["address"], number, str(entry["hash"]), is_admitted=is_admitted)
            others = [_entry(each) for each in self.members.values()]
            self.members[member.address] = member
            self.sync([*others, entry])
        return member

    async def _stop(self, member: Member) -> None:
        async with self._hands.turn:
            self._stop_probe(member)
            self.members.pop(member.address, None)
            with contextlib.suppress(ProtocolError, Refused):
                await self._hands.supervisor("process.stop", address=member.address)

    async def _prove(self, fresh: Member) -> str:
        """Waits until a new process is healthy and lets it have requests; returns why not, or nothing."""
        seconds = self.wanted["start_timeout_ms"] / 1000
        deadline = time.monotonic() + seconds
        ended = fresh.ended if fresh.pid else -1

        def is_over() -> bool:
            return fresh.ended != ended or self.members.get(fresh.address) is not fresh or self._is_old(fresh)

        if not await self._until(lambda: fresh.is_ready or is_over(), seconds):
            return f"did not answer within {seconds:g} s"
        while not is_over() and self.wanted["has_check"]:
            said = await self._hands.node_says(self.backend, fresh.address)
            if said is not None and said["health"] == "up":
                break
            if time.monotonic() > deadline:
                return f"did not pass its health check within {seconds:g} s"
            await asyncio.sleep(parting.LOOK)
        if is_over():
            return f"ended ({fresh.how}); what it printed is in the log"
        fresh.is_admitted = True
        await self._hands.publish(self.backend)
        return ""

    async def _retire(self, *members: Member) -> None:
        """Ends processes that others have replaced, after their requests."""
        for member in members:
            member.is_leaving = True
        if members:
            await self._hands.publish(self.backend)
            await asyncio.gather(*(self._until_idle(each) for each in members))
            for member in members:
                await self._stop(member)
            await self._hands.publish(self.backend)

    async def _until_idle(self, member: Member) -> None:
        deadline = time.monotonic() + self.wanted["spec"]["drain_timeout_ms"] / 1000
        if member.is_ready:
            await idle(self._hands, self.backend, member.address, deadline)

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Waits for something that the supervisor tells or a probe finds."""
        deadline = time.monotonic() + seconds
        while not is_so():
            self._changed.clear()
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await self._changed.wait()
            except TimeoutError:
                return is_so()
        return True


def leaving(backend: str, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
    """As `Group.told`, for processes that no backend wants any more."""
    return {
        "backend": backend,
        "count": 0,
        "rolling": False,
        "problem": "",
        "processes": [
            _shown(each) | {"state": "stopping" if each["leaving"] else "draining"} for each in entries
        ],
    }


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("number", "address", "pid", "ended", "how")}


def _all_serve(members: list[Member]) -> bool:
    return all(each.is_ready and each.is_admitted for each in members)


def _entry(member: Member) -> dict[str, Any]:
    """A member as the supervisor last told it."""
    return {
        "address": member.address,
        "number": member.number,
        "hash": member.hash,
        "pid": member.pid,
        "ended": member.ended,
        "how": member.how,
        "leaving": False,
    }
