# SPDX-License-Identifier: Apache-2.0
"""Where a node's time goes: `python -m benches.profile [--case small] [--peer tidegate] [--seconds 10]`.

Puts the load of one bench case on one proxy and samples its processes with `perf` (Debian: linux-perf), user
and kernel. Prints the functions that cost most by their own time; `--tree` prints callers, too. Where the
machine has no hardware counters, as most virtual ones, perf samples by timer, which is good for this.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.proxy import load as load_tool
from benches.proxy import profiling
from benches.proxy.cases import CASES
from benches.proxy.peers import PEERS


def report(data: Path, tree: bool, lines: int) -> None:
    """Prints shares of kernel and programs, then of functions."""
    own_time = ["--no-children", "--percent-limit", "0.3", "--sort"]
    for choice in ([*own_time, "dso"], ["--children"] if tree else [*own_time, "dso,symbol"]):
        command = ["perf", "report", "-q", "--stdio", "-i", str(data), *choice]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        shown = [line.rstrip("- ") for line in done.stdout.splitlines() if line.strip()]
        print("\n".join(shown[:lines]) + "\n")
        if not shown:
            print(done.stderr, file=sys.stderr)


def main() -> int:
    """Runs one load and prints its profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="small", choices=[case.name for case in CASES])
    parser.add_argument("--peer", default="tidegate", choices=[peer.name for peer in PEERS])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--tree", action="store_true")
    parser.add_argument("--lines", type=int, default=70)
    parser.add_argument("--proxy-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    options = parser.parse_args()
    if not profiling.is_here():
        print("profile: perf is not on this machine: apt-get install linux-perf", file=sys.stderr)
        return 1
    case = next(case for case in CASES if case.name == options.case)
    load = load_tool.Load(load_tool.build(), options.load_core)
    os.sched_setaffinity(0, {options.load_core})
    with tempfile.TemporaryDirectory(prefix="tidegate-profile-") as directory:
        kind = next(kind for kind in PEERS if kind.name == options.peer)
        peer = kind(Path(directory), options.proxy_core, load)
        if not peer.takes(case):
            parser.error(f"{peer.name} does not do the case {case.name}")
        try:
            data, result = profiling.sample(
                peer, case, load, Path(directory), options.seconds, tree=options.tree
            )
        finally:
            load.close()
        rate = result["answered"] / result["seconds"]
        print(f"{peer.name}, {case.title}: {rate:,.0f} answers/s while sampled\n")
        report(data, options.tree, options.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
