# SPDX-License-Identifier: Apache-2.0
"""Nodes that were replaced: they accept nothing more, finish what they have, and end."""

import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import MAX_DESCRIPTORS, Message
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.node import Node
from tidegate.supervisor.workers import Workers

IDLE = 10.0
"""Seconds a kept connection has for its next request, which is answered as the last one."""
_LOOK = 0.25
"""Seconds between two looks at how far it has come."""
_TELL = 10.0
"""Seconds between two lines about it in the log."""
_LATE = 10.0
"""Seconds after the deadline at which a node that has not gone is killed."""


class Draining:
    """One node on its way out, with the function workers that serve it.

    Attributes:
        node: The node.
        workers: Its function workers; they are told to end when it has ended.
        sockets: What those listen on.
        generation: Whose sockets those workers listen on.
        deadline: When what is left is cut, on the monotonic clock.
        connections: How many client connections it had when last asked; None before.
        cut: How many it had to cut, once it has said so.
    """

    def __init__(
        self,
        loop: Loop,
        node: Node,
        workers: Workers,
        sockets: Sockets,
        generation: int,
        events: Events,
        on_end: Callable[["Draining"], None],
    ) -> None:
        """Takes a node out of service; call `begin` or `follow` next."""
        self._loop = loop
        self._events = events
        self._on_end = on_end
        self._timer: Timer | None = None
        self._told = time.monotonic()
        self._is_asked = False
        self.node = node
        self.workers = workers
        self.sockets = sockets
        self.generation = generation
        self.pid = node.process.pid if node.process is not None else 0
        self.deadline = time.monotonic()
        self.connections: int | None = None
        self.cut: int | None = None
        self.how = ""
        node.retire(self._ended)

    def begin(self, seconds: float, heir: Node | None = None) -> None:
        """Has the node drain within `seconds`; called again, the sooner end counts.

        Args:
            seconds: How long it may take.
            heir: Who takes its place, and gets its sockets of UDP.
        """
        if heir is not None:
            self._leave_datagrams(heir)
        deadline = time.monotonic() + seconds
        self.deadline = min(deadline, self.deadline) if self._is_asked else deadline
        self.node.call(
            "drain",
            lambda _reply: None,
            grace_ms=round(seconds * 1000),
            idle_ms=round(IDLE * 1000),
            has_heir=True,
        )
        self.follow(self.deadline)

    def _leave_datagrams(self, heir: Node) -> None:
        """Has the node leave its sockets of UDP to `heir`, with a way between the two for each thread.

        By it the new one passes on what is the old one's. A node of a version that knows nothing of it
        refuses, and closes what goes over UDP when it drains.
        """
        kind = socket.SOCK_SEQPACKET
        try:
            # More threads than descriptors fit into a message: the rest has no way.
            count = min(self.node.threads, MAX_DESCRIPTORS)
            pairs = [socket.socketpair(socket.AF_UNIX, kind) for _ in range(count)]
        except OSError as error:
            self._events.warning("sessions of UDP cannot go on", problem=str(error))
            pairs = []
        own, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

        def left(reply: Message | None) -> None:
            _close(own)
            has_left = reply is not None and reply.get("ok") is True
            descriptors = [each.fileno() for each in other] if has_left else []
            heir.call("datagrams.take", lambda _reply: _close(other), descriptors=descriptors)

        self.node.call("datagrams.leave", left, descriptors=[each.fileno() for each in own])

    def follow(self, deadline: float) -> None:
        """Watches a node that was told to drain, perhaps by the supervisor before this one."""
        self.deadline = deadline
        self._is_asked = True
        if self._timer is None:
            self._timer = self._loop.after(_LOOK, self._look)

    def _look(self) -> None:
        if self.node.process is None:
            return
        now = time.monotonic()
        if now > self.deadline + _LATE:
            self.node.process.signal(signal.SIGKILL)
        self._timer = self._loop.after(_LOOK, self._look)
        self.node.call("drain.status", self._seen, timeout=5.0)

    def _seen(self, reply: Message | None) -> None:
        status = (reply or {}).get("drain")
        if not isinstance(status, dict):
            return
        self.connections = int(status["connections"])
        self.cut = status["cut"]
        if self.cut is None and time.monotonic() - self._told >= _TELL:
            self._told = time.monotonic()
            self._events.info(
                "the old node drains",
                pid=self.pid,
                connections=self.connections,
                cut_in_s=round(self.left),
            )

    def _ended(self, how: str, _failures: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.how = how
        self.node.close()
        self.node.path.unlink(missing_ok=True)
        if self.cut is None:
            self._events.warning("the old node ended before it had drained", pid=self.pid, how=how)
        else:
            self._events.info("the old node has drained", pid=self.pid, cut=self.cut)
        self._on_end(self)

    @property
    def left(self) -> float:
        """Seconds until what it still has is cut."""
        return max(self.deadline - time.monotonic(), 0.0)

    def entry(self) -> dict[str, Any]:
        """For `state.json`; the next supervisor of this boot has the same monotonic clock."""
        process = self.node.process
        return {
            "pid": self.pid,
            "start_time": process.start_time if process is not None else 0,
            "path": str(self.node.path),
            "deadline": self.deadline,
            "generation": self.generation,
            "workers": self.workers.entries(),
        }

    def status(self) -> dict[str, Any]:
        """For `tidegate status` and `tidegate upgrade`."""
        return {
            "pid": self.pid,
            "version": self.node.version,
            "connections": self.connections,
            "left_s": round(self.left, 1),
            "cut": self.cut,
            "ended": self.how or None,
        }


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def remove_folder(folder: Path) -> None:
    """Removes the sockets of function workers that are gone."""
    shutil.rmtree(folder, ignore_errors=True)
