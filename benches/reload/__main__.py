# SPDX-License-Identifier: Apache-2.0
"""One route changed among 10,000, and cold starts: what the node takes, and how long until it is served.

    python -m benches.reload [--routes N] [--rounds N]

The node's own part: from a delta read until the last thread has the new snapshot, as it answers to control
(`build_us`, `swap_us`), for changes of one route's answer, one route's match, and one endpoint. Save to
served: from the rename of the file under `tidegate run --watch` until a request, asked again and again on one
connection, gets the new answer. Cold start: from the start of `tidegate run` until the first answer. The
budgets are 50 ms, 2 s and 1 s (docs/internals/benchmark.md). Writes benches/results/reload.md.
"""

from __future__ import annotations

import sys
from typing import Any

from benches.keep import keep, measured
from benches.proxy.engine import staged

BUDGETS = {"node": 50, "save_to_served": 2000, "cold_start": 1000}
"""Milliseconds."""


def table(figures: dict[str, Any]) -> list[str]:
    """A row for each figure."""
    rows = ["| what | median | most | budget |", "|---|---:|---:|---:|"]
    routes = f"{figures['routes']:,} routes"
    for change, parts in figures["node"].items():
        rows.append(
            row(f"{change} of {routes}: the node, until its last thread has it", parts["both"], "node")
        )
    rows.append(row(f"one answer of {routes}: save to served", figures["save_to_served"], "save_to_served"))
    for count, took in figures["cold_start"].items():
        rows.append(row(f"cold start, {int(count):,} route{'s' * (count != '1')}", took, "cold_start"))
    return rows


def row(what: str, took: dict[str, float], budget: str) -> str:
    """One row of the table."""
    return f"| {what} | {took['median']:.1f} ms | {took['most']:.1f} ms | {BUDGETS[budget]:,} ms |"


def main() -> int:
    """Measures, prints, writes."""
    keep("benches.reload", "Changes and starts", measured("benches.reload.measure", staged()), table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
