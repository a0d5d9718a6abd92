# SPDX-License-Identifier: Apache-2.0
"""Keeps the users' own servers running: the processes of backends.

Control says which are to be there and which are to go, and whether they are healthy; here they are started,
restarted where they were, and ended. So they go on without control, and over an upgrade.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Message, OriginSpec
from tidegate.supervisor import output
from tidegate.supervisor.control import Reply
from tidegate.supervisor.identity import Identity, IdentityError
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.output import Output
from tidegate.supervisor.ports import free_port, is_free
from tidegate.supervisor.processes import Backoff, Process, Spec, adopt, start, start_time_of

_HOST = "127.0.0.1"
_MOVES_AFTER = 2
"""Early deaths in a row after which a process gets another port: somebody may have taken its own."""
_GRACE = 10.0
"""Seconds that a process lives if it is no failure of its start."""

Identify = Callable[[str | None], Identity | None]
"""Whom users' code runs as, by the name that the configuration has; raises IdentityError."""


class Origin:
    """One place for a process, over its restarts.

    Attributes:
        ended: How often it ended, failed starts included.
        how: How it ended last.
        is_leaving: Whether it was told to end for good.
    """

    def __init__(self, backend: str, number: int, spec: OriginSpec, port: int) -> None:
        """Starts nothing."""
        self.backend = backend
        self.number = number
        self.spec = spec
        self.port = port
        self.backoff = Backoff(grace=_GRACE, first=0.2, longest=30.0)
        self.process: Process | None = None
        self.restart: Timer | None = None
        self.output: Output | None = None
        self.ended = 0
        self.how = ""
        self.is_leaving = False

    @property
    def role(self) -> str:
        """As `tidegate status` shows it."""
        return f"process:{self.backend}:{self.number}"

    @property
    def address(self) -> str:
        """Where it listens; names it among all."""
        return f"{_HOST}:{self.port}"

    def told(self) -> dict[str, Any]:
        """For control."""
        return {
            "backend": self.backend,
            "number": self.number,
            "address": self.address,
            "hash": self.spec["hash"],
            "pid": self.process.pid if self.process is not None else 0,
            "ended": self.ended,
            "how": self.how,
            "leaving": self.is_leaving,
            "drain_timeout_ms": self.spec["drain_timeout_ms"],
        }

    def entry(self) -> dict[str, Any]:
        """For `state.json`: enough for the next supervisor to go on, restarts included."""
        process = self.process
        return {
            **self.told(),
            "port": self.port,
            "spec": self.spec,
            "start_time": process.start_time if process is not None else 0,
            "output": self.output.inode if self.output is not None else 0,
        }


class Origins:
    """All processes of all backends."""

    def __init__(
        self,
        loop: Loop,
        events: Events,
        identify: Identify,
        *,
        on_change: Callable[[], None],
        is_draining: Callable[[], bool],
    ) -> None:
        """Takes what they need.

        Args:
            loop: What calls back.
            events: Where to say what happens.
            identify: Whom they run as.
            on_change: Called when a process started or ended.
            is_draining: Whether another node than the one control talks to has requests, perhaps with them.
        """
        self._loop = loop
        self._events = events
        self._identify = identify
        self._on_change = on_change
        self._is_draining = is_draining
        self._origins: list[Origin] = []

    # What control asks for

    def handlers(self) -> dict[str, Callable[[Message, Reply], None]]:
        """By the type of the message."""
        return {
            "process.start": self._start_asked,
            "process.stop": self._stop_asked,
            "process.patience": self._patience_told,
            "process.list": self._list_asked,
        }

    def _start_asked(self, message: Message, reply: Reply) -> None:
        """`{"backend", "number", "spec": OriginSpec}`; answers where it is to listen."""
        try:
            port = free_port({each.port for each in self._origins})
        except OSError as error:
            reply(problems=[{"where": f"backend {message['backend']}", "message": str(error)}])
            return
        origin = Origin(str(message["backend"]), int(message["number"]), message["spec"], port)
        self._origins.append(origin)
        self._start(origin)
        reply(process=origin.told())

    def _stop_asked(self, message: Message, reply: Reply) -> None:
        for origin in self._origins:
            if origin.address == message["address"]:
                self._retire(origin)
        reply()

    def _patience_told(self, message: Message, reply: Reply) -> None:
        """How long the ends may take: `{"patience": {backend: {"drain_timeout_ms", "stop_timeout_ms"}}}`."""
        for origin in self._origins:
            found = message["patience"].get(origin.backend, origin.spec)
            origin.spec["drain_timeout_ms"] = int(found["drain_timeout_ms"])
            origin.spec["stop_timeout_ms"] = int(found["stop_timeout_ms"])
        reply()

    def _list_asked(self, _message: Message, reply: Reply) -> None:
        reply(processes=[each.told() for each in self._origins], is_draining=self._is_draining())

    # Their lives

    def _start(self, origin: Origin) -> None:
        origin.restart = None
        if origin.backoff.failures >= _MOVES_AFTER or not is_free(origin.port):
            # Else where it was: the node knows the address, whatever control does.
            with contextlib.suppress(OSError):
                origin.port = free_port({each.port for each in self._origins})
        try:
            reader, writer = output.make()
        except OSError as error:
            self._again(origin, 0.0, f"cannot be started: {error}")
            return
        try:
            process = start(self._spec(origin, writer))
        except (OSError, IdentityError) as error:
            os.close(reader)
            self._again(origin, 0.0, f"cannot be started: {_reason(error)}")
            return
        finally:
            os.close(writer)
        self._watch(origin, process, reader)
        self._events.info(
            "process started", backend=origin.backend, number=origin.number, pid=process.pid, port=origin.port
        )
        self._on_change()

    def _spec(self, origin: Origin, writer: int) -> Spec:
        spec, port = origin.spec, str(origin.port)
        own = {name: value.replace("{port}", port) for name, value in spec["environment"].items()}
        programs = Path(spec["venv"], "bin") if spec["venv"] else Path(sys.executable).parent
        path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
        more = {"VIRTUAL_ENV": spec["venv"]} if spec["venv"] else {}
        return Spec(
            origin.role,
            command=[part.replace("{port}", port) for part in spec["command"]],
            environment={"PATH": path, **more, **own},
            descriptors={1: writer, 2: writer},
            identity=self._identify(spec["user"]),
            directory=Path(spec["directory"]),
        )

    def _watch(self, origin: Origin, process: Process, reader: int | None) -> None:
        origin.process = process
        self._loop.watch(process.pidfd, lambda _events: self._ended(origin))
        if reader is not None:
            events = Events(f"backend {origin.backend}", self._events.form)
            origin.output = Output(
                self._loop, reader, lambda line: events.info(line, number=origin.number, pid=process.pid)
            )

    def _ended(self, origin: Origin) -> None:
        process, origin.process = origin.process, None
        if process is None:
            return
        self._loop.unwatch(process.pidfd)
        # What it had started has its port, and nobody would end it any more.
        _kill_group(process)
        lived, how = time.monotonic() - process.started, process.reap()
        if origin.output is not None:
            origin.output.finish()
            origin.output = None
        if origin.is_leaving:
            self._origins.remove(origin)
            self._events.info(
                "process ended", backend=origin.backend, number=origin.number, pid=process.pid, how=how
            )
            self._on_change()
        else:
            self._again(origin, lived, how)

    def _again(self, origin: Origin, lived: float, how: str) -> None:
        origin.ended += 1
        origin.how = how
        delay = origin.backoff.ended(lived)
        self._events.warning(
            "process ended, starting another",
            backend=origin.backend,
            number=origin.number,
            how=how,
            in_s=round(delay, 1) or None,
        )
        origin.restart = self._loop.after(delay, lambda: self._start(origin))
        self._on_change()

    def _retire(self, origin: Origin) -> None:
        if origin.is_leaving:
            return
        origin.is_leaving = True
        if origin.restart is not None:
            origin.restart.cancel()
        process = origin.process
        if process is None:
            self._origins.remove(origin)
            self._on_change()
            return
        # To it alone: servers with processes of their own end those in their own order.
        process.signal(signal.SIGTERM)
        self._loop.after(origin.spec["stop_timeout_ms"] / 1000, lambda: self._late(origin, process))
        self._on_change()

    def _late(self, origin: Origin, process: Process) -> None:
        if origin.process is process:
            self._events.warning(
                "process killed, it did not end in time", backend=origin.backend, number=origin.number
            )
            _kill_group(process)
            process.signal(signal.SIGKILL)

    # Over supervisors

    def adopt(self, entries: list[dict[str, Any]], *, is_serving: bool) -> None:
        """Goes on with what an earlier supervisor started.

        Args:
            entries: As `entries` gave them.
            is_serving: Whether there is a node that may use them: what ended meanwhile is started again.
        """
        for entry in entries:
            # A supervisor of a version before knew no time for requests.
            spec: OriginSpec = entry["spec"]
            spec.setdefault("drain_timeout_ms", 0)
            origin = Origin(entry["backend"], entry["number"], spec, entry["port"])
            origin.ended, origin.how = entry["ended"], entry["how"]
            found = adopt(origin.role, entry["pid"], entry["start_time"]) if entry["pid"] else None
            if found is not None:
                self._origins.append(origin)
                self._watch(origin, found, output.reopen(found.pid, entry["output"]))
                if entry["leaving"]:
                    self._retire(origin)
            elif is_serving and not entry["leaving"]:
                self._origins.append(origin)
                self._again(origin, _GRACE, "ended while no supervisor ran")

    def entries(self) -> list[dict[str, Any]]:
        """For `state.json`."""
        return [each.entry() for each in self._origins]

    def told(self) -> list[dict[str, Any]]:
        """Role and process identifier of each that runs, for `tidegate status`."""
        return [
            {"role": each.role, "pid": each.process.pid} for each in self._origins if each.process is not None
        ]

    # The end

    def stop(self) -> float:
        """Has all of them end; returns the seconds that they may take."""
        longest = max((each.spec["stop_timeout_ms"] / 1000 for each in self._origins), default=0.0)
        for origin in list(self._origins):
            self._retire(origin)
        return longest

    def kill(self) -> None:
        """Ends all of them at once."""
        self.stop()
        for origin in self._origins:
            if origin.process is not None:
                _kill_group(origin.process)
                origin.process.signal(signal.SIGKILL)

    def reap(self, pid: int) -> bool:
        """As process 1: handles the end of `pid` if it is one of them."""
        for origin in self._origins:
            if origin.process is not None and origin.process.pid == pid:
                self._ended(origin)
                return True
        return False

    @property
    def is_empty(self) -> bool:
        """Whether none is left."""
        return not self._origins


def _kill_group(process: Process) -> None:
    """Ends what a process started and left in its group.

    Its identifier is nobody else's while it has not been reaped, or while the group has a member; one that
    was taken over after that is another's and is left alone.
    """
    if start_time_of(process.pid) in (None, process.start_time):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _reason(error: Exception) -> str:
    """Why a start failed, without a number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
