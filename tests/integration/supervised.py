# SPDX-License-Identifier: Apache-2.0
"""A real gateway, started as a user starts it, whose every event a test can wait for."""

import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import tidegate
from tests.ports import free_port

DEADLINE = 30.0
"""Seconds for what should take one: two cores may be busy with other tests."""
Event = dict[str, Any]


def environment(folder: Path, package: Path | None = None) -> dict[str, str]:
    """What a tidegate needs to run, with instances of its own.

    Args:
        folder: Gets their runtime directory.
        package: The folder that holds the package; this checkout's without it.
    """
    found = package or Path(tidegate.__path__[0]).parent
    path = os.pathsep.join(filter(None, [str(found), os.environ.get("PYTHONPATH", "")]))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
        "TIDEGATE_STATE_DIR": str(folder / "state"),
        # The interpreter and the test's folder may be closed to others.
        "TIDEGATE_USER": "root" if os.geteuid() == 0 else "",
    }


class Supervised:
    """`tidegate run` on one file, with its events and readiness.

    Attributes:
        port: Where it listens on 127.0.0.1.
        events: Every line of its log so far.
    """

    def __init__(
        self,
        folder: Path,
        text: str,
        *arguments: str,
        port: int | None = None,
        command: Sequence[str] | None = None,
        name: str = "t",
        packages: Path | None = None,
        package: Path | None = None,
        file: str = "tidegate.yaml",
        stdout: IO[bytes] | int = subprocess.DEVNULL,
    ) -> None:
        """Args:
        folder: Holds the file, the runtime directory and the readiness socket.
        text: The configuration, in which PORT stands for the port.
        *arguments: For `tidegate run`.
        port: The port; a free one without it.
        command: What to do instead of `run FILE`.
        name: The instance's.
        packages: Where tidegate and all it needs are, for the interpreter outside of any environment.
        package: The folder that holds the package; this checkout's without it.
        file: Where the configuration is, in `folder`.
        stdout: Where standard output goes.
        """
        self.folder = folder
        self.port = port or free_port()
        self.path = folder / file
        self.write(text)
        self.events: list[Event] = []
        self._stdout = stdout
        self._environment = environment(folder, package)
        self._python = sys.executable
        if packages is not None:
            self._python = sys._base_executable  # type: ignore[attr-defined]
            found = [str(each) for each in (package, packages) if each is not None]
            self._environment["PYTHONPATH"] = os.pathsep.join(found)
        if not self._environment["TIDEGATE_USER"]:
            del self._environment["TIDEGATE_USER"]
        command = command or ["run", str(self.path)]
        self._arguments = [*command, "--name", name, "--log-format", "json", *arguments]
        self._lines: queue.Queue[Event | None] = queue.Queue()
        self._collectors: list[threading.Thread] = []
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self._notified.bind(str(address))
        self._environment["NOTIFY_SOCKET"] = str(address)
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [self._python, "-m", "tidegate", *self._arguments],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._collect_from(process)
        return process

    def _collect_from(self, process: "subprocess.Popen[str]") -> None:
        self._collectors.append(threading.Thread(target=self._collect, args=[process]))
        self._collectors[-1].start()

    def again(self) -> None:
        """Starts the next supervisor of the instance."""
        self.process = self._start()

    def _collect(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = {"message": line.rstrip()}
                self._lines.put(event)
        self._lines.put(None)

    def write(self, text: str) -> None:
        """Replaces the file as editors do: a new one gets its name."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text.replace("PORT", str(self.port)))
        fresh.rename(self.path)

    def wait_ready(self) -> str:
        """Waits for READY=1; returns the status that came with it."""
        while True:
            text = self.notification()
            if text.startswith("READY=1"):
                return text

    def notification(self) -> str:
        """The next message to the service manager."""
        self._notified.settimeout(DEADLINE)
        try:
            return self._notified.recv(4096).decode()
        except TimeoutError:
            raise AssertionError(f"no message to the service manager; log: {self.log()}") from None

    def wait_event(self, *parts: str) -> Event:
        """Waits for the next event whose message has all `parts`."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                event = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f"no event with {parts}; log: {self.log()}") from None
            if event is None:
                continue
            self.events.append(event)
            if all(part in event["message"] for part in parts):
                return event

    def log(self) -> str:
        """Everything so far, for a failed test's message."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._lines.get_nowait()
                if event is not None:
                    self.events.append(event)
        return "\n".join(json.dumps(event) for event in self.events)

    def get(self, path: str = "/", port: int | None = None) -> str:
        """One request on a connection of its own; returns the answer's body."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command beside it, such as `status --json`."""
        return subprocess.run(
            [sys.executable, "-m", "tidegate", *arguments],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def pid(self, role: str) -> int:
        """The process of a role, as `tidegate status` has it."""
        status = json.loads(self.run("status", "--json").stdout)
        return int(next(each["pid"] for each in status["control"]["processes"] if each["role"] == role))

    def wait(self) -> int:
        """Waits for the supervisor's end; returns its exit code."""
        return self.process.wait(DEADLINE)

    def stop(self) -> int:
        """Stops it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Ends everything, whatever the test left behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        # What a killed supervisor left: its file names them.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads((self.folder / "run" / "t" / "state.json").read_text())
            left = [*state["workers"], *state.get("draining", ()), *state.get("leaving", ())]
            for child in [state["node"], *left, *state.get("origins", ())]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child["pid"], signal.SIGKILL)
        self.process.wait(10)
        # Their pipe ends with the last process that has it.
        for collector in self._collectors:
            collector.join(10)
        self._notified.close()


@contextlib.contextmanager
def supervised(folder: Path, text: str, *arguments: str, **options: Any) -> Iterator[Supervised]:
    """A gateway that has said it is ready."""
    gateway = Supervised(folder, text, *arguments, **options)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.close()


def wait_gone(pid: int) -> None:
    """Waits until a process is gone, or a zombie of somebody else."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        assert select.select([descriptor], [], [], DEADLINE)[0], f"process {pid} goes on"
    finally:
        os.close(descriptor)
