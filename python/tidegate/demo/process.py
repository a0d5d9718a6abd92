# SPDX-License-Identifier: Apache-2.0
"""Processes that the demo starts, and that it ends, by their identifiers and never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class Process:
    """One child in a session of its own, so that a Ctrl-C reaches only us and we end it in order."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], output: Path, folder: Path
    ) -> None:
        """
        Args:
            name: What to call it.
            command: Program and arguments.
            environment: Added to ours.
            output: Where its standard output and error are appended.
            folder: Where it runs.
        """
        self.name = name
        self.output = output
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; it may not be running."""
        with self.output.open("ab") as output:
            # It keeps the read end of a pipe whose other end closes with us, however we end.
            self._child = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its identifier; 0 before it was started."""
        return self._child.pid if self._child else 0

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def tell(self, text: str) -> None:
        """Writes to its standard input, if it still reads."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.write(text.encode())
                self._child.stdin.flush()

    def close_input(self) -> None:
        """Ends its standard input."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.close()

    def wait(self, seconds: float) -> None:
        """Returns once it ended, or was ended for not doing so in time."""
        if self._child is not None:
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def kill(self) -> None:
        """Ends it and everything it started, at once: what a power cut does to one machine."""
        kill_all([self])

    def stop(self, grace: float) -> None:
        """Asks it to end; what is left of it after `grace` seconds is ended at once."""
        if self._child is None:
            return
        family = descendants(self._child.pid) if self.is_running else []
        # A stopped process would not hear it.
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            family += descendants(self._child.pid)
            self.signal(signal.SIGKILL)
        self.forget(family)

    def last_words(self, lines: int = 8) -> str:
        """The end of what it printed."""
        try:
            return "\n".join(self.output.read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""

    def forget(self, family: Sequence[Member]) -> None:
        """Waits for its end, which must be near, and ends what it had started."""
        if self._child is None:
            return
        self._child.wait()
        self.close_input()
        for member in family:
            member.kill()
        for member in family:
            member.wait_gone()


def kill_all(processes: Sequence[Process]) -> None:
    """Ends several and everything they started in the same instant: a power cut in a whole zone."""
    families = [descendants(process.pid) if process.is_running else [] for process in processes]
    # All are found before the first is ended, and none is waited for until all are: else the last ones
    # would take over requests that the first ones lost, and lose them again.
    for process in processes:
        process.signal(signal.SIGKILL)
    for process, family in zip(processes, families, strict=True):
        process.forget(family)


class Member:
    """A process that a child of ours started, told apart from a later one with the same identifier."""

    def __init__(self, pid: int, started: str) -> None:
        self.pid = pid
        self._started = started

    @classmethod
    def of(cls, pid: int) -> Member | None:
        """The process with that identifier now."""
        found = _stat(pid)
        return None if found is None else cls(pid, found.started)

    def kill(self) -> None:
        """Ends it, if it is still the same."""
        if self.is_there():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait_gone(self, seconds: float = 5.0) -> None:
        """Returns once it is gone; someone else is its parent, so there is nothing to wait on."""
        end = time.monotonic() + seconds
        while self.is_there() and time.monotonic() < end:
            time.sleep(0.005)

    def is_there(self) -> bool:
        """Whether it runs, or could; one that only waits to be reaped does not."""
        found = _stat(self.pid)
        return found is not None and found.started == self._started and found.state != "Z"


class _Stat:
    """Part of /proc/PID/stat (proc(5))."""

    def __init__(self, line: str) -> None:
        # The program's name is in parentheses and may hold any character.
        fields = line.rpartition(")")[2].split()
        self.state, self.parent, self.started = fields[0], int(fields[1]), fields[19]


def _stat(pid: int) -> _Stat | None:
    try:
        return _Stat(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace"))
    except (OSError, IndexError):
        return None


def descendants(pid: int) -> list[Member]:
    """The processes that `pid` started, and those that they started."""
    children: dict[int, list[Member]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := _stat(int(entry))) is not None:
            children.setdefault(found.parent, []).append(Member(int(entry), found.started))
    family: list[Member] = []
    parents = [pid]
    while parents:
        young = children.get(parents.pop(), [])
        family += young
        parents += [member.pid for member in young]
    return family
