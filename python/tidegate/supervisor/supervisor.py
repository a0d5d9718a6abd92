# SPDX-License-Identifier: Apache-2.0
"""The supervisor: binds every socket, starts and restarts the other processes, parses no network byte."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from tidegate.events import Events
from tidegate.protocol import Message, Pool, WireProblem
from tidegate.runtime import Instance
from tidegate.supervisor import identity as identities
from tidegate.supervisor import state
from tidegate.supervisor.binding import BindFailures, Sockets, ensure
from tidegate.supervisor.control import Control, Reply
from tidegate.supervisor.identity import Identity, IdentityError
from tidegate.supervisor.loop import Loop, Timer
from tidegate.supervisor.node import Node, Owner
from tidegate.supervisor.notify import Notifier
from tidegate.supervisor.workers import Workers

EARLY_DEATHS = 5
"""How often a process may end early before the gateway ever served; then starting has failed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Supervisor:
    """Runs one gateway until it is told to stop."""

    def __init__(
        self,
        instance: Instance,
        control: dict[str, Any],
        identity: Identity | None,
        events: Events,
        notifier: Notifier,
        version: str,
        *,
        has_user_option: bool = False,
    ) -> None:
        """Takes what a gateway needs.

        Args:
            instance: Whose runtime directory is prepared and whose lock is held.
            control: What control is to know: files and options.
            identity: Whom node and control run as; None for nobody else.
            events: Where to say what happens.
            notifier: The service manager.
            version: Ours.
            has_user_option: Whether the user was chosen on the command line, which then decides.
        """
        self._has_user_option = has_user_option
        self._instance = instance
        self._events = events
        self._notifier = notifier
        self._identity = identity
        self._loop = Loop()
        self._sockets = Sockets()
        self._node = Node(
            self._loop,
            Owner(instance, identity, version),
            self._sockets,
            events,
            on_up=self._node_up,
            on_end=self._node_ended,
        )
        self._workers = Workers(
            self._loop, self._sockets, events, owner=identity, on_change=self._processes_changed
        )
        self._control = Control(
            self._loop,
            instance,
            control,
            identity,
            events,
            on_request=self._asked,
            on_start=self._control_started,
            on_end=self._control_ended,
        )
        self._waiting: list[tuple[list[str], Reply]] = []
        self._graceful_stop = 30.0
        self._is_stopping = False
        self._exit_code = 0
        self._deadline: Timer | None = None
        self._has_terminal = _has_terminal()

    def run(self) -> int:
        """Serves until a signal or a failed start; returns the exit code.

        Raises:
            AdoptionError: Something answers in the runtime directory that is no node of ours.
        """
        last = state.read(self._instance.state_file)
        self._workers.adopt(last.get("workers", []))
        if self._node.adopt():
            self._graceful_stop = last.get("graceful_stop_ms", 30_000) / 1000
        else:
            # Their sockets went with the node.
            self._workers.drop([])
            # The configuration decides, not what an earlier run left behind.
            for left in (self._instance.snapshot_file, *self._instance.secret_files()):
                left.unlink(missing_ok=True)
        self._loop.handle_signals(SIGNALS, self._signalled)
        self._save()
        self._control.start()
        # An error here leaves the files: node and workers go on, and the next supervisor adopts them.
        self._loop.run()
        self._close()
        return self._exit_code

    # What control asks

    def _asked(self, kind: str, message: Message, reply: Reply) -> None:
        handlers = {
            "sockets.ensure": self._ensure,
            "sockets.keep": self._keep,
            "functions.set": self._set_functions,
            "reloading": lambda _message, _reply: self._notifier.reloading(),
            "ready": self._ready,
            "failed": self._failed,
            "status": self._status,
            "stop": self._stop_asked,
        }
        handler = handlers.get(kind)
        if handler is None:
            reply(problems=[{"where": "type", "message": f"the supervisor knows no {kind!r}"}])
        elif not self._is_stopping:
            handler(message, reply)

    def _ensure(self, message: Message, reply: Reply) -> None:
        threads = int(message["threads"])
        user = message.get("user")
        if user and not self._has_user_option and user != (self._identity.name if self._identity else "root"):
            text = f"changing the user to {user!r} needs a start with `--user {user}`"
            reply(problems=[{"where": "gateway.user", "message": text}])
            return
        if self._node.threads and self._node.threads != threads:
            text = (
                f"the node runs with {self._node.threads} threads and cannot change to {threads}; "
                "stop the gateway and start it again"
            )
            reply(problems=[{"where": "gateway.threads", "message": text}])
            return
        try:
            new = ensure(self._sockets, message["addresses"], threads)
        except BindFailures as failures:
            reply(problems=failures.problems())
            return
        self._graceful_stop = message.get("graceful_stop_ms", 30_000) / 1000
        self._save()
        if self._node.process is None and not self._node.threads:
            self._waiting.append((new, reply))
            self._node.start(threads)
        else:
            self._hand_over(new, reply)

    def _hand_over(self, new: list[str], reply: Reply) -> None:
        """Gives new sockets to the node; a node that is being replaced gets them when it starts."""
        if not self._node.is_up:
            self._waiting.append((new, reply))
            return

        def handed(answer: Message | None) -> None:
            if answer is None:
                self._waiting.append((new, reply))
            elif answer.get("ok") is True:
                reply()
            else:
                for key in new:
                    self._sockets.drop(key)
                reply(problems=answer.get("problems"))

        self._node.put(new, handed)

    def _keep(self, message: Message, reply: Reply) -> None:
        keep = set(message["keys"])
        gone = [key for key in self._sockets.names() if key not in keep and not key.startswith("worker:")]
        self._drop(gone)
        reply(dropped=gone)

    def _drop(self, keys: list[str]) -> None:
        for key in keys:
            self._sockets.drop(key)
        if keys:
            self._node.call("sockets.drop", lambda _reply: None, keys=keys)

    def _set_functions(self, message: Message, reply: Reply) -> None:
        try:
            identity = self._workers.identity = self._worker_identity(message.get("user"))
            if identity is not None:
                folders = {Path(pool["directory"]) for pool in message["pools"] if pool["directory"]}
                identities.check_access(identity, sorted(folders), "choose gateway.function_user")
        except IdentityError as error:
            reply(problems=[{"where": "gateway.function_user", "message": str(error)}])
            return
        if message["drop"]:
            self._drop_functions(message["pools"])
            reply()
            return
        new: list[str] = []

        def settled(problems: list[WireProblem]) -> None:
            self._save()
            held = [key for key in new if key in self._sockets]
            if problems:
                reply(problems=problems)
            elif held and self._node.is_up:
                self._hand_over(held, reply)
            else:
                # A node that starts gets every socket.
                reply()

        try:
            new += self._workers.bind(message["pools"])
        except OSError as error:
            reply(problems=[{"where": "functions", "message": f"a worker's socket cannot be bound: {error}"}])
            return
        self._workers.set(message["pools"], new, settled, tried=bool(message["tried"]))

    def _drop_functions(self, pools: list[Pool]) -> None:
        held = {key for key in self._sockets.names() if key.startswith("worker:")}
        self._workers.drop(pools)
        gone = sorted(held - set(self._sockets.names()))
        if gone:
            self._node.call("sockets.drop", lambda _reply: None, keys=gone)
        self._save()

    def _worker_identity(self, name: str | None) -> Identity | None:
        if self._identity is None and os.geteuid() == 0:
            # Told to keep root's rights: the workers keep them too unless told otherwise.
            return identities.resolve(name) if name else None
        return identities.resolve(name) if name else identities.for_workers(self._identity)

    def _ready(self, message: Message, reply: Reply) -> None:
        self._notifier.ready(str(message.get("status", "")))
        reply()

    def _failed(self, message: Message, reply: Reply) -> None:
        """Control could not start the gateway; what is wrong it has said itself."""
        is_first = not self._notifier.is_ready and not self._node.is_adopted
        reply(is_stopping=is_first)
        if is_first:
            self._stop(int(message.get("code", 1)))

    def _stop_asked(self, _message: Message, reply: Reply) -> None:
        reply()
        self._signalled(signal.SIGTERM)

    def _status(self, _message: Message, reply: Reply) -> None:
        processes = [
            {"role": "supervisor", "pid": os.getpid()},
            *(
                {"role": process.role, "pid": process.pid}
                for process in (self._node.process, self._control.process)
                if process is not None
            ),
            *(
                {"role": f"worker:{entry['pool']}:{entry['number']}", "pid": entry["pid"]}
                for entry in self._workers.entries()
            ),
        ]
        reply(processes=processes)

    # What happens to the processes

    def _node_up(self) -> None:
        self._save()
        waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            reply()
        self._control.tell("node.up")

    def _node_ended(self, how: str, failures: int) -> None:
        self._save()
        if self._is_stopping:
            self._workers.stop()
            self._finish()
        else:
            self._give_up("node", how, failures)

    def _control_started(self) -> None:
        self._save()
        if self._node.is_up:
            self._control.tell("node.up")

    def _control_ended(self, how: str, failures: int) -> None:
        self._save()
        # Nobody waits for these answers any more.
        self._waiting = [(new, _nobody) for new, _ in self._waiting]
        if self._is_stopping:
            self._finish()
        else:
            self._give_up("control", how, failures)

    def _give_up(self, role: str, how: str, failures: int) -> None:
        if failures >= EARLY_DEATHS and not self._notifier.is_ready and not self._node.is_adopted:
            self._events.error(f"{role} ended {failures} times before the gateway served; giving up", how=how)
            self._stop(1)

    def _processes_changed(self) -> None:
        self._save()
        if self._is_stopping:
            self._finish()

    # Signals

    def _signalled(self, number: int) -> None:
        if number == signal.SIGCHLD:
            if os.getpid() == 1:
                self._reap_all()
        elif number == signal.SIGHUP and not (self._has_terminal and not _has_terminal()):
            # Control says when it begins, so that the service manager never waits for a dead one.
            self._control.tell("reload")
        elif number == signal.SIGUSR1:
            self._node.call("logs.reopen", lambda _reply: None)
        elif self._is_stopping:
            self._events.warning("stopping at once", signal=signal.Signals(number).name)
            self._kill()
        else:
            self._events.info("draining", signal=signal.Signals(number).name, at_most_s=self._graceful_stop)
            self._stop(0)

    def _reap_all(self) -> None:
        """As process 1: takes the status of every orphan that ended here."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            if self._node.process is not None and self._node.process.pid == pid:
                self._node.ended()
            elif self._control.process is not None and self._control.process.pid == pid:
                self._control.ended()
            elif not self._workers.reap(pid):
                os.waitpid(pid, 0)

    # The end

    def _stop(self, code: int) -> None:
        self._is_stopping = True
        self._exit_code = code
        self._notifier.stopping()
        self._control.stop()
        for key in self._sockets.names():
            if not key.startswith("worker:"):
                # The node holds its own: once it closes them too, new connections are refused at once.
                self._sockets.drop(key)
        self._node.drain()
        self._deadline = self._loop.after(self._graceful_stop + 5, self._kill)
        if self._node.process is None:
            self._workers.stop()
        self._finish()

    def _kill(self) -> None:
        self._node.kill()
        self._control.kill()
        self._workers.kill()
        self._finish()

    def _finish(self) -> None:
        if self._node.process is None and self._control.process is None and self._workers.is_empty:
            self._loop.stop()

    def _save(self) -> None:
        node = self._node.process
        try:
            state.write(
                self._instance.state_file,
                {
                    "supervisor": os.getpid(),
                    "node": {"pid": node.pid, "start_time": node.start_time} if node else None,
                    "graceful_stop_ms": round(self._graceful_stop * 1000),
                    "workers": self._workers.entries(),
                },
            )
        except OSError as error:
            self._events.error(
                f"cannot write {self._instance.state_file}: {error.strerror}; "
                "a next supervisor would start function workers beside those that run"
            )

    def _close(self) -> None:
        self._node.close()
        self._control.close()
        self._sockets.close()
        instance = self._instance
        files: list[Path] = [instance.node_socket, instance.control_socket, instance.snapshot_file]
        files += instance.secret_files()
        for path in (*files, instance.state_file, *self._workers.files()):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (instance.directory / "workers").rmdir()
        with contextlib.suppress(OSError):
            instance.lock_file.unlink()
            instance.directory.rmdir()
        self._loop.close()
        self._events.info("stopped", exit_code=self._exit_code)


def _nobody(problems: list[Any] | None = None, **_fields: Any) -> None:
    """Answers nobody."""


def _has_terminal() -> bool:
    """Whether there is a terminal whose hang-up could be the reason of a SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
