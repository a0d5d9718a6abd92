# SPDX-License-Identifier: Apache-2.0
"""Sees to it that every certificate that is wanted is there, is renewed, and that every proof is answered."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tidegate.events import Events
from tidegate.issuing.ordering import Orderer, Outcome, Terms
from tidegate.issuing.store import Attempt, Kept, Proof, Store, StoreError, identifier

TICK: Final = 1.0
"""Seconds between two looks at the store: what other instances have written is seen by then."""
LIVES: Final = 20.0
"""Seconds that an instance counts as living after its last word."""
SPREAD: Final = 30.0
"""Seconds that proofs may take to every node; then those of other instances are not waited for."""
AT_ONCE: Final = 4
"""Orders at a time."""

Group = tuple[str, ...]
Publish = Callable[[list[Proof]], Awaitable[None]]


@dataclass(frozen=True)
class Wanted:
    """What a configuration wants.

    Attributes:
        terms: What is asked of whom.
        store: The folder of the store.
        groups: Names that share a certificate each.
    """

    terms: Terms
    store: Path
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, value: dict[str, Any]) -> Wanted:
        """From what `tidegate.control.compiled` says."""
        terms = dict(value["terms"])
        external = terms["external"]
        if external is not None:
            terms["external"] = (external[0], bytes.fromhex(external[1]))
        groups = tuple(tuple(group) for group in value["groups"])
        return cls(Terms(**terms), Path(value["store"]), groups)


@dataclass
class _Seen:
    """What one look at the store found."""

    version: int = 0
    proofs: list[Proof] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)


class Keeper:
    """Keeps the certificates of one instance.

    Args:
        holder: What the instance is called among those that share a store.
        publish: Has the nodes answer with these proofs and no others.
        renewed: Called when certificates in the store have changed.
        version: How tidegate calls itself.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        holder: str,
        events: Events,
        publish: Publish,
        renewed: Callable[[], Awaitable[None]],
        version: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._holder = holder
        self._events = events
        self._publish = publish
        self._renewed = renewed
        self._version = version
        self._clock = clock
        self._wanted: Wanted | None = None
        self._seen = _Seen()
        self._task: asyncio.Task[None] | None = None
        self._orders: dict[Group, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._is_published = threading.Condition()
        self._published = -1
        self._opening = threading.Lock()
        self._trouble = ""
        self._is_closing = False

    def follow(self, wanted: Wanted | None) -> None:
        """Takes what the configuration in force wants; `None` for nothing."""
        if wanted == self._wanted:
            return
        changes_store = (
            wanted is None or self._wanted is None or wanted.store != self._wanted.store
        )  # fmt: skip
        self._wanted = wanted
        if changes_store and self._task is not None:
            self._task.cancel()
            self._task = None
        if wanted is not None and self._task is None:
            self._task = asyncio.create_task(self._run(wanted.store))
        self._wake.set()

    def node_up(self) -> None:
        """A node came up, which has no proofs yet."""
        self._published = -1
        self._wake.set()

    async def close(self) -> None:
        """Ends; an order that is under way is gone on with by the next control."""
        self._is_closing = True
        with self._is_published:
            self._is_published.notify_all()
        for task in (self._task, *self._orders.values()):
            if task is not None:
                task.cancel()
        tasks = [task for task in (self._task, *self._orders.values()) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def told(self) -> list[dict[str, Any]]:
        """Each certificate that is wanted: `names`, `renew_at`, `failures`, `says`, `failed_at`, `next_at`,
        `is_under_way`; moments in seconds since 1970, 0 for none.
        """
        if self._wanted is None:
            return []
        return [self._told(self._wanted, group) for group in self._wanted.groups]

    def _told(self, wanted: Wanted, group: Group) -> dict[str, Any]:
        id = identifier(wanted.terms.authority, group)
        kept, attempt = self._seen.kept.get(id), self._seen.attempts.get(id, Attempt())
        return {
            "names": list(group),
            "authority": wanted.terms.authority,
            "not_after": kept.not_after if kept is not None else 0,
            "issuer": kept.issuer if kept is not None else "",
            "renew_at": kept.renew_at if kept is not None else 0,
            "failures": attempt.failures,
            "kind": attempt.kind,
            "says": attempt.says or self._trouble,
            "failed_at": attempt.failed_at,
            "next_at": attempt.next_at,
            "is_under_way": group in self._orders,
        }

    async def renew(self, name: str | None, *, force: bool) -> list[Group]:
        """Orders the certificates for `name`, or all, at once: those that are due or missing, whatever failed
        before, and with `force` all of them. Returns which.

        Raises:
            StoreError: The store can not be used.
        """
        wanted = self._wanted
        if wanted is None:
            return []
        groups = [group for group in wanted.groups if name is None or name in group]

        def mark() -> list[Group]:
            now, marked = int(self._clock()), []
            with contextlib.closing(Store(wanted.store)) as store:
                kept = {each.id: each for each in store.certificates(wanted.terms.authority)}
                for group in groups:
                    id = identifier(wanted.terms.authority, group)
                    if force or id not in kept or kept[id].renew_at <= now:
                        store.renew_soon(id)
                        marked.append(group)
            return marked

        marked = await asyncio.to_thread(mark)
        self._wake.set()
        return marked

    # What goes on by itself

    async def _run(self, where: Path) -> None:
        store: Store | None = None
        try:
            while True:
                try:
                    if store is None:
                        store = await asyncio.to_thread(Store, where)
                        if store.mended:
                            self._events.warning(store.mended)
                    await self._turn(store)
                    self._trouble = ""
                except StoreError as error:
                    if str(error) != self._trouble:
                        self._events.error(f"certificates can not be kept: {error}")
                    self._trouble = str(error)
                    if store is not None:
                        store.close()
                        store = None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            if store is not None:
                with contextlib.suppress(StoreError):
                    store.gone(self._holder)
                store.close()

    async def _turn(self, store: Store) -> None:
        wanted = self._wanted
        if wanted is None:
            return
        before = self._seen
        seen = self._seen = await asyncio.to_thread(self._look, store, wanted)
        if self._published != seen.version:
            await self._publish(seen.proofs)
            await asyncio.to_thread(store.seen, self._holder, seen.version, self._clock() + LIVES)
            with self._is_published:
                self._published = seen.version
                self._is_published.notify_all()
        had = {id: kept.cert for id, kept in before.kept.items()}
        if {id: kept.cert for id, kept in seen.kept.items()} != had:
            await self._renewed()
        now = self._clock()
        for group in wanted.groups:
            if group not in self._orders and (
                self._is_due(wanted, group, now) or self._is_asked(wanted, group, now)
            ):
                self._orders[group] = asyncio.create_task(self._order(wanted, group))

    def _look(self, store: Store, wanted: Wanted) -> _Seen:
        now = self._clock()
        store.seen(self._holder, max(self._published, 0), now + LIVES)
        version, proofs = store.proofs(int(now))
        kept = {each.id: each for each in store.certificates(wanted.terms.authority)}
        ids = [identifier(wanted.terms.authority, group) for group in wanted.groups]
        return _Seen(version, proofs, kept, {id: store.attempt(id) for id in ids})

    def _is_due(self, wanted: Wanted, group: Group, now: float) -> bool:
        id = identifier(wanted.terms.authority, group)
        kept = self._seen.kept.get(id)
        is_missing = kept is None or kept.renew_at <= now
        return is_missing and self._seen.attempts.get(id, Attempt()).next_at <= now

    def _is_asked(self, wanted: Wanted, group: Group, now: float) -> bool:
        kept = self._seen.kept.get(identifier(wanted.terms.authority, group))
        return kept is not None and kept.ask_at <= now

    async def _order(self, wanted: Wanted, group: Group) -> None:
        try:
            async with self._room:
                outcome = await asyncio.to_thread(self._order_now, wanted, group)
            names = ", ".join(group)
            if outcome.made is not None:
                until = time.strftime("%Y-%m-%d %H:%M", time.gmtime(outcome.made.not_after))
                self._events.info(
                    "certificate obtained", names=names, until=until, issuer=outcome.made.issuer
                )
            elif outcome.says:
                self._events.error(f"no certificate for {names}: {outcome.says}")
        except StoreError as error:
            self._events.error(f"no certificate for {', '.join(group)}: {error}")
        finally:
            self._orders.pop(group, None)
            self._wake.set()

    def _order_now(self, wanted: Wanted, group: Group) -> Outcome:
        orderer = Orderer(wanted.terms, self._holder, self._version, self._spread, self._clock, self._opening)
        id = identifier(wanted.terms.authority, group)

        def is_due(store: Store) -> bool:
            now = self._clock()
            kept = next((each for each in store.certificates(wanted.terms.authority) if each.id == id), None)
            return (kept is None or kept.renew_at <= now) and store.attempt(id).next_at <= now

        with contextlib.closing(Store(wanted.store)) as store:
            if is_due(store):
                return orderer.order(store, group, is_due)
            kept = next((each for each in store.certificates(wanted.terms.authority) if each.id == id), None)
            if kept is not None:
                orderer.plan(store, kept)
            return Outcome()

    def _spread(self, store: Store, version: int) -> None:
        """Waits until our nodes have the proofs, and those of living instances that share the store."""
        from tidegate.issuing.client import AuthorityError

        end = time.monotonic() + SPREAD
        with self._is_published:
            has = self._is_published.wait_for(
                lambda: self._published >= version or self._is_closing, SPREAD
            )  # fmt: skip
        if self._is_closing or not has:
            raise AuthorityError("timeout", "the node did not take the proofs in time")
        while store.behind(version, self._clock()) and time.monotonic() < end and not self._is_closing:
            time.sleep(0.2)
