# SPDX-License-Identifier: Apache-2.0
"""The supervisor: binds every socket, starts and restarts the other processes, parses no network byte."""

import contextlib
import os
import signal
import socket
from dataclasses import asdict
from typing import Any

from tidegate import _build
from tidegate.events import Events
from tidegate.protocol import Message, listen
from tidegate.runtime import Instance
from tidegate.supervisor import state
from tidegate.supervisor.binding import Sockets
from tidegate.supervisor.control import Control, Reply
from tidegate.supervisor.crew import Crew
from tidegate.supervisor.door import Door
from tidegate.supervisor.identity import Identity
from tidegate.supervisor.loop import SIGNALS, Loop, Timer
from tidegate.supervisor.node import Node
from tidegate.supervisor.notify import Notifier
from tidegate.supervisor.origins import Origins
from tidegate.supervisor.provision import Provision
from tidegate.supervisor.succession import Handed
from tidegate.supervisor.upgrade import READY_WITHIN, Upgrades
from tidegate.supervisor.workers import Workers

EARLY_DEATHS = 5
"""How often a process may end early before the gateway ever served; then starting has failed."""


class Supervisor:
    """Runs one gateway until it is told to stop."""

    def __init__(
        self,
        instance: Instance,
        identity: Identity | None,
        events: Events,
        notifier: Notifier,
        handed: Handed,
    ) -> None:
        """Takes what a gateway needs.

        Args:
            instance: Whose runtime directory is prepared and whose lock is held.
            identity: Whom node and control run as; None for nobody else.
            events: Where to say what happens.
            notifier: The service manager.
            handed: The options, and what the supervisor before handed on, if this one takes its place.
        """
        self._handed = handed
        self._instance = instance
        self._events = events
        self._notifier = notifier
        self._identity = identity
        self._loop = Loop()
        self._sockets = Sockets()
        self._crew = Crew(
            self._loop,
            instance,
            identity,
            self._sockets,
            events,
            on_up=self._node_up,
            on_end=self._node_ended,
            on_change=self._processes_changed,
            on_drained=self._drained,
        )
        self._trial: Timer | None = None
        self._control = Control(
            self._loop,
            instance,
            self._control_settings(),
            identity,
            events,
            on_request=self._asked,
            on_start=self._control_started,
            on_end=self._control_ended,
        )
        self._provision = Provision(
            self._sockets,
            self._crew,
            identity,
            self._save,
            # A user chosen on the command line decides, whatever the file says.
            has_user_option=handed.options["user"] is not None,
        )
        self._origins = Origins(
            self._loop,
            events,
            self._provision.worker_identity,
            on_change=self._origins_changed,
            is_draining=self._crew.has_another,
        )
        self._is_stopping = False
        self._exit_code = 0
        self._deadline: Timer | None = None
        self._has_terminal = _has_terminal()
        listener = (
            socket.socket(fileno=handed.door)
            if handed.door >= 0
            else listen(instance.supervisor_socket, 0o600, replace=True)
        )
        door = Door(self._loop, listener, self._asked_at_the_door)
        self._door = door
        self._upgrades = Upgrades(
            self._loop, identity, events, notifier, handed, self._control, door, self._save
        )

    def _control_settings(self) -> dict[str, Any]:
        options, generation = self._handed.options, self._crew.team.generation
        return {
            "instance": self._instance.name,
            "runtime_directory": str(self._instance.directory),
            "workers_folder": str(self._instance.workers_folder(generation)),
            "sources": options["sources"],
            "watch": options["watch"],
            "threads": options["threads"],
            "log_format": self._events.form,
        }

    @property
    def _node(self) -> Node:
        return self._crew.team.node

    @property
    def _workers(self) -> Workers:
        return self._crew.team.workers

    def run(self) -> int:
        """Serves until a signal or a failed start; returns the exit code.

        Raises:
            AdoptionError: Something answers in the runtime directory that is no node of ours.
        """
        last = state.read(self._instance.state_file)
        is_serving = self._crew.follow(last)
        self._origins.adopt(last.get("origins", []), is_serving=is_serving)
        if not is_serving:
            # Their sockets went with the node.
            self._crew.keep_workers()
            self._workers.drop([])
            # The configuration decides, not what an earlier run left behind.
            for left in (self._instance.snapshot_file, *self._instance.secret_files()):
                left.unlink(missing_ok=True)
        else:
            self._provision.graceful_stop = last.get("graceful_stop_ms", 30_000) / 1000
            if self._upgrades.last.state == "checking" or self._is_another():
                self._try_out()
            else:
                self._crew.keep_workers()
        self._control.settings = self._control_settings()
        self._loop.handle_signals(SIGNALS, self._signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._save()
        self._control.start()
        if not is_serving:
            # It loads while control reads the configuration.
            self._node.prepare()
        # An error here leaves the files: node and workers go on, and the next supervisor adopts them.
        self._loop.run()
        self._close()
        return self._exit_code

    # Upgrades

    def _asked_at_the_door(self, kind: str, message: Message, reply: Reply) -> None:
        if kind == "upgrade":
            self._upgrade(message, reply)
        elif kind == "upgrade.status":
            draining = [each.status() for each in self._crew.draining]
            reply(upgrade={**asdict(self._upgrades.last), "draining": draining})
        else:
            reply(problems=[{"where": "type", "message": f"the supervisor knows no {kind!r} here"}])

    def _upgrade(self, message: Message, reply: Reply) -> None:
        if self._is_stopping:
            reply(problems=[{"where": "", "message": "the gateway stops"}])
        else:
            self._upgrades.ask(self._node, message, reply)

    def _is_another(self) -> bool:
        """Whether the adopted node runs other code than a new one would."""
        hello = self._node.hello
        return (hello.get("version"), hello.get("build")) != (_build.version(), _build.build())

    def _try_out(self) -> None:
        """Has a node of the installed code get ready beside the adopted one."""
        self._upgrades.begin_trial(self._node, _build.version())
        self._crew.try_out()
        late = [{"where": "the new node", "message": f"it was not ready within {READY_WITHIN:g} s"}]
        self._trial = self._loop.after(READY_WITHIN, lambda: self._trial_failed(late))

    def _trial_succeeded(self) -> None:
        drain_ms = self._upgrades.last.drain_ms
        seconds = self._provision.graceful_stop if drain_ms is None else drain_ms / 1000
        try:
            self._crew.promote(seconds)
        except OSError as error:
            self._trial_failed([{"where": str(self._instance.node_socket), "message": str(error)}])
            return
        if self._trial is not None:
            self._trial.cancel()
        self._upgrades.succeed(self._node, seconds)
        self._save()

    def _trial_failed(self, problems: list[Any], code: int = 1) -> None:
        """Goes back to the node that serves, whatever the new one does."""
        if self._crew.before is None:
            return
        if self._trial is not None:
            self._trial.cancel()
        self._upgrades.fail(problems, code)
        self._crew.step_back(self._provision.graceful_stop)
        self._provision.forget()
        self._control.settings = self._control_settings()
        if not self._is_stopping:
            self._control.renew()
        self._save()

    def _drained(self, status: dict[str, Any]) -> None:
        if self._is_stopping:
            self._nodes_may_have_ended()
        self._upgrades.drained(status, is_last=not self._crew.draining)

    # What control asks

    def _asked(self, kind: str, message: Message, reply: Reply) -> None:
        handlers = {
            "sockets.ensure": self._provision.ensure,
            "sockets.keep": self._provision.keep,
            "state.folder": self._provision.make_state_folder,
            "functions.set": self._provision.set_functions,
            "reloading": lambda _message, _reply: self._notifier.reloading(),
            "ready": self._ready,
            "failed": self._failed,
            "status": self._status,
            "stop": self._stop_asked,
            **self._origins.handlers(),
        }
        handler = handlers.get(kind)
        if handler is None:
            reply(problems=[{"where": "type", "message": f"the supervisor knows no {kind!r}"}])
        elif not self._is_stopping:
            handler(message, reply)

    def _ready(self, message: Message, reply: Reply) -> None:
        self._notifier.ready(str(message.get("status", "")))
        reply()
        if self._crew.before is not None and self._node.is_up:
            self._trial_succeeded()

    def _failed(self, message: Message, reply: Reply) -> None:
        """Control could not start the gateway; what is wrong it has said itself."""
        if self._crew.before is not None:
            reply(is_stopping=False)
            self._trial_failed(message["problems"], int(message.get("code", 1)))
            return
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
            *({"role": "node (draining)", "pid": each.pid} for each in self._crew.draining),
            *(
                {"role": f"worker:{entry['pool']}:{entry['number']}", "pid": entry["pid"]}
                for entry in self._workers.entries()
            ),
            *self._origins.told(),
        ]
        reply(processes=processes, draining=[each.status() for each in self._crew.draining])

    # What happens to the processes

    def _node_up(self) -> None:
        self._save()
        self._provision.node_is_up()
        self._tell_node_up()

    def _tell_node_up(self) -> None:
        before = self._crew.before
        after = before.node.hello.get("snapshot", 0) if before is not None else 0
        self._control.tell("node.up", path=str(self._node.path), after=after)

    def _node_ended(self, how: str, failures: int) -> None:
        self._save()
        if self._crew.before is not None:
            # Else it is the one that serves: another is being started as ever.
            if self._node.problem:
                self._trial_failed([{"where": "the new node", "message": self._node.problem}])
            return
        if self._is_stopping:
            self._nodes_may_have_ended()
            self._finish()
        else:
            self._give_up("node", how, failures)

    def _control_started(self) -> None:
        self._save()
        if self._node.is_up:
            self._tell_node_up()

    def _control_ended(self, how: str, failures: int) -> None:
        self._save()
        self._provision.forget()
        if self._is_stopping:
            self._finish()
        elif self._upgrades.is_handing_on:
            self._upgrades.hand_on()
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

    def _origins_changed(self) -> None:
        self._control.tell("process.changed")
        self._processes_changed()

    # Signals

    def _signalled(self, number: int) -> None:
        if number == signal.SIGCHLD:
            if os.getpid() == 1:
                self._reap_all()
        elif number == signal.SIGHUP and not (self._has_terminal and not _has_terminal()):
            # Control says when it begins, so that the service manager never waits for a dead one.
            self._control.tell("reload")
        elif number == signal.SIGUSR1:
            for node in self._crew.nodes():
                node.call("logs.reopen", lambda _reply: None)
        elif number == signal.SIGUSR2:
            self._upgrade({}, _nobody)
        elif self._is_stopping:
            self._events.warning("stopping at once", signal=signal.Signals(number).name)
            self._kill()
        else:
            self._events.info(
                "draining", signal=signal.Signals(number).name, at_most_s=self._provision.graceful_stop
            )
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
            elif not self._crew.reap(pid) and not self._origins.reap(pid):
                os.waitpid(pid, 0)

    # The end

    def _stop(self, code: int) -> None:
        self._is_stopping = True
        self._exit_code = code
        self._trial_failed([{"where": "", "message": "the gateway stops"}])
        self._notifier.stopping()
        self._control.stop()
        for key in self._sockets.names():
            if not key.startswith("worker:"):
                # The node holds its own: once it closes them too, new connections are refused at once.
                self._sockets.drop(key)
        self._crew.stop(self._provision.graceful_stop)
        self._deadline = self._loop.after(self._provision.graceful_stop + 5, self._kill)
        self._nodes_may_have_ended()
        self._finish()

    def _nodes_may_have_ended(self) -> None:
        """Ends whom nodes ask, once none is left that could."""
        if self._node.process is None:
            self._workers.stop()
            if not self._crew.draining:
                self._stop_origins()

    def _stop_origins(self) -> None:
        """Ends the processes of backends, once nobody asks them any more."""
        longest = self._origins.stop()
        if longest and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = self._loop.after(longest + 5, self._kill)

    def _kill(self) -> None:
        self._crew.kill()
        self._origins.kill()
        self._control.kill()
        self._finish()

    def _finish(self) -> None:
        if self._crew.is_empty and self._origins.is_empty and self._control.process is None:
            self._loop.stop()

    def _save(self) -> None:
        entry = {
            "supervisor": os.getpid(),
            "graceful_stop_ms": round(self._provision.graceful_stop * 1000),
            **self._crew.entries(),
            "origins": self._origins.entries(),
        }
        try:
            state.write(self._instance.state_file, entry)
        except OSError as error:
            self._events.error(
                f"cannot write {self._instance.state_file}: {error.strerror}; "
                "a next supervisor would start function workers beside those that run"
            )

    def _close(self) -> None:
        self._crew.close()
        self._control.close()
        self._sockets.close()
        self._door.close()
        instance = self._instance
        files = [instance.control_socket, instance.supervisor_socket, instance.snapshot_file]
        for path in (*files, *instance.secret_files(), instance.state_file):
            path.unlink(missing_ok=True)
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
