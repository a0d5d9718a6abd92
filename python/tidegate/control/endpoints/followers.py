# SPDX-License-Identifier: Apache-2.0
"""Runs the sources of endpoints that a configuration names, one task for each backend that has one."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from tidegate.config.backend import Endpoint
from tidegate.config.rooms import room
from tidegate.control.endpoints.roster import MOST
from tidegate.events import Events

FIRST: Final = 5.0
"""Seconds that a new configuration waits at most for what its sources find."""
_PAUSE: Final = 5.0
"""Seconds before a source that broke is started again."""

Wanted = dict[str, Any]
"""`{"kind", "settings", "folder"}` of one backend's source, as `Compiled.discovery` has it."""
Found = Callable[[str, str, Sequence[Endpoint]], None]
"""Called with backend, kind and endpoints, at least one."""


@dataclass
class _Following:
    wanted: Wanted
    first: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has found something, or has not."""
    problem: str = ""
    failures: int = 0
    worked: float | None = None
    """When it worked last, by `time.monotonic`."""
    task: asyncio.Task[None] | None = None


class Followers:
    """The sources of one gateway."""

    def __init__(self, events: Events, found: Found, changed: Callable[[], None]) -> None:
        """Takes what it works with; `changed` is called when a source has begun or ceased to work."""
        self._events = events
        self._found = found
        self._changed = changed
        self._following: dict[str, _Following] = {}

    def follow(self, wanted: Mapping[str, Wanted]) -> None:
        """Follows these, by backend, instead of those before; what stays the same goes on."""
        for backend in list(self._following):
            if wanted.get(backend) != self._following[backend].wanted:
                following = self._following.pop(backend)
                if following.task is not None:
                    following.task.cancel()
        for backend, each in wanted.items():
            if backend not in self._following:
                following = self._following[backend] = _Following(each)
                following.task = asyncio.create_task(self._run(backend, following))

    async def first(self, backends: set[str]) -> None:
        """Waits until each of these has found something or failed, a few seconds at most."""
        waits = [each.first.wait() for name, each in self._following.items() if name in backends]
        if waits:
            await asyncio.wait([asyncio.ensure_future(each) for each in waits], timeout=FIRST)

    def problems(self) -> dict[str, dict[str, str]]:
        """By backend: the kind of its source, and what is wrong with it."""
        return {
            name: {"kind": each.wanted["kind"], "problem": each.problem}
            for name, each in self._following.items()
        }

    def states(self) -> dict[str, dict[str, Any]]:
        """By backend: `{"kind", "failures", "is_failing", "age_ms"}`, the last none before it ever worked."""
        now = time.monotonic()
        return {
            name: {
                "kind": each.wanted["kind"],
                "failures": each.failures,
                "is_failing": bool(each.problem),
                "age_ms": None if each.worked is None else round((now - each.worked) * 1000),
            }
            for name, each in self._following.items()
        }

    async def close(self) -> None:
        """Follows nothing any more."""
        tasks = [each.task for each in self._following.values() if each.task is not None]
        self._following.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, backend: str, following: _Following) -> None:
        kind = following.wanted["kind"]
        teller = _Teller(self, backend, following)
        while True:
            try:
                settings = room("discovery", kind).model_validate(following.wanted["settings"])
                await _module(kind).follow(settings, teller, Path(following.wanted["folder"]))
                teller.failed("it ended")
            except Exception as error:
                # Its own failures are told; this is a defect in it, which must not end control.
                teller.failed(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE)

    def told(self, backend: str, following: _Following, endpoints: Sequence[Endpoint]) -> None:
        """A source found something."""
        kind = following.wanted["kind"]
        if following.problem:
            self._events.info(f"the source of {backend} works again", kind=kind)
        has_changed = bool(following.problem) or following.worked is None
        following.problem, following.worked = "", time.monotonic()
        self._found(backend, kind, endpoints)
        following.first.set()
        if has_changed:
            self._changed()

    def failed(self, backend: str, following: _Following, reason: str) -> None:
        """A source found nothing; said once for each reason."""
        if reason != following.problem:
            kind = following.wanted["kind"]
            for line in reason.splitlines() or [reason]:
                self._events.warning(f"the last endpoints of {backend} stay: {line}", kind=kind)
        has_changed = not following.problem
        following.problem = reason
        following.failures += 1
        following.first.set()
        if has_changed:
            self._changed()


class _Teller:
    """What one source tells things to: `tidegate.discovery.report.Report`."""

    def __init__(self, followers: Followers, backend: str, following: _Following) -> None:
        self._followers, self._backend, self._following = followers, backend, following

    def found(self, endpoints: Sequence[Endpoint]) -> None:
        if not endpoints:
            self.failed("there is no endpoint in what it found")
        elif len(endpoints) > MOST:
            self.failed(f"it found {len(endpoints)} endpoints, more than {MOST}")
        elif not any(each.weight and not each.draining for each in endpoints):
            self.failed("no endpoint that it found takes requests")
        else:
            self._followers.told(self._backend, self._following, endpoints)

    def unchanged(self) -> None:
        if self._following.worked is not None and not self._following.problem:
            self._following.worked = time.monotonic()

    def failed(self, reason: str) -> None:
        self._followers.failed(self._backend, self._following, reason)


def _module(kind: str) -> Any:
    foreign = entry_points(group="tidegate.discovery", name=kind)
    return next(iter(foreign)).load() if foreign else importlib.import_module(f"tidegate.discovery.{kind}")
