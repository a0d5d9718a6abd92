# SPDX-License-Identifier: Apache-2.0
"""The page of the documentation that shows the newest whole run, losses first."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benches.proxy.report import COMPARED, Results, case_table, idle_table, not_run, preamble, ratios

SHOWN = 12
"""Functions of a profile that are shown."""


def is_whole(results: Results) -> bool:
    """Whether every case that there was then was measured, against everyone."""
    return (
        set(results["titles"]) <= set(results["cases"])
        and bool(results.get("idle"))
        and set(COMPARED) <= set(results["versions"])
    )


@dataclass
class Row:
    """One case: what each proxy costs, and how tidegate's cost relates to each other's."""

    name: str
    title: str
    costs: dict[str, str]
    ratios: dict[str, float]

    @property
    def worst(self) -> float:
        """The ratio to the best of the others; 0 without others."""
        return max(self.ratios.values(), default=0.0)

    @property
    def lost_to(self) -> list[str]:
        """Those that cost less."""
        return [name for name, ratio in self.ratios.items() if ratio > 1]


def rows_of(results: Results) -> list[Row]:
    """All cases that tidegate and another were measured in, the greatest loss first."""
    rows = []
    for name, case in results["cases"].items():
        if "tidegate" not in case:
            continue
        own = case["tidegate"]["cpu_us"]
        paired = {one: median(ratios(own, case[one]["cpu_us"])) for one in COMPARED if one in case}
        costs = {one: microseconds(median(series["cpu_us"])) for one, series in case.items()}
        rows.append(Row(name, results["titles"][name], costs, paired))
    idle = results.get("idle") or {}
    if "tidegate" in idle:
        each = {name: one["bytes_per_connection"] for name, one in idle.items()}
        paired = {name: each["tidegate"] / each[name] for name in COMPARED if each.get(name, 0) > 0}
        costs = {name: f"{value / 1024:.2f} KiB" for name, value in each.items()}
        rows.append(Row("idle", "memory per idle connection", costs, paired))
    return sorted((row for row in rows if row.ratios), key=lambda row: -row.worst)


def microseconds(value: float) -> str:
    """A cost with three digits that say something."""
    return f"{value:.2f} µs" if value < 100 else f"{value:,.0f} µs"


def overview(results: Results) -> list[str]:
    """The table of all cases, losses first."""
    names = ["tidegate", *(name for name in COMPARED if name in results["versions"])]
    lines = [
        "| case | " + " | ".join(names) + " | tidegate to the best |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for row in rows_of(results):
        cells = [row.costs.get(name, "") for name in names]
        ratio = f"{row.worst:.3f}"
        if row.lost_to:
            ratio = f"**{ratio}, lost to {' and '.join(row.lost_to)}**"
        lines.append(f"| {row.title} | " + " | ".join(cells) + f" | {ratio} |")
    return [*lines, ""]


def verdict(results: Results) -> str:
    """How many cases are lost, and by how much."""
    rows = rows_of(results)
    lost = [row for row in rows if row.lost_to]
    if not lost:
        return f"tidegate costs least in all of {len(rows)} cases."
    most = f"the most by {lost[0].worst - 1:.1%}"
    return f"Of {len(rows)} cases tidegate loses {len(lost)} to at least one of the others, {most}."


def profile_lines(results: Results, name: str) -> list[str]:
    """Where tidegate's time goes in one case, if that was sampled."""
    found = results.get("profiles", {}).get(name)
    if not found:
        return []
    lines = ["Where tidegate's time goes in it:", "", "| share | in | function |", "|---:|---|---|"]
    lines += [f"| {share:.1f} % | {where} | `{symbol}` |" for share, where, symbol in found[:SHOWN]]
    return [*lines, ""]


HEAD = ["# Benchmarks", "", "```sh", 'make bench ARGS="--all"', "```", ""]


def page(results: Results | None) -> str:
    """The whole page, of the newest whole run if there is one."""
    if results is None:
        text = "writes this page. Not measured yet: no whole run on a quiet machine is in `benches/results/`."
        return "\n".join([*HEAD, text, "", "[How we measure](internals/benchmark.md)."]) + "\n"
    lines = [
        *HEAD,
        "made this page; it is written by the benchmark, never by hand. "
        "[How we measure](internals/benchmark.md) says what a figure means, and what is the same for all.",
        "",
        f"**{verdict(results)}** Costs are CPU time per request, of all processes of a proxy, and memory per "
        "idle connection. A ratio above 1 is a loss; it is the median of the ratios within a round, "
        "so it can differ a little from that of the medians. An empty cell: the proxy has no such feature.",
        "",
        *overview(results),
        "## The run",
        "",
        *preamble(results),
        "## Each case",
        "",
    ]
    for row in rows_of(results):
        if row.name == "idle":
            lines += idle_table(results["idle"])
        else:
            lines += case_table(row.title, results["cases"][row.name])
        if row.lost_to:
            lines += profile_lines(results, row.name)
    return "\n".join([*lines, *not_run(results)]).rstrip() + "\n"
