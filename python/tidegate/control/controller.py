# SPDX-License-Identifier: Apache-2.0
"""Control itself: listens to the supervisor, the node, the operator and the files."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tidegate.config.problem import ConfigError
from tidegate.control.apply import Applied, Applier, CannotBind, Node
from tidegate.control.certificates import Certificates
from tidegate.control.compiled import Compiled
from tidegate.control.endpoints.desk import Desk
from tidegate.control.endpoints.telling import Telling
from tidegate.control.origins.origins import Origins
from tidegate.control.sources import Sources
from tidegate.control.watch import Watcher
from tidegate.control.weights import Weighing
from tidegate.events import Events
from tidegate.protocol import Message, ProtocolError, Refused, WireProblem, connect
from tidegate.protocol.async_channel import AsyncChannel, serve

REFUSED = 3
FAILED = 1
_SHOWN = 8
"""Names of changed parts that a log line lists."""


def run(settings: str) -> int:
    """Runs control until the supervisor tells it to stop, or is gone.

    Args:
        settings: `{"instance", "runtime_directory", "workers_folder", "sources", "watch", "threads",
            "log_format"}`.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        # Meant for the supervisor.
        signal.signal(number, signal.SIG_IGN)
    return asyncio.run(_run(json.loads(settings)))


async def _run(settings: dict[str, Any]) -> int:
    controller = Controller(settings)
    await controller.run(socket.socket(fileno=3), socket.socket(fileno=4))
    return 0


class SupervisorGone(Exception):
    """There is nobody to work for; what was under way ends."""


class Controller:
    """One control process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._events = Events("control", settings["log_format"])
        self._directory = Path(settings["runtime_directory"])
        self._workers_folder = Path(settings["workers_folder"])
        self._names: list[str] = settings["sources"]
        self._is_watching: bool = settings["watch"]
        self._threads: int | None = settings["threads"]
        self._sources: Sources | None = None
        self._node = Node()
        self._turn = asyncio.Lock()
        self._reloads: set[asyncio.Task[Applied]] = set()
        self._waiting: asyncio.Task[Applied] | None = None
        self._weighing = Weighing(self._node, self._events)
        self._watcher = Watcher(self._files_changed)
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_error = ""
        self._supervisor: AsyncChannel
        self._applier: Applier
        self._desk: Desk
        self._telling: Telling
        self._origins: Origins
        self._certificates: Certificates

    async def run(self, supervisor: socket.socket, listener: socket.socket) -> None:
        """Serves until told to stop; both sockets are closed then."""
        self._supervisor = await AsyncChannel.open(supervisor, self._told)
        self._applier = Applier(self._node, self._supervisor)
        self._desk = Desk(self._directory, self._events, self._turn, self._applier.endpoints)
        self._telling = Telling(self._desk.sources, self._node.call)
        self._desk.source_changed = self._telling.soon
        self._origins = Origins(self._supervisor, self._node, self._desk, self._events)
        self._certificates = Certificates(
            self._directory, self._node, self._supervisor, self._events, self._reload_quietly
        )
        server = await serve(listener, self._asked)
        self._spawn(self._start())
        gone = asyncio.create_task(self._supervisor.closed())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({gone, stop}, return_when=asyncio.FIRST_COMPLETED)
        server.close()
        # What is under way ends here: who asked finds another control, or none.
        if self._sources is not None:
            self._sources.stop()
        for reload in self._reloads:
            reload.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        self._watcher.close()
        await self._weighing.close()
        await self._telling.close()
        await self._origins.close()
        await self._certificates.close()
        for task in (*self._tasks, gone, stop):
            task.cancel()
        await asyncio.gather(*self._tasks, gone, stop, return_exceptions=True)
        await self._desk.close()
        await self._node.disconnected()
        await self._supervisor.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._is_ending:
            return
        if task.exception() is not None:
            self._events.error("a task of control failed", error=repr(task.exception()))
            # Without it control would look alive and do nothing; the supervisor starts another.
            os._exit(1)

    @property
    def _is_ending(self) -> bool:
        return self._stop.is_set() or not self._supervisor.is_open

    # Who speaks to us

    async def _told(self, message: Message) -> Message:
        """The supervisor said something."""
        kind = message["type"]
        if kind == "node.up":
            self._spawn(self._node_up(Path(message["path"]), int(message["after"])))
        elif kind == "process.changed":
            self._spawn(self._origins.look())
        elif kind == "reload":
            self._spawn(self._reload_quietly())
        elif kind == "stop":
            self._stop.set()
        return {}

    async def _asked(self, message: Message) -> Message:
        """Somebody asks on `control.sock`."""
        answers: dict[str, Callable[[Message], Coroutine[Any, Any, Message]]] = {
            "reload": self._reload_asked,
            "status": self._status,
            "stop": self._stop_asked,
            "position": self._position,
            "endpoints.list": self._desk.list,
            "endpoints.change": self._desk.change,
            "endpoints.register": self._desk.register,
            "certificates.list": self._certificates.listed,
            "certificates.renew": self._certificates.renew,
            "processes.status": self._origins.status,
            "processes.restart": self._origins.restart,
        }
        answer = answers.get(message["type"])
        if answer is None:
            raise Refused([{"where": "type", "message": f"control knows no {message['type']!r}"}])
        return await answer(message)

    async def _reload_asked(self, _message: Message) -> Message:
        applied = await self._reload()
        return {"number": applied.number, "changed": applied.changed}

    async def _status(self, _message: Message) -> Message:
        told = await self._supervisor.call("status")
        current = self._applier.current
        return {
            "pid": os.getpid(),
            "files": [_shown(path) for path in current.files] if current is not None else self._names,
            "number": self._node.number,
            "last_error": self._last_error,
            "watching": self._is_watching,
            "processes": told["processes"],
            "draining": told["draining"],
            "weights": self._weighing.told(),
            "backends": await self._origins.told(),
        }

    async def _stop_asked(self, _message: Message) -> Message:
        await self._supervisor.call("stop")
        return {}

    async def _position(self, message: Message) -> Message:
        current = self._applier.current
        positions = current.snapshot.positions if current is not None else {}
        return {"position": positions.get((message["kind"], message["name"]), "")}

    async def _files_changed(self) -> None:
        await self._reload_quietly()

    # What happens then

    async def _start(self) -> None:
        try:
            await self._reload()
        except Refused as refusal:
            answer = await self._supervisor.call(
                "failed", code=refusal.reply["code"], problems=refusal.problems
            )
            if not answer["is_stopping"]:
                self._stays(len(refusal.problems))

    async def _node_up(self, path: Path, after: int) -> None:
        """A node came up at `path`, perhaps instead of another, which had the snapshot `after`."""
        try:
            channel = await AsyncChannel.open(connect(path, timeout=5))
            await self._node.connected(channel, after)
            # Not before: a change that is under way waits for this very node.
            async with self._turn:
                applied = await self._applier.resync()
            await self._weighing.node_up()
            self._certificates.node_up()
            self._telling.soon()
            if applied is not None:
                self._events.info("the node has the configuration again", snapshot=applied.number)
        except (OSError, ProtocolError, Refused) as error:
            # It went again; the supervisor says when the next one is up.
            self._events.warning(f"the node could not be brought up to date: {error}")

    async def _reload_quietly(self) -> None:
        """Reloads for nobody in particular: what is wrong is in the log."""
        try:
            await self._reload()
        except Refused:
            return

    async def _reload(self) -> Applied:
        """Reads and applies the configuration; the one before stays if anything is wrong.

        Whoever asks while one is under way shares the next one with all others who do.

        Raises:
            Refused: With every problem, which the log has too.
        """
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._reload_in_turn())
            self._reloads.add(self._waiting)
            self._waiting.add_done_callback(self._reload_done)
        # One of those who wait may go.
        return await asyncio.shield(self._waiting)

    def _reload_done(self, task: asyncio.Task[Applied]) -> None:
        self._reloads.discard(task)
        if not task.cancelled():
            # All who asked may be gone; then nobody else looks.
            task.exception()

    async def _reload_in_turn(self) -> Applied:
        async with self._turn:
            # What is asked for from here on may be about files that were read already.
            self._waiting = None
            await self._supervisor.tell("reloading")
            try:
                return await self._apply()
            finally:
                if self._applier.current is not None:
                    await self._supervisor.tell("ready", status=self._summary(self._applier.current))

    async def _apply(self) -> Applied:
        begun = time.monotonic()
        is_first = self._applier.current is None
        fresh: Compiled | None = None
        try:
            fresh = await asyncio.to_thread(self._read)
            self._follow(fresh)
            applied = await self._put_in_force(fresh)
        except ConfigError as error:
            problems: list[WireProblem] = [
                {"where": problem.where, "message": problem.message} for problem in error.problems
            ]
            self._follow(None)
            raise self._refusal(problems, REFUSED) from error
        except Refused as refusal:
            located = [_located(problem, fresh) for problem in refusal.problems]
            code = FAILED if isinstance(refusal, CannotBind) else REFUSED
            raise self._refusal(located, code) from refusal
        except OSError as error:
            # Files are read as another user than who started us.
            text = f"cannot be read: {(error.strerror or str(error)).lower()}; check who may read it"
            where = str(error.filename or self._names[0])
            raise self._refusal([{"where": where, "message": text}], FAILED) from error
        except ProtocolError as error:
            if self._is_ending:
                raise SupervisorGone from error
            text = f"{error}; the log of the supervisor says more"
            raise self._refusal([{"where": "", "message": text}], FAILED) from error
        self._last_error = ""
        await self._weighing.follow(fresh.weighers)
        await self._certificates.follow(fresh)
        if is_first:
            keys = (each["key"] for each in fresh.addresses())
            served = ", ".join(key.removeprefix("tcp:") for key in keys)
            if served:
                self._events.info("serving on " + served)
            else:
                self._events.warning("serving nothing: the configuration has no listener")
        if applied.changed:
            more = len(applied.changed) - _SHOWN
            self._events.info(
                "configuration applied",
                snapshot=applied.number,
                changed=", ".join(applied.changed[:_SHOWN]) + (f" and {more} more" if more > 0 else ""),
                ms=round((time.monotonic() - begun) * 1000),
            )
        else:
            self._events.info("configuration unchanged", snapshot=applied.number)
        return applied

    async def _put_in_force(self, fresh: Compiled) -> Applied:
        is_accepted = False
        try:
            await self._origins.prepare(fresh.processes)
            applied = await self._put_with_endpoints(fresh)
            is_accepted = True
        finally:
            await self._origins.settle(fresh.processes, is_accepted=is_accepted)
        return applied

    async def _put_with_endpoints(self, fresh: Compiled) -> Applied:
        await self._desk.complete(fresh)
        is_accepted = False
        try:
            try:
                applied = await self._applier.apply(fresh)
            except ProtocolError as error:
                if self._is_ending:
                    raise SupervisorGone from error
                # A node that died over it: the next one gets the change.
                self._events.warning(f"trying again: {error}")
                applied = await self._applier.apply(fresh)
            is_accepted = True
        finally:
            await self._desk.settle(fresh.registration, is_accepted=is_accepted)
        return applied

    def _read(self) -> Compiled:
        if self._sources is None:
            self._sources = Sources(self._names, self._workers_folder, self._threads)
        return self._sources.read()

    def _refusal(self, problems: list[WireProblem], code: int) -> Refused:
        for problem in problems:
            where, text = problem["where"], problem["message"]
            self._events.error(f"{where}: {text}" if where else text)
        if self._applier.current is not None:
            self._stays(len(problems))
        first = problems[0]
        self._last_error = f"{first['where']}: {first['message']}".removeprefix(": ")
        return Refused(problems, {"code": code})

    def _stays(self, count: int) -> None:
        self._events.error("configuration refused; the one before stays in force", problems=count)

    def _follow(self, fresh: Compiled | None) -> None:
        """Watches what was read; after a mistake, at least what was named."""
        if fresh is None:
            fresh = self._applier.current
        files = fresh.files if fresh is not None else []
        named = self._sources.candidates() if self._sources is not None else []
        if self._is_watching:
            self._watcher.watch([*named, *files], fresh.code if fresh is not None else [])
        elif fresh is not None:
            self._watcher.watch([], fresh.reloads)

    def _summary(self, current: Compiled) -> str:
        return f"snapshot {self._node.number}: {current.summary()}" + (
            "; the last change was refused" if self._last_error else ""
        )


def _located(problem: WireProblem, fresh: Compiled | None) -> WireProblem:
    """Puts `file:line` before what the node or the supervisor names by kind and name."""
    if fresh is None:
        return problem
    where = problem["where"]
    kind, _, name = where.partition(" ")
    place = fresh.snapshot.positions.get((kind.lower(), name))
    if place is None:
        for (found, _), resource in fresh.snapshot.resources.items():
            if found == "listener" and where and _names_address(resource.value, where):
                place = fresh.snapshot.positions[found, resource.name]
                where = f"listeners.{resource.name}"
    return {"where": f"{place}: {where}", "message": problem["message"]} if place else problem


def _names_address(value: str, where: str) -> bool:
    from tidegate.control.compiled import addresses_of

    keys = [each["key"] for each in addresses_of(json.loads(value))]
    return any(where in (key, key.partition(":")[2]) for key in keys)


def _shown(path: Path) -> str:
    """A path as short as it can be said."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
