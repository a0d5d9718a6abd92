# SPDX-License-Identifier: Apache-2.0
"""Starts processes and says when they ended."""

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.supervisor.identity import Identity

FIRST_FREE = 10
"""Descriptors below this number are handed to children and used for nothing else."""


@dataclass(frozen=True)
class Spec:
    """How to start one process.

    Attributes:
        role: `node`, `control`, `worker:FUNCTION:N` or `process:BACKEND:N`.
        module: Run as `python -m MODULE`, if there is neither script nor command.
        script: Run as `python SCRIPT`.
        command: Program and arguments of somebody else, run as they are; it gets nothing that is ours.
        environment: Added to ours.
        descriptors: The child's number for each of our descriptors.
        interpreter: Another Python; empty for ours.
        identity: Whom to become; None for nobody else.
        keeps_limit: Whether it may have as many descriptors as we; else as many as we were started with.
        directory: Where to run; None for here.
    """

    role: str
    module: str = ""
    script: Path | None = None
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Mapping[int, int] = field(default_factory=dict)
    interpreter: str = ""
    identity: Identity | None = None
    keeps_limit: bool = False
    directory: Path | None = None


@dataclass
class Process:
    """A process that runs, started by us or adopted.

    Attributes:
        started: When, on the monotonic clock; for an adopted one, when it was adopted.
        start_time: The kernel's: with the process identifier it names one process of this boot.
    """

    role: str
    pid: int
    pidfd: int
    started: float
    start_time: int

    def signal(self, number: int) -> None:
        """Sends a signal; nothing happens when the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> str:
        """Forgets an ended process and says how it ended."""
        os.close(self.pidfd)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            # Somebody else's. After an upgrade those of the supervisor before are ours: it was this process.
            return "ended"
        return describe(status)


def describe(status: int) -> str:
    """An exit status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def reserve_descriptors() -> None:
    """Fills the numbers up to `FIRST_FREE`, so that a child's can be put there without a clash."""
    while True:
        descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        if descriptor >= FIRST_FREE:
            os.close(descriptor)
            return


_first_limit: tuple[int, int] | None = None


def raise_descriptor_limit() -> None:
    """Lets this process hold as many sockets as the system allows."""
    global _first_limit
    _first_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_first_limit[1], _first_limit[1]))


def restore_descriptor_limit() -> None:
    """Takes `raise_descriptor_limit` back, for a program that is to take this one's place."""
    if _first_limit is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, _first_limit)


def start(spec: Spec) -> Process:
    """Starts a process.

    Raises:
        OSError: It could not be started: out of processes or memory, interpreter not there, ...
    """
    report, child_report = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(spec, child_report)
    os.close(child_report)
    with open(report, "rb") as reader:
        failure = reader.read()
    if failure:
        os.waitpid(pid, 0)
        number, _, stage = failure.decode().partition(" ")
        raise OSError(int(number), f"{os.strerror(int(number))} ({stage})", _program(spec)[0])
    return Process(spec.role, pid, os.pidfd_open(pid), time.monotonic(), start_time_of(pid) or 0)


def _become(spec: Spec, report: int) -> None:
    """Turns the forked child into the program; never returns."""
    stage = "prepare"
    try:
        # A group of its own: Ctrl-C on the terminal is for the supervisor, which decides.
        os.setpgid(0, 0)
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for target, source in spec.descriptors.items():
            os.dup2(source, target, inheritable=True)
        stdin = os.open("/dev/null", os.O_RDONLY)
        os.dup2(stdin, 0, inheritable=True)
        if not spec.keeps_limit and _first_limit is not None:
            # More than 1,024 by default would break code that uses select().
            resource.setrlimit(resource.RLIMIT_NOFILE, _first_limit)
        if spec.directory is not None:
            os.chdir(spec.directory)
        stage = "change user"
        if spec.identity is not None:
            spec.identity.assume()
        stage = "execute"
        arguments = _program(spec)
        os.execvpe(arguments[0], arguments, _environment(spec))
    except OSError as error:
        os.write(report, f"{error.errno or 0} {stage}".encode())
    except BaseException:
        os.write(report, f"0 {stage}".encode())
    finally:
        os._exit(127)


def _program(spec: Spec) -> list[str]:
    if spec.command:
        return list(spec.command)
    # -P: a file called json.py in the current directory must not become part of the gateway.
    program = ["-m", spec.module] if spec.script is None else [str(spec.script)]
    return [spec.interpreter or sys.executable, "-P", *program]


def _environment(spec: Spec) -> dict[str, str]:
    ours = dict(os.environ)
    if spec.command:
        ours = {name: value for name, value in ours.items() if not name.startswith("TIDEGATE_")}
        if spec.identity is not None:
            ours |= spec.identity.variables()
    return {**ours, **spec.environment}


def adopt(role: str, pid: int, start_time: int = 0) -> Process | None:
    """Watches a process that somebody else started.

    Args:
        role: What it is.
        pid: Its identifier.
        start_time: What `start_time_of` said of it; 0 when it is known to be alive.

    Returns:
        None when it is gone, even if another process has its identifier now.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # Looked at after the descriptor exists: from here on the identifier cannot be taken over unnoticed.
    found = start_time_of(pid)
    if found is None or (start_time and found != start_time):
        os.close(pidfd)
        return None
    return Process(role, pid, pidfd, time.monotonic(), found)


def start_time_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (field 22 of /proc/PID/stat)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in parentheses, may hold anything.
    return int(text.rpartition(")")[2].split()[19])


class Backoff:
    """How long to wait before a process is started again.

    At once after a life of `grace` seconds or more; else twice as long each time.
    """

    def __init__(self, grace: float = 1.0, first: float = 0.1, longest: float = 5.0) -> None:
        self._grace = grace
        self._first = first
        self._longest = longest
        self.failures = 0

    def ended(self, lived: float) -> float:
        """Notes an end after `lived` seconds; returns the seconds to wait."""
        if lived >= self._grace:
            self.failures = 0
            return 0.0
        self.failures += 1
        if self.failures == 1:
            return 0.0
        return float(min(self._first * 2 ** (self.failures - 2), self._longest))
