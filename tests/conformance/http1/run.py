# SPDX-License-Identifier: Apache-2.0
"""Plays the cases and prints a table.

Use: `python -m tests.conformance.http1.run [--gateway nginx] [ID-PREFIX ...]`.
"""

from __future__ import annotations

import argparse
import collections
import sys

from tests.conformance.http1 import cases, peers, targets
from tests.conformance.http1.player import Played, play


def main() -> int:
    """Runs the cases that were asked for; exit code 1 when any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="tidegate", choices=["tidegate", "nginx", "haproxy"])
    parser.add_argument("--quiet", action="store_true", help="only the table by row")
    parser.add_argument("prefix", nargs="*", help="case ids that begin so")
    options = parser.parse_args()
    chosen = [
        case for case in cases.load() if not options.prefix or case.id.startswith(tuple(options.prefix))
    ]
    played: list[Played] = []
    if options.gateway == "tidegate":
        with targets.Targets() as gateways:
            for case in chosen:
                played.append(_show(play(case, gateways.get(case.gateway)), options.quiet))
    else:
        with peers.running(options.gateway) as target:
            for case in chosen:
                if case.gateway == "default" and not case.origin.get("fail"):
                    played.append(_show(play(case, target), options.quiet))
    _table(played, options.gateway)
    return int(any(one.problems for one in played))


def _show(one: Played, quiet: bool) -> Played:
    if not quiet:
        print(f"{'FAIL' if one.problems else 'ok  '} {one.case.id:48} {one.statuses}", flush=True)
        if one.problems:
            print(one, flush=True)
    return one


def _table(played: list[Played], gateway: str) -> None:
    rows: dict[str, list[bool]] = collections.defaultdict(list)
    for one in played:
        rows[one.case.row].append(not one.problems)
    print(f"\n{'row':>5} {'cases':>6} {'as expected':>12}   ({gateway})")
    for row, results in sorted(rows.items(), key=lambda item: (not item[0][0].isdigit(), item[0].zfill(6))):
        print(f"{row:>5} {len(results):>6} {sum(results):>12}")
    print(f"{'all':>5} {len(played):>6} {sum(not one.problems for one in played):>12}")


if __name__ == "__main__":
    sys.exit(main())
