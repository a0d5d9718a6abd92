# SPDX-License-Identifier: Apache-2.0
"""Keeps function workers running: pools of processes that run the users' code."""

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Pool, listen
from tidegate.protocol.sockets import LONGEST
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.processes import Backoff, Process, Spec, adopt, start

ENTRY = "tidegate._worker"
BACKLOG = 256
KILL_AFTER = 5.0
"""Seconds a worker has to end after SIGTERM, beyond what its calls may take."""


@dataclass
class _Worker:
    pool: Pool
    number: int
    backoff: Backoff = field(default_factory=lambda: Backoff(grace=10.0, first=0.2, longest=30.0))
    process: Process | None = None
    restart: Timer | None = None

    @property
    def key(self) -> str:
        return key_of(self.pool["name"], self.number)


def key_of(pool: str, number: int) -> str:
    """The key of a worker's socket."""
    return f"worker:{pool}:{number}"


class Workers:
    """All pools of one gateway."""

    def __init__(
        self,
        loop: Loop,
        sockets: Sockets,
        events: Events,
        *,
        owner: Identity | None,
        on_change: Callable[[], None],
    ) -> None:
        """Takes what the workers need.

        Args:
            loop: What calls back.
            sockets: Where the workers' listening sockets are kept.
            events: Where to say what happens.
            owner: Whom the sockets belong to: the node's user, which connects to them.
            on_change: Called when a process started or ended.
        """
        self._loop = loop
        self._sockets = sockets
        self._events = events
        self._owner = owner
        self._on_change = on_change
        self._workers: dict[str, _Worker] = {}
        self._leaving: dict[int, Process] = {}
        self._orphans: dict[str, tuple[Process, str]] = {}
        self._is_stopping = False
        self.identity: Identity | None = None
        """Whom the workers run as."""

    def adopt(self, entries: list[dict[str, Any]]) -> None:
        """Watches workers that an earlier supervisor started, until control says which are wanted."""
        for entry in entries:
            key = key_of(entry["pool"], entry["number"])
            process = adopt(key, int(entry["pid"]), int(entry["start_time"]))
            if process is not None:
                self._orphans[key] = (process, entry["hash"])

    def set(self, pools: list[Pool], *, drop: bool) -> list[str]:
        """Makes the processes what `pools` says; new sockets are bound before this returns.

        Args:
            pools: All that are wanted.
            drop: Whether others go now; a change keeps them until the node has let go of them.

        Returns:
            Keys of the sockets that are new.

        Raises:
            OSError: A socket cannot be bound. Nothing has changed then.
        """
        wanted = {
            key_of(pool["name"], at): (pool, at) for pool in pools for at in range(len(pool["sockets"]))
        }
        new = [key for key in wanted if key not in self._sockets]
        bound = []
        try:
            for key in new:
                pool, number = wanted[key]
                bound.append((key, self._bind(Path(pool["sockets"][number]))))
        except OSError:
            for _, opened in bound:
                opened.close()
            raise
        for key, opened in bound:
            self._sockets.add(key, [opened])
        for key, (pool, number) in wanted.items():
            self._want(key, pool, number)
        if drop:
            for key in [key for key in self._workers if key not in wanted]:
                self._release(key)
            for process, _ in self._orphans.values():
                self._leave(process)
            self._orphans.clear()
        return new

    def _bind(self, path: Path) -> socket.socket:
        if len(os.fsencode(path)) > LONGEST:
            # The node connects by this path.
            text = f"{path} is longer than {LONGEST} bytes; choose a shorter --runtime-directory"
            raise OSError(errno.ENAMETOOLONG, text)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if self._owner is not None:
            os.chown(path.parent, 0, self._owner.gid)
            path.parent.chmod(0o710)
        opened = listen(path, 0o600, BACKLOG)
        if self._owner is not None:
            os.chown(path, self._owner.uid, self._owner.gid)
        return opened

    def _want(self, key: str, pool: Pool, number: int) -> None:
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = _Worker(pool, number)
            process, digest = self._orphans.pop(key, (None, ""))
            if process is not None and digest == pool["hash"]:
                worker.process = process
                self._watch(worker, process)
                return
            self._start(worker)
            if process is not None:
                self._leave(process)
        elif worker.pool["hash"] != pool["hash"]:
            old = worker.process
            worker.pool, worker.process = pool, None
            if old is not None:
                self._loop.unwatch(old.pidfd)
            self._start(worker)
            if old is not None:
                # Beside the new one on the same socket; it takes no new connections and ends.
                self._leave(old)

    def _start(self, worker: _Worker) -> None:
        if worker.restart is not None:
            worker.restart.cancel()
            worker.restart = None
        pool = worker.pool
        settings = {**pool["settings"], "pool": pool["name"], "number": worker.number}
        try:
            process = start(
                Spec(
                    worker.key,
                    ENTRY,
                    environment={"TIDEGATE_WORKER": json.dumps(settings)},
                    descriptors={3: self._sockets.first(worker.key)},
                    interpreter=pool["interpreter"],
                    identity=self.identity,
                    memory=pool["memory"],
                    directory=Path(pool["directory"]) if pool["directory"] else None,
                )
            )
        except OSError as error:
            self._again(worker, 0.0, f"cannot be started: {error}")
            return
        worker.process = process
        self._watch(worker, process)
        self._events.info("function worker started", pool=pool["name"], number=worker.number, pid=process.pid)
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
        if worker.restart is not None:
            worker.restart.cancel()
        if worker.process is not None:
            self._loop.unwatch(worker.process.pidfd)
            self._leave(worker.process, worker.pool["deadline_ms"] / 1000)
        self._sockets.drop(key)
        Path(worker.pool["sockets"][worker.number]).unlink(missing_ok=True)

    def _leave(self, process: Process, patience: float = 0.0) -> None:
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
        for worker in self._workers.values():
            if worker.restart is not None:
                worker.restart.cancel()
            if worker.process is not None:
                self._loop.unwatch(worker.process.pidfd)
                self._leave(worker.process)
                worker.process = None
        for process, _ in self._orphans.values():
            self._leave(process)
        self._orphans.clear()

    def kill(self) -> None:
        """Ends every worker at once."""
        self.stop()
        for process in self._leaving.values():
            process.signal(signal.SIGKILL)

    def reaped_by_init(self, pid: int) -> bool:
        """As process 1: handles the end of `pid` if it is a worker."""
        if pid in self._leaving:
            self._left(self._leaving[pid])
            return True
        for worker in self._workers.values():
            if worker.process is not None and worker.process.pid == pid:
                self._ended(worker, worker.process)
                return True
        return False

    @property
    def is_empty(self) -> bool:
        """Whether no worker runs."""
        return not self._leaving and all(worker.process is None for worker in self._workers.values())

    def files(self) -> list[Path]:
        """The sockets' files."""
        return [Path(worker.pool["sockets"][worker.number]) for worker in self._workers.values()]

    def entries(self) -> list[dict[str, Any]]:
        """For `state.json`."""
        return [
            {
                "pool": worker.pool["name"],
                "number": worker.number,
                "hash": worker.pool["hash"],
                "pid": worker.process.pid,
                "start_time": worker.process.start_time,
            }
            for worker in self._workers.values()
            if worker.process is not None
        ]
