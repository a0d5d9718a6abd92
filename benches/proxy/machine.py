# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about processes and cores, and what this machine is."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def process_group(root: int) -> list[int]:
    """The process `root` and all that descend from it, by pid; those that end meanwhile are left out."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        current = todo.pop()
        found.append(current)
        todo.extend(parents.get(current, []))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes so far, all their threads and ended children included.

    Read from each process's CPU clock (the scheduler's accounting, `clock_getcpuclockid(3)`), to the
    nanosecond, because the ticks in /proc/PID/stat are 10 ms; of ended children there are only the ticks.
    Time that the kernel spends on a packet while the process sends it counts; time in ksoftirqd does not,
    which is why the core's busy share is reported too.
    """
    total = 0.0
    for pid in pids:
        try:
            # The clock's number encodes the pid: bits above 3 are its complement, 2 is the scheduler's clock.
            total += time.clock_gettime((~pid << 3) | 2)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Children that have ended, to a tick.
        total += (int(fields[13]) + int(fields[14])) * TICK
    return total


def core_busy_seconds(core: int) -> float:
    """Time that a core was not idle since start-up, to a tick (10 ms)."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            numbers = [int(word) for word in line.split()[1:9]]
            # user nice system idle iowait irq softirq steal
            return (sum(numbers) - numbers[3] - numbers[4]) * TICK
    raise ValueError(f"no core {core}")


def core_stolen_seconds(core: int) -> float:
    """Time that the hypervisor gave a core to someone else since start-up; rounds with much of it say so."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            return int(line.split()[8]) * TICK
    raise ValueError(f"no core {core}")


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of the processes, shared pages divided among those that share them (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


def raise_descriptors(wanted: int = 0) -> int:
    """Lets this process, and those it starts, open as many files as its hard limit says; returns how many.

    Where it may (CAP_SYS_RESOURCE) and `wanted` is more, the hard limit is raised to that.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(hard, wanted)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        most = hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@dataclass(frozen=True)
class Sample:
    """The counters at one moment."""

    at: float
    process: float
    core: float
    stolen: float

    @classmethod
    def take(cls, pids: list[int], core: int) -> Sample:
        """Reads all counters now."""
        return cls(time.monotonic(), cpu_seconds(pids), core_busy_seconds(core), core_stolen_seconds(core))


def output(*command: str) -> str:
    """First line that a command prints, on either stream; empty when it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def describe() -> dict[str, str | int]:
    """The machine, as the results file states it: nothing that names a host or a person."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    hypervisor = "hypervisor" in Path("/proc/cpuinfo").read_text()
    release = re.match(r"\d+\.\d+", platform.release())
    return {
        "cpu": (model[1] if model else platform.machine()) + (", virtual" if hypervisor else ""),
        "cores": os.cpu_count() or 0,
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (1 << 20),
        "kernel": f"Linux {release[0] if release else ''}".strip(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit measured, with `+changes` when the work tree differs from it."""
    found = output("git", "rev-parse", "--short=12", "HEAD")
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    return found + ("+changes" if changed else "")
