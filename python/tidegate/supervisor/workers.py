# SPDX-License-Identifier: Apache-2.0
"""Keeps function workers running: pools of processes that run the users' code."""

import errno
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Pool, WireProblem, listen
from tidegate.protocol.sockets import LONGEST
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.processes import Backoff, Process, adopt
from tidegate.supervisor.worker import key_of, launch

BACKLOG = 256
KILL_AFTER = 5.0
"""Seconds a worker has to end after SIGTERM, beyond what its calls may take."""
READY_WITHIN = 30.0
"""Seconds a worker has to load its code before a change that needs it is refused."""

Answer = Callable[[list[WireProblem]], None]


@dataclass(eq=False)
class _Worker:
    pool: Pool
    number: int
    generation: int
    backoff: Backoff = field(default_factory=lambda: Backoff(grace=10.0, first=0.2, longest=30.0))
    process: Process | None = None
    restart: Timer | None = None

    @property
    def key(self) -> str:
        return key_of(self.pool["name"], self.number, self.generation)

    @property
    def path(self) -> Path:
        return Path(self.pool["sockets"][self.number])


@dataclass(eq=False)
class _Change:
    """New workers that are being tried before those they replace go."""

    answer: Answer
    waiting: dict[str, _Worker] = field(default_factory=dict)
    ready: list[_Worker] = field(default_factory=list)
    problems: list[WireProblem] = field(default_factory=list)
    new_keys: list[str] = field(default_factory=list)
    timer: Timer | None = None


class Workers:
    """All pools of one gateway.

    Attributes:
        identity: Whom the workers run as; set before `set` is called.
    """

    def __init__(
        self,
        loop: Loop,
        sockets: Sockets,
        events: Events,
        *,
        owner: Identity | None,
        on_change: Callable[[], None],
        base: Path | None = None,
        generation: int = 0,
    ) -> None:
        """Takes what the workers need.

        Args:
            loop: What calls back.
            sockets: Where the workers' listening sockets are kept.
            events: Where to say what happens.
            owner: Whom the sockets belong to: the node's user, which connects to them.
            on_change: Called when a process started or ended.
            base: The instance's directory: folders under it are made for the node's user, too.
            generation: Counts upgrades: each has workers on sockets of its own.
        """
        self._loop = loop
        self._sockets = sockets
        self._events = events
        self._owner = owner
        self._on_change = on_change
        self._base = base
        self._generation = generation
        self._workers: dict[str, _Worker] = {}
        self._leaving: dict[int, Process] = {}
        self._orphans: dict[str, tuple[Process, dict[str, Any]]] = {}
        self._change: _Change | None = None
        self._is_stopping = False
        self.identity: Identity | None = None

    def adopt(self, entries: list[dict[str, Any]]) -> None:
        """Watches workers that an earlier supervisor started, until control says which are wanted."""
        for entry in entries:
            key = key_of(entry["pool"], entry["number"], self._generation)
            process = adopt(key, int(entry["pid"]), int(entry["start_time"]))
            if process is not None:
                self._orphans[key] = (process, entry)

    def resume(self, entries: list[dict[str, Any]]) -> None:
        """Goes on with the workers of a node that drains: those that end are started again.

        Args:
            entries: As `entries` gave them. Of those whose socket is not held, or of which a version before
                did not say how they are started, none is started again; they end with the others.
        """
        for entry in entries:
            pid = int(entry["pid"])
            key = key_of(entry.get("pool", f"process {pid}"), entry.get("number", 0), self._generation)
            process = adopt(key, pid, int(entry["start_time"]))
            if "spec" not in entry or key not in self._sockets:
                if process is not None:
                    self._orphans[key] = (process, entry)
                continue
            worker = self._workers[key] = _Worker(entry["spec"], entry["number"], self._generation)
            if process is None:
                self._start(worker)
            else:
                worker.process = process
                self._watch(worker, process)

    def bind(self, pools: list[Pool]) -> list[str]:
        """Binds the sockets of `pools` that are not bound yet; returns their keys.

        Raises:
            OSError: One cannot be bound. None is then.
        """
        bound: dict[str, socket.socket] = {}
        try:
            for key, (pool, number) in self._wanted(pools).items():
                if key not in self._sockets:
                    bound[key] = self._bind(Path(pool["sockets"][number]))
        except OSError:
            for opened in bound.values():
                opened.close()
            raise
        for key, opened in bound.items():
            self._sockets.add(key, [opened])
        return list(bound)

    def set(self, pools: list[Pool], new_keys: list[str], answer: Answer, *, tried: bool) -> None:
        """Makes the processes what `pools` says; workers that are not among them stay until `drop`.

        Args:
            pools: All that are wanted; their sockets are bound.
            new_keys: Sockets that were bound for this change, closed if it is refused.
            answer: Called once, with what is wrong: then everything is as it was.
            tried: Whether new code has to load before old code goes. At the first start there is no old
                code, and a function that does not load is to cost its own routes only.
        """
        if self._change is not None:
            # Control asks one thing at a time; this is another control.
            self._settle(self._change, "control was replaced")
        change = self._change = _Change(answer, new_keys=new_keys)
        for key, (pool, number) in self._wanted(pools).items():
            worker = self._workers.get(key)
            if worker is not None and worker.pool["hash"] == pool["hash"]:
                continue
            fresh = _Worker(pool, number, self._generation)
            if worker is None and self._take_orphan(fresh):
                continue
            if tried:
                self._try(change, fresh)
            else:
                self._promote(fresh)
        if change.waiting:
            change.timer = self._loop.after(
                READY_WITHIN, lambda: self._settle(change, "it did not get ready")
            )
        else:
            self._settle(change)

    def drop(self, keep: list[Pool]) -> None:
        """Ends the workers that are not in `keep`, and closes their sockets."""
        wanted = self._wanted(keep)
        for key in [key for key in self._workers if key not in wanted]:
            self._release(key)
        for process, _ in self._orphans.values():
            self.leave(process)
        self._orphans.clear()

    def _bind(self, path: Path) -> socket.socket:
        if len(os.fsencode(path)) > LONGEST:
            # The node connects by this path.
            text = f"{path} is longer than {LONGEST} bytes; choose a shorter --runtime-directory"
            raise OSError(errno.ENAMETOOLONG, text)
        above = [each for each in path.parents if self._base in each.parents] or [path.parent]
        for folder in reversed(above):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._owner is not None:
                os.chown(folder, 0, self._owner.gid)
                folder.chmod(0o710)
        opened = listen(path, 0o600, BACKLOG, replace=True)
        if self._owner is not None:
            os.chown(path, self._owner.uid, self._owner.gid)
        return opened

    def _take_orphan(self, worker: _Worker) -> bool:
        process, entry = self._orphans.pop(worker.key, (None, {}))
        if process is None:
            return False
        if entry["hash"] != worker.pool["hash"]:
            self.leave(process)
            return False
        worker.process = process
        self._workers[worker.key] = worker
        self._watch(worker, process)
        return True

    def _try(self, change: _Change, fresh: _Worker) -> None:
        """Starts a worker beside the one that it is to replace."""
        change.waiting[fresh.key] = fresh

        def outcome(problem: str) -> None:
            if change.waiting.pop(fresh.key, None) is None:
                return
            change.ready.append(fresh)
            if problem:
                change.problems.append({"where": f"function {fresh.pool['name']}", "message": problem})
            if not change.waiting:
                self._settle(change)

        try:
            fresh.process = self._launch(fresh, outcome)
        except OSError as error:
            outcome(f"cannot be started: {error}")
        # A next supervisor is to find it, and to end it.
        self._on_change()

    def _settle(self, change: _Change, problem: str = "") -> None:
        """Ends a change: all its workers take over, or none does."""
        if self._change is not change:
            return
        self._change = None
        if change.timer is not None:
            change.timer.cancel()
        for worker in change.waiting.values():
            change.problems.append({"where": f"function {worker.pool['name']}", "message": problem})
        if not change.problems:
            for worker in change.ready:
                self._promote(worker)
        else:
            for worker in (*change.ready, *change.waiting.values()):
                if worker.process is not None:
                    self.leave(worker.process)
            for key in change.new_keys:
                self._sockets.drop(key)
        change.waiting.clear()
        # Several processes of a pool fail alike.
        unique = {(each["where"], each["message"]): each for each in change.problems}
        change.answer(list(unique.values()))

    def _promote(self, fresh: _Worker) -> None:
        """Puts a worker in the place of its predecessor, which takes no new calls and ends."""
        old = self._workers.get(fresh.key)
        self._workers[fresh.key] = fresh
        if fresh.process is None:
            self._start(fresh)
        else:
            self._watch(fresh, fresh.process)
        if old is not None:
            self._retire(old)
        self._on_change()

    def _retire(self, worker: _Worker) -> None:
        if worker.restart is not None:
            worker.restart.cancel()
        if worker.process is not None:
            self._loop.unwatch(worker.process.pidfd)
            self.leave(worker.process, worker.pool["deadline_ms"] / 1000)
            worker.process = None

    def _launch(self, worker: _Worker, outcome: Callable[[str], None]) -> Process:
        listener = self._sockets.first(worker.key)
        process = launch(self._loop, worker.pool, worker.number, listener, self.identity, outcome)
        self._events.info(
            "function worker started", pool=worker.pool["name"], number=worker.number, pid=process.pid
        )
        return process

    def _start(self, worker: _Worker) -> None:
        worker.restart = None

        def outcome(problem: str) -> None:
            if problem and not self._is_stopping:
                self._events.error(
                    f"a function cannot serve: {problem}", pool=worker.pool["name"], number=worker.number
                )

        try:
            process = self._launch(worker, outcome)
        except OSError as error:
            self._again(worker, 0.0, f"cannot be started: {error}")
            return
        worker.process = process
        self._watch(worker, process)
        self._on_change()

    def _watch(self, worker: _Worker, process: Process) -> None:
        self._loop.watch(process.pidfd, lambda _events: self._ended(worker, process))

    def _ended(self, worker: _Worker, process: Process) -> None:
        self._loop.unwatch(process.pidfd)
        worker.process = None
        self._again(worker, time.monotonic() - process.started, process.reap())
        self._on_change()

    def _again(self, worker: _Worker, lived: float, how: str) -> None:
        if self._is_stopping:
            return
        delay = worker.backoff.ended(lived)
        self._events.warning(
            "function worker ended, starting another",
            pool=worker.pool["name"],
            number=worker.number,
            how=how,
            in_s=round(delay, 1) or None,
        )
        worker.restart = self._loop.after(delay, lambda: self._start(worker))

    def _release(self, key: str) -> None:
        worker = self._workers.pop(key)
        self._retire(worker)
        self._sockets.drop(key)
        worker.path.unlink(missing_ok=True)

    def leave(self, process: Process, patience: float = 0.0) -> None:
        """Asks a process to end and kills it if it does not."""
        self._leaving[process.pid] = process
        self._loop.watch(process.pidfd, lambda _events: self._left(process))
        process.signal(signal.SIGTERM)

        def kill() -> None:
            if self._leaving.get(process.pid) is process:
                process.signal(signal.SIGKILL)

        self._loop.after(patience + KILL_AFTER, kill)

    def _left(self, process: Process) -> None:
        self._loop.unwatch(process.pidfd)
        del self._leaving[process.pid]
        process.reap()
        self._on_change()

    def stop(self) -> None:
        """Asks every worker to end; none is started again."""
        self._is_stopping = True
        if self._change is not None:
            self._settle(self._change, "the gateway stops")
        for worker in self._workers.values():
            self._retire(worker)
        for process, _ in self._orphans.values():
            self.leave(process)
        self._orphans.clear()

    def kill(self) -> None:
        """Ends every worker at once."""
        self.stop()
        for process in self._leaving.values():
            process.signal(signal.SIGKILL)

    def reap(self, pid: int) -> bool:
        """As process 1: handles the end of `pid` if it is a worker."""
        if pid in self._leaving:
            self._left(self._leaving[pid])
            return True
        for worker in self._workers.values():
            if worker.process is not None and worker.process.pid == pid:
                self._ended(worker, worker.process)
                return True
        # One that is being tried has said, or will say, by its pipe; its status is taken when it leaves.
        return False

    @property
    def is_empty(self) -> bool:
        """Whether no worker runs."""
        return not self._leaving and all(worker.process is None for worker in self._workers.values())

    def entries(self) -> list[dict[str, Any]]:
        """For `state.json`, those that control has not asked for yet included."""
        orphans = [entry for _, entry in self._orphans.values()]
        return orphans + [
            {
                "pool": worker.pool["name"],
                "number": worker.number,
                "hash": worker.pool["hash"],
                "pid": worker.process.pid,
                "start_time": worker.process.start_time,
                "spec": worker.pool,
            }
            for worker in self._workers.values()
            if worker.process is not None
        ]

    def leaving(self) -> list[dict[str, int]]:
        """Processes that were told to end, for `state.json`, and those that are tried for a change: a next
        supervisor, which knows nothing of it, ends them too."""
        change = self._change
        tried = [*change.ready, *change.waiting.values()] if change is not None else []
        processes = [*self._leaving.values(), *(each.process for each in tried if each.process is not None)]
        return [{"pid": each.pid, "start_time": each.start_time} for each in processes]

    def _wanted(self, pools: list[Pool]) -> dict[str, tuple[Pool, int]]:
        """Pool and number of each worker, by the key of its socket."""
        generation = self._generation
        return {
            key_of(pool["name"], at, generation): (pool, at)
            for pool in pools
            for at in range(len(pool["sockets"]))
        }
