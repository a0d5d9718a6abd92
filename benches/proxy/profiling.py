# SPDX-License-Identifier: Apache-2.0
"""Samples a proxy with `perf` (Debian: linux-perf) under the load of one case."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benches.proxy.cases import Case
from benches.proxy.load import Load
from benches.proxy.peers import Peer


def is_here() -> bool:
    """Whether there is a perf on this machine."""
    return shutil.which("perf") is not None


def has_counters() -> bool:
    """Whether the processor's own cycle counter can be used."""
    probe = ["perf", "stat", "-e", "cycles", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "not supported" not in done.stderr


def record(data: Path, pids: list[int], tree: bool) -> subprocess.Popen[bytes]:
    """Starts sampling the processes; ends at SIGINT."""
    event = "cycles" if has_counters() else "cpu-clock"
    command = ["perf", "record", "-q", "-e", event, "-F", "4000", "-o", str(data)]
    command += ["-p", ",".join(map(str, pids))]
    if tree:
        # Frame pointers are not kept in release builds; DWARF unwinding is slow but whole.
        command += ["--call-graph", "dwarf,8192"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def sample(
    peer: Peer, case: Case, load: Load, directory: Path, seconds: float, *, tree: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Puts a case's load on a proxy and samples it; returns perf's file and the load tool's figures."""
    data = directory / "perf.data"
    sampling: list[subprocess.Popen[bytes]] = []

    def moment(phase: str) -> None:
        if phase == "begin":
            sampling.append(record(data, peer.pids(), tree))
        else:
            sampling[0].send_signal(2)

    try:
        peer.start(case)
        target = f"127.0.0.1:{peer.port}"
        if case.beside:
            load.idle(target=target, connections=case.beside)
        result = load.run(moment, **case.values(), target=target, warm=1, seconds=seconds, rate=0)
        if case.beside:
            load.drop()
        sampling[0].wait()
    finally:
        peer.stop()
    return data, result


def functions(data: Path, limit: int = 20) -> list[tuple[float, str, str]]:
    """Share in percent, program or library, and name of the functions that cost most by their own time."""
    command = ["perf", "report", "-q", "--stdio", "-i", str(data), "--no-children", "--sort", "dso,symbol"]
    done = subprocess.run([*command, "-t", "|"], capture_output=True, text=True, check=False)
    found = []
    for line in done.stdout.splitlines():
        parts = [part.strip() for part in line.split("|")]
        # Some perfs add columns of their own.
        if len(parts) >= 3 and parts[0].endswith("%"):
            symbol = re.sub(r"^\[[.k]\]\s*|::h[0-9a-f]{16}$", "", parts[2]).strip()
            where = "kernel" if "kernel" in parts[1] else parts[1]
            found.append((float(parts[0].rstrip("%")), where, symbol))
    return found[:limit]
