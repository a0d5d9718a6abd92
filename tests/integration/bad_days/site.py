# SPDX-License-Identifier: Apache-2.0
"""A whole gateway from a file, whose processes can be killed one by one, the supervisor too."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tidegate.protocol import Channel, Message, ProtocolError, Refused
from tidegate.testing import wait_until

NAME = "site"
TIMEOUT = 60.0
"""Seconds for anything that must happen; nothing waits that long unless it is broken."""


@dataclass(frozen=True)
class Death:
    """A process that was killed: when the signal was sent, and when it was gone, in nanoseconds."""

    pid: int
    killed: int
    gone: int


def kill(pid: int, number: int = signal.SIGKILL) -> Death:
    """Sends a signal and waits until the process is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        killed = time.monotonic_ns()
        signal.pidfd_send_signal(descriptor, number)
        # Not select(), which knows no descriptor over 1,023: the load beside this has many.
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        ready = poller.poll(TIMEOUT * 1000)
        assert ready, f"process {pid} is still there"
        return Death(pid, killed, time.monotonic_ns())
    finally:
        os.close(descriptor)


class Site:
    """`tidegate run FILE`, on ports of its own, until `stop`; `with` starts and stops it."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any], *, watch: bool = False) -> None:
        """Starts nothing yet; `folder` must be empty."""
        self.file = folder / "gateway.yaml"
        self.directory = folder / "run" / NAME
        self.output_file = folder / "output"
        self._base = folder
        self._watch = watch
        self.process: subprocess.Popen[bytes] | None = None
        self.write(configuration)

    def write(self, configuration: Mapping[str, Any]) -> None:
        """Replaces the file in one step. JSON is YAML."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(configuration))
        fresh.rename(self.file)

    def start(self) -> Self:
        """Starts a supervisor and waits until a node serves."""
        command = [sys.executable, "-m", "tidegate", "run", str(self.file), "--name", NAME]
        command += ["--runtime-directory", str(self._base / "run"), "--threads", "2"]
        command += ["--watch"] if self._watch else []
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if os.geteuid() == 0:
            # The interpreter and the test's folder may be closed to others.
            environment["TIDEGATE_USER"] = "root"
        with open(self.output_file, "ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self._base,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if not wait_until(self._serves, TIMEOUT):
            raise RuntimeError(f"the gateway did not start:\n{self.output()}")
        return self

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the supervisor ended:\n{self.output()}")
        try:
            return int(self.call("status")["snapshot"]) > 0
        except (OSError, ProtocolError, Refused):
            return False

    @property
    def supervisor(self) -> int:
        """The supervisor's process identifier."""
        assert self.process is not None
        return self.process.pid

    def replace_supervisor(self) -> Death:
        """Kills the supervisor and starts another, as a service manager does."""
        assert self.process is not None
        death = kill(self.process.pid)
        self.process.wait()
        self.start()
        return death

    def call(self, kind: str, /, **fields: Any) -> Message:
        """Asks the node."""
        with Channel.to(self.directory / "node.sock", TIMEOUT) as channel:
            return channel.call(kind, timeout=TIMEOUT, **fields)

    def ask_control(self, kind: str) -> Message:
        """Asks control; one that is being replaced answers once it is there."""

        answers: list[Message] = []

        def ask() -> list[Message]:
            # It may go while it is asked.
            with (
                contextlib.suppress(OSError, ProtocolError),
                Channel.to(self.directory / "control.sock", TIMEOUT) as channel,
            ):
                answers.append(channel.call(kind, timeout=TIMEOUT))
            return answers

        assert wait_until(ask, TIMEOUT), self.output()
        return answers[0]

    def pid(self, role: str) -> int:
        """The process in a role: `node`, `control`, or `worker:POOL:N`."""
        found: list[int] = []

        def look() -> list[int]:
            processes = self.ask_control("status")["processes"]
            found.extend(each["pid"] for each in processes if each["role"] == role)
            return found

        assert wait_until(look, TIMEOUT), f"no {role}:\n{self.output()}"
        return found[0]

    def reload(self, configuration: Mapping[str, Any]) -> Message:
        """Applies another configuration."""
        self.write(configuration)
        return self.ask_control("reload")

    def output(self) -> str:
        """What all processes wrote."""
        with contextlib.suppress(OSError):
            return self.output_file.read_text(errors="replace")
        return ""

    def stop(self) -> int:
        """Drains everything and returns the exit code; -9 when it had to be killed."""
        assert self.process is not None
        if self.process.returncode is not None:
            return self.process.returncode
        node = self._node_of_state()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            if node is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(node, signal.SIGKILL)
            self.process.kill()
            return self.process.wait()

    def _node_of_state(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads((self.directory / "state.json").read_text())["node"]["pid"])
        return None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            if self.process is not None and self.process.poll() is None:
                self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.stop()
        if error is not None:
            error.add_note(self.output()[-8000:])
            return
        assert code == 0, f"ended with code {code}:\n{self.output()}"
        assert "panicked at" not in self.output(), self.output()
