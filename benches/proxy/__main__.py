# SPDX-License-Identifier: Apache-2.0
"""`make bench`: CPU per request of tidegate, nginx, HAProxy and a plain asyncio proxy, on the same work.

Prints the tables and writes them with their data to benches/results/. `--quick` gives a look in two minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches.proxy import load as load_tool
from benches.proxy import machine, report, rounds
from benches.proxy.cases import CASES, Case
from benches.proxy.peers import PEERS, Peer

RESULTS = Path(__file__).resolve().parents[1] / "results"


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few short rounds; nothing is written unless --out"
    )
    parser.add_argument("--rounds", type=int, help="rounds per case (default 24)")
    parser.add_argument("--seconds", type=float, help="seconds per closed-loop run (default 1.5)")
    parser.add_argument("--case", action="append", choices=[*(case.name for case in CASES), "idle"])
    parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS])
    parser.add_argument("--out", type=Path, help="folder for the results (default benches/results)")
    parser.add_argument("--proxy-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    return parser.parse_args()


def command(words: list[str]) -> str:
    """How to make the same run again; where its results went is left out."""
    if "--out" in words:
        at = words.index("--out")
        words = words[:at] + words[at + 2 :]
    return "make bench" + (f' ARGS="{" ".join(words)}"' if words else "")


def chosen_peers(
    wanted: list[str] | None, directory: Path, core: int, load: load_tool.Load
) -> tuple[list[Peer], dict[str, str]]:
    """The proxies that start on this machine, and why the others are left out."""
    here: list[Peer] = []
    skipped: dict[str, str] = {}
    for kind in PEERS:
        if wanted and kind.name not in wanted:
            continue
        peer = kind(directory, core, load)
        if not peer.is_here():
            skipped[peer.name] = f"{peer.program} is not on this machine"
            continue
        try:
            peer.start(1)
            peer.stop()
        except Exception as error:
            print(f"bench: {peer.name} does not start: {error}", file=sys.stderr)
            skipped[peer.name] = "does not start"
            continue
        here.append(peer)
    return here, skipped


def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """All cases; returns the results file's content."""
    clock = rounds.Clockwork()
    if options.quick:
        clock = rounds.Clockwork(rounds=6, seconds=1, rate_seconds=1, rate_every=6)
    if options.rounds:
        clock.rounds = options.rounds
    if options.seconds:
        clock.seconds = options.seconds
    cores = (options.proxy_core, options.load_core)
    load = load_tool.Load(load_tool.build(), options.load_core)
    # The runner itself only waits; what it does in between must not cost the proxy.
    os.sched_setaffinity(0, {options.load_core})
    try:
        peers, skipped = chosen_peers(options.peer, directory, options.proxy_core, load)
        results: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": machine.commit(),
            "command": command(sys.argv[1:]),
            "machine": machine.describe(),
            "versions": {peer.name: peer.version() for peer in peers},
            "rounds": clock.rounds,
            "seconds": clock.seconds,
            "skipped": skipped,
            "titles": {case.name: case.title for case in CASES},
            "cases": {},
            "settings": {case.name: dataclasses.asdict(case) for case in CASES},
        }
        wanted = options.case or [*(case.name for case in CASES), "idle"]
        for case in CASES:
            if case.name in wanted:
                results["cases"][case.name] = run_case(load, peers, case, clock, cores)
        if "idle" in wanted:
            results["idle"] = rounds.run_idle(load, peers)
            print("\n".join(report.idle_table(results["idle"])), flush=True)
    finally:
        load.close()
    return results


def run_case(
    load: load_tool.Load, peers: list[Peer], case: Case, clock: rounds.Clockwork, cores: tuple[int, int]
) -> dict[str, Any]:
    """One case, printed as soon as it is done."""
    series = rounds.run_case(load, peers, case, clock, cores)
    data = {name: dataclasses.asdict(one) for name, one in series.items()}
    print("\n".join(report.case_table(case.title, data)), flush=True)
    return data


def main() -> int:
    """Runs, prints, writes; ends non-zero when a proxy gave a wrong answer or none could be run."""
    options = arguments()
    if (os.cpu_count() or 1) < 2:
        print("bench: one core for the proxy and one for the load: this machine has one", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        results = run(options, Path(directory))
    out = options.out or (None if options.quick else RESULTS)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        name = "proxy-" + results["date"].replace(" UTC", "").replace(":", "").replace(" ", "-")
        (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        (out / f"{name}.md").write_text(report.markdown(results))
        print(f"written: {out / name}.json and .md")
        if out == RESULTS and {"tidegate", "asyncio"} <= set(results["versions"]) and results["cases"]:
            readme = RESULTS.parents[1] / "README.md"
            readme.write_text(report.into_readme(readme.read_text(), results))
    if not results["versions"]:
        return 1
    if any(report.disturbance(case) for case in results["cases"].values()):
        print("bench: the machine was not quiet (see Disturbed in the tables)", file=sys.stderr)
    errors = sum(one["errors"] for case in results["cases"].values() for one in case.values())
    if errors:
        print(f"bench: {errors} wrong or missing answers (see the tables)", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
