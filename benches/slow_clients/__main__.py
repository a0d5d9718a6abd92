# SPDX-License-Identifier: Apache-2.0
"""An honest client beside many slow ones, at tidegate and at nginx.

    python -m benches.slow_clients [--connections N] [--seconds S] [--attack NAME] [--package FOLDER]
                                   [--json FILE]

For each proxy, on a core of its own: 200 requests a second with nobody else there, then the same under each
attack, while the slow clients hold their connections. Slow headers, slow bodies and slow readers, by our own
attacker and by slowhttptest (Debian's) where it is installed. Limits and patience of both proxies are raised
so far that they hold the attack instead of cutting it (`tidegate.yaml`, `nginx.conf` in this folder). The
limit of open files is raised where we may, and is stated.

Proxies, honest client and its origin servers are real-time processes, where we may say so (root), and go
before whatever else runs on the machine; attackers and the origin servers that these ask are not. Prints a
table. The exit status is 1 if an honest request failed at tidegate, or if its p99 is above the better of
twice its own without the attack and 1.2 times that of nginx under the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.beside import CORES, go_first, honest, limit_us, peers, step_back, windows
from benches.proxy import engine, machine
from benches.proxy import load as load_tool
from benches.proxy.cases import SMALL
from benches.proxy.peers.peer import SEARCH_PATH, Peer

from .attack import PATH, SIZE

FOLDER = Path(__file__).parent
SLOWHTTPTEST_MOST = 6_000
"""Connections that slowhttptest, which looks at each of them again and again, drives on part of a core."""
KINDS = ["headers", "body", "read"]
ATTACKS = [*KINDS, *(f"slowhttptest {kind}" for kind in KINDS)]
SPARE = 2_000
"""Descriptors left over: nginx closes kept connections when a sixteenth of them is."""


class Own:
    """Our attacker."""

    def __init__(self, kind: str, port: int, count: int) -> None:
        command = [sys.executable, "-m", "benches.slow_clients.attack", kind, f"127.0.0.1:{port}", str(count)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=step_back
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


class Slowhttptest:
    """Debian's slowhttptest, in the mode that corresponds."""

    def __init__(self, kind: str, port: int, count: int, folder: Path) -> None:
        modes = {
            "headers": ["-H", "-i", "10", "-x", "16"],
            "body": ["-B", "-i", "10", "-x", "8", "-s", "4096"],
            "read": ["-X", "-n", "10", "-z", "16", "-w", "512", "-y", "1024", "-k", "1"],
        }
        path = f"{PATH}/{SIZE if kind == 'read' else 128}"
        program = shutil.which("slowhttptest", path=SEARCH_PATH) or "slowhttptest"
        command = [program, *modes[kind], "-c", str(count), "-r", "2000", "-l", "600", "-p", "60", "-v", "1"]
        self._said = folder / "slowhttptest.log"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, "-u", f"http://127.0.0.1:{port}{path}"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                preexec_fn=step_back,
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


def quiet(peer: Peer, load: load_tool.Load, seconds: float) -> dict[str, Any]:
    """The honest client's figures without an attack."""
    peer.start(SMALL)
    try:
        return windows(load, honest(peer, seconds))
    finally:
        peer.stop()


def attacked(peer: Peer, attack: str, count: int, load: load_tool.Load, seconds: float) -> dict[str, Any]:
    """The honest client's figures with the attack."""
    peer.start(SMALL)
    try:
        # So much that memory which every load takes is taken.
        load.run(lambda phase: None, **honest(peer, 1))
        before = machine.resident_bytes(peer.pids())
        kind = attack.split()[-1]
        with tempfile.TemporaryDirectory() as folder:
            attacker = (
                Own(kind, peer.port, count)
                if attack in KINDS
                else Slowhttptest(kind, peer.port, count, Path(folder))
            )
            with attacker as slow:
                held = slow.held
                under = windows(load, honest(peer, seconds))
                memory = machine.resident_bytes(peer.pids()) - before
        return {"under": under, "held": held, "cut": slow.cut, "memory": memory}
    finally:
        peer.stop()


def judge(quiet: dict[str, dict[str, Any]], attacked: dict[str, dict[str, Any]]) -> bool:
    """Whether tidegate did as promised under one attack."""
    mine = attacked["tidegate"]["under"]
    others = attacked["nginx"]["under"] if "nginx" in attacked else None
    return bool(mine["errors"] == 0 and mine["p99_us"] <= limit_us(quiet["tidegate"], others))


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
    package = options.package.resolve() if options.package else None
    # A slow reader takes two, its endpoint's connection being one.
    descriptors = machine.raise_descriptors(2 * options.connections + SPARE)
    attacks = options.attack or ATTACKS
    if shutil.which("slowhttptest", path=SEARCH_PATH) is None:
        attacks = [attack for attack in attacks if attack in KINDS]
        print("slowhttptest is not on this machine", file=sys.stderr)
    program = load_tool.build()
    if package is None:
        engine.staged()
    os.sched_setaffinity(0, {CORES[1]})
    slow = load_tool.Load(program, CORES[1])
    go_first()
    load = load_tool.Load(program, CORES[1])
    results: dict[str, Any] = {"machine": machine.describe(), "descriptors": descriptors, "attacks": {}}
    print(f"{descriptors:,} open files a process\n")
    print("| attack | proxy | slow clients | cut | errors | p99 quiet | p99 attacked | memory | |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    is_good = True
    try:
        with tempfile.TemporaryDirectory() as folder:
            origins = {"slow_1": slow.origins[0], "slow_2": slow.origins[1]}
            found = [
                kind(Path(folder), CORES[0], load, FOLDER, package, **origins)
                for kind in (peers.Nginx, peers.Tidegate)
            ]
            here = [peer for peer in found if peer.is_here()]
            results["quiet"] = {peer.name: quiet(peer, load, options.seconds) for peer in here}
            for attack in attacks:
                count = fitting(attack, options.connections, descriptors)
                figures = {peer.name: attacked(peer, attack, count, load, options.seconds) for peer in here}
                results["attacks"][attack] = figures
                verdict = judge(results["quiet"], figures)
                is_good &= verdict
                for name, one in figures.items():
                    print(row(attack, name, results["quiet"][name], one, verdict), flush=True)
    finally:
        load.close()
        slow.close()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if is_good else 1


def fitting(attack: str, wanted: int, descriptors: int) -> int:
    """How many slow clients there can be."""
    each = 2 if attack.endswith("read") else 1
    count = min(wanted, (descriptors - SPARE) // each)
    return count if attack in KINDS else min(count, SLOWHTTPTEST_MOST)


def row(attack: str, name: str, quiet: dict[str, Any], one: dict[str, Any], verdict: bool) -> str:
    """One line of the table."""
    latencies = (f"{figures['p99_us'] / 1000:.2f} ms" for figures in (quiet, one["under"]))
    cells = [
        attack,
        name,
        f"{one['held']:,}",
        f"{one['cut']:,}",
        str(one["under"]["errors"]),
        *latencies,
        f"{one['memory'] / (1 << 20):.0f} MiB",
        ("kept" if verdict else "missed") if name == "tidegate" else "",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
