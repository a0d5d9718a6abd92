# SPDX-License-Identifier: Apache-2.0
"""An honest client beside many slow ones, at tidegate and at nginx.

    python -m benches.slow_clients [--connections N] [--seconds S] [--attack NAME] [--package FOLDER]
                                   [--json FILE]

For each attack and each proxy, on a core of its own: 200 requests a second with nobody else there, then the
same while the slow clients hold their connections. Slow headers, slow bodies and slow readers, by our own
attacker and by slowhttptest (Debian's) where it is installed. Limits and patience of both proxies are raised
so far that they hold the attack instead of cutting it (`tidegate.yaml`, `nginx.conf` in this folder).

Proxies and honest client are real-time processes, where we may say so (root), and go before whatever else
runs on the machine, attackers included. Prints a table; the exit status is 1 if an honest request failed at
tidegate, or if its p99 is above the better of twice its own without the attack and 1.2 times that of nginx
under the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.proxy import engine, machine
from benches.proxy import load as load_tool
from benches.proxy.cases import SMALL
from benches.proxy.peers.peer import SEARCH_PATH, Peer

from . import peers
from .attack import SIZE

RATE = 200
WINDOWS = 3
"""Measurements of each kind, of which the median counts: what else runs on the machine may spoil one."""
SLOWHTTPTEST_MOST = 6_000
"""Connections that slowhttptest, which looks at each of them again and again, drives on part of a core."""
KINDS = ["headers", "body", "read"]
ATTACKS = [*KINDS, *(f"slowhttptest {kind}" for kind in KINDS)]
CORES = (1, 0)
"""Of the proxy, and of everybody else."""


class Own:
    """Our attacker."""

    def __init__(self, kind: str, port: int, count: int) -> None:
        command = [sys.executable, "-m", "benches.slow_clients.attack", kind, f"127.0.0.1:{port}", str(count)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_step_back
        )
        self.held, self.cut = 0, 0

    def __enter__(self) -> Self:
        self._read()
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        found = json.loads(self._process.stdout.readline())
        self.held, self.cut = found["held"], found["cut"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._read()


def _step_back() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Slowhttptest:
    """Debian's slowhttptest, in the mode that corresponds."""

    def __init__(self, kind: str, port: int, count: int, folder: Path) -> None:
        modes = {
            "headers": ["-H", "-i", "10", "-x", "16"],
            "body": ["-B", "-i", "10", "-x", "8", "-s", "4096"],
            "read": ["-X", "-n", "10", "-z", "16", "-w", "512", "-y", "1024", "-k", "1"],
        }
        path = f"/b/{SIZE}" if kind == "read" else "/b/128"
        program = shutil.which("slowhttptest", path=SEARCH_PATH) or "slowhttptest"
        command = [program, *modes[kind], "-c", str(count), "-r", "2000", "-l", "600", "-p", "60", "-v", "1"]
        self._said = folder / "slowhttptest.log"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, "-u", f"http://127.0.0.1:{port}{path}"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                preexec_fn=_step_back,
            )
        self._port = port
        self._count = count
        self.held, self.cut = 0, 0

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        while self._established() < self._count and self._process.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.held = self._established()
        return self

    def _established(self) -> int:
        """Connections to the proxy that stand, as the kernel lists them on the clients' side."""
        wanted = [f"0100007F:{self._port:04X}", "01"]
        with open("/proc/net/tcp", encoding="ascii") as table:
            return sum(line.split(maxsplit=4)[2:4] == wanted for line in table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut = max(0, self.held - self._established())
        with self._process:
            self._process.kill()


def windows(load: load_tool.Load, values: dict[str, str | float]) -> dict[str, Any]:
    """The honest client's figures over several windows: the median p99, and all that went wrong."""
    each = [load.run(lambda phase: None, **values) for _ in range(WINDOWS)]
    latencies = [math.inf if one["p99_us"] is None else one["p99_us"] for one in each]
    return {"p99_us": statistics.median(latencies), "errors": sum(map(errors, each)), "windows": each}


def measure(peer: Peer, attack: str, count: int, load: load_tool.Load, seconds: float) -> dict[str, Any]:
    """The honest client's figures, without and with the attack."""
    peer.start(SMALL)
    try:
        values: dict[str, str | float] = {
            "target": f"127.0.0.1:{peer.port}",
            "host": "bench.example",
            "path": "/b/128",
            "size": 128,
            "connections": 32,
            "rate": RATE,
            "warm": 2,
            "seconds": seconds,
        }
        quiet = windows(load, values)
        before = machine.resident_bytes(peer.pids())
        kind = attack.split()[-1]
        own = attack in KINDS
        with tempfile.TemporaryDirectory() as folder:
            attacker = (
                Own(kind, peer.port, count) if own else Slowhttptest(kind, peer.port, count, Path(folder))
            )
            with attacker as slow:
                held = slow.held
                under = windows(load, values)
                memory = machine.resident_bytes(peer.pids()) - before
        return {"quiet": quiet, "under": under, "held": held, "cut": slow.cut, "memory": memory}
    finally:
        peer.stop()


def errors(figures: dict[str, Any]) -> int:
    """Requests that went wrong."""
    return int(figures["wrong_status"] + figures["wrong_body"] + figures["broken"])


def judge(found: dict[str, dict[str, Any]]) -> bool:
    """Whether tidegate did as promised under one attack."""
    mine = found["tidegate"]
    limits = [2 * mine["quiet"]["p99_us"]]
    if "nginx" in found:
        limits.append(1.2 * found["nginx"]["under"]["p99_us"])
    return bool(mine["under"]["errors"] == 0 and mine["under"]["p99_us"] <= min(limits))


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benches.slow_clients", description=__doc__)
    parser.add_argument(
        "--connections", type=int, default=20_000, help="slow clients wanted (default 20,000)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each of three windows (default 10)")
    parser.add_argument("--attack", action="append", choices=ATTACKS, help="only these")
    parser.add_argument("--package", type=Path, help="a folder to import tidegate from, already built")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    peers.package = options.package.resolve() if options.package else None
    machine.raise_descriptors()
    program = load_tool.build()
    if peers.package is None:
        engine.staged()
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    load = load_tool.Load(program, CORES[1])
    os.sched_setaffinity(0, {CORES[1]})
    has_slowhttptest = shutil.which("slowhttptest", path=SEARCH_PATH) is not None
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "descriptors": peers.descriptors(),
        "attacks": {},
    }
    print("| attack | proxy | slow clients | cut | errors | p99 quiet | p99 attacked | memory | |")
    print("|---|---|---|---|---|---|---|---|---|")
    is_good = True
    try:
        with tempfile.TemporaryDirectory() as folder:
            for attack in options.attack or ATTACKS:
                if attack not in KINDS and not has_slowhttptest:
                    print(f"{attack}: slowhttptest is not on this machine", file=sys.stderr)
                    continue
                # A slow reader takes two descriptors, its endpoint's connection being one. Some are left
                # over: nginx closes kept connections when a sixteenth is.
                each = 2 if attack.endswith("read") else 1
                count = min(options.connections, (peers.descriptors() - 2_000) // each)
                if attack not in KINDS:
                    count = min(count, SLOWHTTPTEST_MOST)
                found: dict[str, dict[str, Any]] = {}
                for kind in (peers.Nginx, peers.Tidegate):
                    peer = kind(Path(folder), CORES[0], load)
                    if peer.is_here():
                        found[peer.name] = measure(peer, attack, count, load, options.seconds)
                results["attacks"][attack] = found
                verdict = judge(found)
                is_good &= verdict
                for name, one in found.items():
                    quiet, under = (f"{one[when]['p99_us'] / 1000:.2f} ms" for when in ("quiet", "under"))
                    print(
                        f"| {attack} | {name} | {one['held']:,} | {one['cut']:,} | {one['under']['errors']} "
                        f"| {quiet} | {under} "
                        f"| {one['memory'] / (1 << 20):.0f} MiB "
                        f"| {('kept' if verdict else 'missed') if name == 'tidegate' else ''} |",
                        flush=True,
                    )
    finally:
        load.close()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
