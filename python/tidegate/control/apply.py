# SPDX-License-Identifier: Apache-2.0
"""Brings the node from one configuration to the next: the order in which a change happens.

New workers and sockets first, then the snapshot, then what is no longer used goes. A step that is
refused undoes those before it, and what was in force stays in force.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidegate.config.snapshot import Key, Snapshot, secret_sets
from tidegate.control.compiled import Compiled
from tidegate.protocol import Message, ProtocolError, Refused
from tidegate.protocol.async_channel import AsyncChannel

NODE_TIMEOUT = 60.0
"""Seconds a node may take for a snapshot; with 10,000 routes it takes far less than one."""
ENDPOINTS_TIMEOUT = 10.0
"""Seconds it may take for endpoint lists, names looked up included."""
SUPERVISOR_TIMEOUT = 60.0
"""Seconds for binding, which includes starting the node the first time."""


@dataclass(frozen=True)
class Applied:
    """What a change came to.

    Attributes:
        number: The snapshot in force.
        changed: Kind and name of what changed, `route pay`; empty when nothing did.
        build_us: The node's time to build it.
        swap_us: Until its last thread had taken it.
    """

    number: int
    changed: list[str]
    build_us: int = 0
    swap_us: int = 0


class Node:
    """Control's side of the conversation with the node, over the node's restarts.

    Attributes:
        number: The snapshot that the node has; 0 for none.
        expected: The snapshot that it took from us last; differs from `number` in a node that came up
            with an older one, or with none.
        hashes: What it had when it came up, as `hashes_of` says it.
    """

    def __init__(self) -> None:
        self._channel: AsyncChannel | None = None
        self._is_up = asyncio.Event()
        self.number = 0
        self.expected = 0
        self.hashes = ""

    def is_up(self) -> bool:
        """Whether there is a node to talk to."""
        return self._channel is not None and self._channel.is_open

    async def connected(self, channel: AsyncChannel, after: int = 0) -> int:
        """Takes a connection to a node that has just come up; returns its snapshot's number.

        Args:
            channel: Closed with the next one.
            after: The number of the snapshot that it is to go on from, if it has none: that of the node
                it replaces.
        """
        await self.disconnected()
        hello = await channel.call("hello")
        self._channel = channel
        self.number = int(hello["snapshot"]) or after
        self.hashes = str(hello["hashes"])
        self._is_up.set()
        return self.number

    async def disconnected(self) -> None:
        """Forgets a node that is gone."""
        self._is_up.clear()
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def wait(self, timeout: float = NODE_TIMEOUT) -> None:
        """Waits until there is a node.

        Raises:
            ProtocolError: None came up in time.
        """
        if not self.is_up():
            # It went; the supervisor says when the next one is there.
            self._is_up.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._is_up.wait()
        except TimeoutError:
            raise ProtocolError("no node came up in time") from None

    async def call(
        self, kind: str, timeout: float = NODE_TIMEOUT, texts: Mapping[str, str] | None = None, **fields: Any
    ) -> Message:
        """Asks the node, waiting for it to come up if need be.

        Args:
            texts: More fields, whose values are JSON already.

        Raises:
            Refused: It said no.
            ProtocolError: It did not answer in time.
        """
        await self.wait(timeout)
        assert self._channel is not None
        return await self._channel.call(kind, timeout=timeout, texts=texts, **fields)


class CannotBind(Refused):
    """An address that cannot be had: nothing is wrong with the configuration as such."""


def sequence() -> int:
    """A number for endpoint lists: greater than all before it, over restarts of control too."""
    return time.monotonic_ns()


class Applier:
    """Applies configurations one after the other.

    Attributes:
        current: What is in force, as far as this process knows.
    """

    def __init__(self, node: Node, supervisor: AsyncChannel) -> None:
        self._node = node
        self._supervisor = supervisor
        self.current: Compiled | None = None

    async def apply(self, fresh: Compiled) -> Applied:
        """Puts `fresh` in force.

        Raises:
            Refused: By the supervisor or the node, with every problem; nothing has changed.
            ProtocolError: One of them is gone; what is in force is then found out by `resync`.
        """
        before = self.current
        try:
            await self._ensure(fresh)
            await self._functions(fresh, drop=False)
            applied = await self._send(fresh, before)
        except Refused:
            if before is not None:
                # Code that took over already gives way again.
                with contextlib.suppress(Refused):
                    await self._functions(before, drop=False)
                await self._keep(before)
            raise
        await self._keep(fresh)
        self.current = fresh
        return replace(applied, changed=[*applied.changed, *_of_control(fresh, before)])

    async def resync(self) -> Applied | None:
        """Gives a node that has just come up what is in force, if it has something else."""
        if self.current is None:
            return None
        if self._node.number == self._node.expected:
            # It may have ended before it had kept the newest lists.
            sets = self.current.snapshot.endpoint_sets(None, sequence())
            await self._node.call("endpoints.set", sets=sets)
            return None
        return await self._whole(self.current)

    async def endpoints(self, lists: dict[str, str]) -> None:
        """Gives the node the endpoint lists that are not what is in force.

        Args:
            lists: By backend, JSON of its endpoints.

        Raises:
            ProtocolError: The node is not there; it gets them when it comes up.
        """
        if self.current is None:
            return
        before = self.current.snapshot
        fresh = replace(before, endpoints={**before.endpoints, **lists})
        sets = fresh.endpoint_sets(before, sequence())
        self.current.snapshot.endpoints = fresh.endpoints
        if sets:
            await self._node.call("endpoints.set", timeout=ENDPOINTS_TIMEOUT, sets=sets)

    async def _send(self, fresh: Compiled, before: Compiled | None) -> Applied:
        if before is None:
            return await self._first(fresh)
        changed = fresh.snapshot.changed(before.snapshot)
        if not changed:
            sets = fresh.snapshot.endpoint_sets(before.snapshot, sequence())
            if sets:
                await self._node.call("endpoints.set", sets=sets)
            return Applied(self._node.number, [f"endpoints {each['backend']}" for each in sets])
        names = _names(changed)
        base = self._node.number
        if base != self._node.expected:
            return await self._whole(fresh, names)
        delta = _delta(fresh.snapshot, before.snapshot, base)
        try:
            reply = await self._node.call("snapshot.delta", texts=delta)
        except Refused as refusal:
            if not _is_mismatch(refusal):
                raise
            return await self._whole(fresh, names, int(refusal.reply.get("snapshot", base)))
        return self._taken(reply, names)

    async def _first(self, fresh: Compiled) -> Applied:
        """What an earlier control gave to the node is not sent again."""
        await self._node.wait()
        if not self._node.number or self._node.hashes != hashes_of(fresh.snapshot):
            return await self._whole(fresh)
        self._node.expected = self._node.number
        await self._node.call("endpoints.set", sets=fresh.snapshot.endpoint_sets(None, sequence()))
        differ = await self._other_secrets(fresh.snapshot)
        if not differ:
            return Applied(self._node.number, [])
        before = Snapshot({**fresh.snapshot.resources}, fresh.snapshot.endpoints)
        for key in differ:
            del before.resources[key]
        delta = _delta(fresh.snapshot, before, self._node.number)
        return self._taken(await self._node.call("snapshot.delta", texts=delta), _names(differ))

    async def _other_secrets(self, snapshot: Snapshot) -> list[Key]:
        """Resources that the node has with other secrets: hashes say nothing of those."""
        sets = secret_sets(snapshot.resources.values())
        if not sets:
            return []
        reply = await self._node.call("secrets.compare", secrets=sets)
        return [(kind, name) for kind, name in reply["differ"]]

    async def _whole(
        self, fresh: Compiled, names: list[str] | None = None, number: int | None = None
    ) -> Applied:
        base = self._node.number if number is None else number
        delta = _delta(fresh.snapshot, None, 0, number=base + 1)
        reply = await self._node.call("snapshot.delta", texts=delta)
        return self._taken(reply, names or _names(fresh.snapshot.resources))

    def _taken(self, reply: Message, names: list[str]) -> Applied:
        self._node.number = self._node.expected = int(reply["number"])
        return Applied(self._node.number, names, reply.get("build_us", 0), reply.get("swap_us", 0))

    async def _ensure(self, fresh: Compiled) -> None:
        settings = fresh.settings()
        try:
            await self._supervisor.call(
                "sockets.ensure",
                timeout=SUPERVISOR_TIMEOUT,
                addresses=fresh.addresses(),
                threads=settings["threads"],
                graceful_stop_ms=settings["graceful_stop"],
                user=fresh.user,
            )
        except Refused as refusal:
            raise CannotBind(refusal.problems, refusal.reply) from refusal

    async def _functions(self, wanted: Compiled, *, drop: bool) -> None:
        await self._supervisor.call(
            "functions.set",
            timeout=SUPERVISOR_TIMEOUT,
            pools=wanted.pools,
            drop=drop,
            tried=self.current is not None,
            user=wanted.function_user,
        )

    async def _keep(self, wanted: Compiled) -> None:
        await self._supervisor.call("sockets.keep", keys=[each["key"] for each in wanted.addresses()])
        await self._functions(wanted, drop=True)


_KINDS = ("gateway", "listener", "backend", "route", "l4_route", "route_order", "function")
"""In the node's order."""


def hashes_of(snapshot: Snapshot) -> str:
    """The hashes of all resources, as the node strings them together in `hello`."""
    order = sorted(snapshot.resources, key=lambda key: (_KINDS.index(key[0]), key[1]))
    return "".join(snapshot.resources[key].hash for key in order)


def _delta(
    snapshot: Snapshot, before: Snapshot | None, base: int, number: int | None = None
) -> dict[str, str]:
    text = snapshot.delta_json(before, base=base, number=number or base + 1, sequence=sequence())
    return {"delta": text}


def _names(keys: Iterable[Key]) -> list[str]:
    """Resources as people call them."""
    special = {"gateway": "gateway settings", "route_order": "order of routes"}
    return [special.get(kind, f"{kind} {name}") for kind, name in keys]


def _of_control(fresh: Compiled, before: Compiled | None) -> list[str]:
    """What changed of the parts that the node does not have: who else acts on them is not told by it."""
    if before is None:
        return []
    old, new = _parts_of_control(before), _parts_of_control(fresh)
    return [name for name in sorted({**old, **new}) if old.get(name) != new.get(name)]


def _parts_of_control(compiled: Compiled) -> dict[str, Any]:
    """By what people call it: code of functions, who computes weights, processes, sources, users."""
    return {
        **{f"code of {pool['name']}": pool["hash"] for pool in compiled.pools},
        **{f"weights of {weigher.backend}": weigher for weigher in compiled.weighers},
        **{f"processes of {name}": wanted for name, wanted in compiled.processes.items()},
        **{f"discovery of {name}": settings for name, settings in compiled.discovery.items()},
        **{f"registration of {name}": settings for name, settings in compiled.registration.items()},
        "users": (compiled.user, compiled.function_user),
        "folders that are watched for code": compiled.reloads,
    }


def _is_mismatch(refusal: Refused) -> bool:
    return any(problem["where"] == "base" for problem in refusal.problems)
