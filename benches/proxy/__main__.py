# SPDX-License-Identifier: Apache-2.0
"""`make bench`: CPU per request of tidegate, nginx, HAProxy, Envoy, Caddy and a plain asyncio proxy.

Prints the tables and writes them with their data to benches/results/. `--quick` gives a look in a few
minutes; `--all` measures every case and writes the page of the documentation, too.
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
from benches.proxy import machine, page, profiling, report, rounds
from benches.proxy.cases import CASES, SMALL, Case
from benches.proxy.peers import PEERS, Peer

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAGE = RESULTS.parents[1] / "docs" / "benchmarks.md"


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few short rounds; nothing is written unless --out"
    )
    parser.add_argument("--all", action="store_true", help="every case, not only the usual ones")
    parser.add_argument(
        "--rounds", type=int, help="rounds of the 128 B case, the others get half (default 20)"
    )
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
            peer.start(SMALL)
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
        clock = rounds.Clockwork(rounds=4, seconds=1, rate_seconds=1, rate_every=6)
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
            "failed": [],
            "titles": {case.name: case.title for case in CASES},
            "cases": {},
            "settings": {case.name: dataclasses.asdict(case) for case in CASES},
        }
        usual = [case.name for case in CASES if case.is_usual or options.all]
        wanted = options.case or [*usual, "idle"]
        for case in CASES:
            if case.name in wanted:
                results["cases"][case.name] = run_case(load, peers, case, clock, cores, results["failed"])
        if "idle" in wanted:
            results["idle"] = rounds.run_idle(load, peers)
            print("\n".join(report.idle_table(results["idle"])), flush=True)
        lost = {row.name for row in page.rows_of(results) if row.lost_to} & set(results["cases"])
        if options.all and lost and profiling.is_here():
            results["profiles"] = profile(
                options, [case for case in CASES if case.name in lost], directory, load
            )
    finally:
        load.close()
    return results


def run_case(
    load: load_tool.Load,
    peers: list[Peer],
    case: Case,
    clock: rounds.Clockwork,
    cores: tuple[int, int],
    failed: list[str],
) -> dict[str, Any]:
    """One case, printed as soon as it is done."""
    series = rounds.run_case(load, peers, case, clock, cores, failed)
    data = {name: dataclasses.asdict(one) for name, one in series.items()}
    print("\n".join(report.case_table(case.title, data)), flush=True)
    return data


def profile(
    options: argparse.Namespace, cases: list[Case], directory: Path, load: load_tool.Load
) -> dict[str, Any]:
    """Where tidegate's time goes in the cases that it lost."""
    kind = next(kind for kind in PEERS if kind.name == "tidegate")
    found = {}
    for case in cases:
        data, _ = profiling.sample(kind(directory, options.proxy_core, load), case, load, directory, 5.0)
        found[case.name] = profiling.functions(data)
    return found


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
            if page.is_whole(results):
                PAGE.write_text(page.page(results))
    if not results["versions"]:
        return 1
    if any(report.disturbance(case) for case in results["cases"].values()):
        print("bench: the machine was not quiet (see Disturbed in the tables)", file=sys.stderr)
    errors = sum(one["errors"] for case in results["cases"].values() for one in case.values())
    if errors:
        print(f"bench: {errors} wrong or missing answers (see the tables)", file=sys.stderr)
    errors += sum(
        one["errors"] + one["connections"] - one["kept"] for one in results.get("idle", {}).values()
    )
    if results["failed"]:
        print(f"bench: did not start: {', '.join(results['failed'])}", file=sys.stderr)
    return 1 if errors or results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
