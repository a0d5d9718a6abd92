# SPDX-License-Identifier: Apache-2.0
"""The node with its function workers, the one that is to replace it, and those that were replaced."""

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Message, ProtocolError
from tidegate.runtime import Instance
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.draining import Draining, remove_folder
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import Loop
from tidegate.supervisor.node import AdoptionError, Node, Owner
from tidegate.supervisor.processes import adopt
from tidegate.supervisor.workers import Workers


@dataclass
class Team:
    """A node and its function workers.

    Attributes:
        generation: Counts the nodes that were replaced; each has workers on sockets of its own, so that
            an old node never meets a new worker.
    """

    node: Node
    workers: Workers
    generation: int


class Crew:
    """Every node of one gateway, and who works for it.

    Attributes:
        team: Those that serve, or that are to: then `before` serves until they do.
        before: Those that are being replaced; None while nobody is.
        draining: Nodes that were replaced and finish what they have.
    """

    def __init__(
        self,
        loop: Loop,
        instance: Instance,
        identity: Identity | None,
        sockets: Sockets,
        events: Events,
        *,
        on_up: Callable[[], None],
        on_end: Callable[[str, int], None],
        on_change: Callable[[], None],
        on_drained: Callable[[dict[str, Any]], None],
    ) -> None:
        """Takes what nodes and workers need.

        Args:
            loop: What calls back.
            instance: Whose they are.
            identity: Whom nodes run as.
            sockets: What they listen on.
            events: Where to say what happens.
            on_up: Called when a node accepts.
            on_end: Called when one of `team` or `before` ended, with how, and how many ended early.
            on_change: Called when a worker started or ended, or a node has drained.
            on_drained: Called before that with the node's `status`.
        """
        self._loop = loop
        self._instance = instance
        self._identity = identity
        self._sockets = sockets
        self._events = events
        self._on_up = on_up
        self._on_end = on_end
        self._on_change = on_change
        self._on_drained = on_drained
        self._before_workers: list[dict[str, Any]] = []
        self._before_sockets = Sockets()
        self._dismissed: list[Workers] = []
        self.team = self._make(0)
        self.before: Team | None = None
        self.draining: list[Draining] = []

    def _make(self, generation: int, path: Path | None = None) -> Team:
        node = Node(
            self._loop,
            Owner(self._instance, self._identity),
            self._sockets,
            self._events,
            on_up=self._on_up,
            on_end=self._on_end,
            path=path,
        )
        return Team(node, self._make_workers(generation, self._sockets), generation)

    def _make_workers(self, generation: int, sockets: Sockets) -> Workers:
        return Workers(
            self._loop,
            sockets,
            self._events,
            owner=self._identity,
            on_change=self._on_change,
            base=self._instance.directory,
            generation=generation,
        )

    def follow(self, last: dict[str, Any]) -> bool:
        """Takes over what the supervisor before has left, as it says in `state.json`.

        Workers of the node are left to `keep_workers` or `try_out`.

        Returns:
            Whether there is a node.

        Raises:
            AdoptionError: Something answers that is no node of ours.
        """
        self.team = self._make(last.get("generation", 0))
        self._before_workers = last.get("workers", [])
        for entry in last.get("draining", []):
            node = self._make(0, Path(entry["path"])).node
            with contextlib.suppress(AdoptionError):
                if node.adopt(with_sockets=False):
                    # Their sockets went with the supervisor that held them.
                    draining = self._drain(node, entry["workers"], entry["generation"], Sockets())
                    draining.follow(entry["deadline"])
        for entry in last.get("leaving", []):
            process = adopt("leaving", entry["pid"], entry["start_time"])
            if process is not None:
                self.team.workers.leave(process)
        return self.team.node.adopt()

    def keep_workers(self) -> None:
        """Goes on with the workers that were found, as far as control wants them."""
        workers, self._before_workers = self._before_workers, []
        self.team.workers.adopt(workers)

    def try_out(self) -> None:
        """Brings up a node beside the adopted one; its workers and what it serves come from control."""
        old = self.before = self.team
        # The old node's business.
        self._before_sockets = self._sockets.part(
            key for key in self._sockets.names() if key.startswith("worker:")
        )
        team = self.team = self._make(old.generation + 1, self._fresh_path())
        # Known before it is up: what control asks for meanwhile waits for it.
        team.node.threads = old.node.threads

        def seen(status: Message | None) -> None:
            if self.team is team:
                team.node.try_out(old.node.threads, health_of(status))

        old.node.call("status", seen)

    def _fresh_path(self) -> Path:
        return self._instance.directory / f"node.{secrets.token_hex(4)}.sock"

    def promote(self, seconds: float) -> None:
        """The node that was tried out serves; the one before has `seconds` to finish.

        Raises:
            OSError: Its socket cannot be put in place; call `step_back`.
        """
        assert self.before is not None
        old, path = self.before, self._fresh_path()
        old.node.step_aside(path)
        self.team.node.promote()
        self.before = None
        entries, self._before_workers = self._before_workers, []
        sockets, self._before_sockets = self._before_sockets, Sockets()
        self._drain(old.node, entries, old.generation, sockets).begin(seconds, self.team.node)

    def step_back(self, seconds: float) -> None:
        """Goes back to the node that serves; the other has `seconds` to finish, should it have begun."""
        assert self.before is not None
        failed, self.team, self.before = self.team, self.before, None
        failed.workers.stop()
        self._dismissed.append(failed.workers)
        if failed.node.process is not None:
            self._drain(failed.node, [], failed.generation, Sockets()).begin(seconds)
        else:
            failed.node.close()
            failed.node.path.unlink(missing_ok=True)
            remove_folder(self._instance.workers_folder(failed.generation))
        # What was bound for the other is forgotten; this one has what it needs.
        self._sockets.close()
        self._before_sockets.close()
        try:
            self.team.node.take_sockets()
        except (OSError, ProtocolError) as error:
            self._events.error(f"the node does not give its sockets back: {error}")
        self.keep_workers()

    def _drain(
        self, node: Node, entries: list[dict[str, Any]], generation: int, sockets: Sockets
    ) -> Draining:
        workers = self._make_workers(generation, sockets)
        workers.identity = self.team.workers.identity
        workers.resume(entries)
        draining = Draining(self._loop, node, workers, sockets, generation, self._events, self._drained)
        self.draining.append(draining)
        return draining

    def _drained(self, draining: Draining) -> None:
        self.draining.remove(draining)
        draining.workers.stop()
        draining.sockets.close()
        self._dismissed.append(draining.workers)
        if draining.generation != self.team.generation:
            remove_folder(self._instance.workers_folder(draining.generation) / "workers")
        self._on_drained(draining.status())
        self._on_change()

    def stop(self, seconds: float) -> None:
        """Has every node finish within `seconds`; `before` must have been settled."""
        self.team.node.drain()
        for draining in self.draining:
            draining.begin(min(seconds, draining.left))

    def kill(self) -> None:
        """Ends every process at once."""
        for node in (self.team.node, *(each.node for each in self.draining)):
            node.kill()
        for workers in self._all_workers():
            workers.kill()

    @property
    def is_empty(self) -> bool:
        """Whether no process is left."""
        is_idle = all(each.is_empty for each in self._all_workers())
        return not self.draining and not self.team.node.process and is_idle

    def _all_workers(self) -> list[Workers]:
        return [self.team.workers, *(each.workers for each in self.draining), *self._dismissed]

    def reap(self, pid: int) -> bool:
        """As process 1: handles the end of `pid` if it is a function worker."""
        return any(each.reap(pid) for each in self._all_workers())

    def has_another(self) -> bool:
        """Whether a node other than `team`'s has requests, perhaps of a configuration before."""
        return bool(self.draining) or self.before is not None

    def nodes(self) -> list[Node]:
        """All that may be asked something."""
        nodes = [self.team.node, *(each.node for each in self.draining)]
        return nodes if self.before is None else [self.before.node, *nodes]

    def entries(self) -> dict[str, Any]:
        """For `state.json`; of a replacement under way, what the next supervisor can begin anew from."""
        serving = self.before or self.team
        process = serving.node.process
        leaving = [each for one in self._all_workers() for each in one.leaving()]
        workers = self.team.workers.entries()
        if self.before is not None:
            trial = self.team.node.process
            leaving += [_identity(trial.pid, trial.start_time)] if trial is not None else []
            leaving += [_identity(each["pid"], each["start_time"]) for each in workers]
            workers = self._before_workers
        return {
            "node": _identity(process.pid, process.start_time) if process is not None else None,
            "generation": serving.generation,
            "workers": workers,
            "draining": [each.entry() for each in self.draining],
            "leaving": leaving,
        }

    def close(self) -> None:
        """Closes what is open and removes every file."""
        self.team.node.close()
        for path in (self._instance.node_socket, *self._instance.directory.glob("node.*.sock")):
            path.unlink(missing_ok=True)
        remove_folder(self._instance.directory / "workers")
        for generation in range(1, self.team.generation + 2):
            remove_folder(self._instance.workers_folder(generation))


def health_of(status: Message | None) -> list[list[str]]:
    """What a node's checks have found, as a new one is told: `[backend, endpoint, "up" or "down"]`."""
    return [
        [backend["name"], endpoint["address"], endpoint["health"]]
        for backend in (status or {}).get("backends", ())
        for endpoint in backend["endpoints"]
        if endpoint["health"] in ("up", "down")
    ]


def _identity(pid: int, start_time: int) -> dict[str, int]:
    return {"pid": pid, "start_time": start_time}
