# SPDX-License-Identifier: Apache-2.0
"""CPU per request that policies and functions cost, gateway included.

    python -m benches.functions [--seconds 3] [--in-flight 1 16 32]

One gateway with one thread in the release profile, started like `tidegate run`; so many client connections,
each with one request at a time. CPU is the kernel's accounting of the node's and the worker's processes, all
threads. The first row, a fixed answer of the gateway, is what the others are to be compared with. Writes
benches/results/functions.md.
"""

from __future__ import annotations

import sys
from typing import Any

from benches.keep import keep, measured
from benches.proxy.engine import staged


def table(figures: dict[str, Any]) -> list[str]:
    """A row for each kind of code, a column for each number of requests in flight."""
    results = figures["results"]
    counts = list(next(iter(results.values())))
    rows = [
        "CPU per request in microseconds, node + worker (requests a second), by requests in flight:",
        "",
        "| code | " + " | ".join(counts) + " |",
        "|---|" + "---:|" * len(counts),
    ]
    for name, cells in results.items():
        shown = [
            f"{cell['node_us']:.1f} + {cell['worker_us']:.1f} ({cell['requests_per_s']:,.0f})"
            for cell in cells.values()
        ]
        rows.append(f"| {name} | " + " | ".join(shown) + " |")
    return rows


def main() -> int:
    """Measures, prints, writes; ends non-zero when an answer was wrong."""
    figures = measured("benches.functions.measure", staged())
    keep("benches.functions", "What Python on a request costs", figures, table)
    cells = [cell for row in figures["results"].values() for cell in row.values()]
    if all(cell["right"] for cell in cells):
        return 0
    print("bench: there were wrong answers", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
