# SPDX-License-Identifier: Apache-2.0
"""Results as data and as tables made from the data."""

from __future__ import annotations

from statistics import median
from typing import Any

from benches.proxy.cases import FEW_CONNECTIONS

COMPARED = ("nginx", "haproxy", "envoy", "caddy")
"""Whom ratios are to; the asyncio proxy shows what Python costs."""
Results = dict[str, Any]
BEGIN = "<!-- bench: made by `make bench`, do not edit -->"
END = "<!-- /bench -->"


def spread(values: list[float]) -> float:
    """Half the distance between the quartiles, as a share of the median."""
    ordered = sorted(values)
    if len(ordered) < 2 or not median(ordered):
        return 0.0
    quarter = len(ordered) / 4
    low, high = ordered[int(quarter)], ordered[-int(quarter) - 1]
    return abs(high - low) / 2 / median(ordered)


def ratios(own: list[float], other: list[float]) -> list[float]:
    """Each round's ratio: what slows the machine down for a minute slows both turns of a round.

    A round in which one of them got no time at all, as on a machine that stood still, says nothing.
    """
    both = [(mine, its) for mine, its in zip(own, other, strict=True) if mine > 0 and its > 0]
    return [mine / its for mine, its in both] or [0.0]


def best_of_peers(series: dict[str, dict[str, Any]]) -> list[float] | None:
    """CPU per request of the best of those compared with, a figure a round; `None` without them."""
    others = [series[name]["cpu_us"] for name in COMPARED if name in series]
    return min(others, key=median) if others else None


def disturbance(series: dict[str, dict[str, Any]]) -> float:
    """Largest share of the busy time of the proxies' core that no proxy used, 0 when it is within 8 %.

    The kernel's own threads take one or two percent, and proxies that wait for their turn a little.
    """
    shares = [
        1 - median(one["cpu_us"]) / median(one["core_us"]) for one in series.values() if any(one["core_us"])
    ]
    worst = max(shares, default=0.0)
    return worst if worst > 0.08 else 0.0


def case_table(title: str, series: dict[str, dict[str, Any]]) -> list[str]:
    """One case: a row per proxy; CPU per request also as a ratio to the best of those compared with."""
    best = best_of_peers(series)
    rows = [
        f"### {title}",
        "",
        "| proxy | CPU per request | ratio | core time per request | core busy | load core busy | answers/s "
        "| at rate | p50 | p99 | errors |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in series.items():
        paired = ratios(one["cpu_us"], best) if best else []
        cells = [
            name,
            f"{median(one['cpu_us']):.2f} µs ±{spread(one['cpu_us']):.1%}",
            f"{median(paired):.3f} ±{spread(paired):.1%}" if paired else "",
            f"{median(one['core_us']):.2f} µs",
            f"{median(one['busy']):.0%}",
            f"{median(one['load_busy']):.0%}",
            f"{median(one['throughput']):,.0f}",
            f"{one['rate']:,}/s",
            f"{median(one['p50_us']):.0f} µs" if one["p50_us"] else "",
            f"{median(one['p99_us']):.0f} µs" if one["p99_us"] else "",
            str(one["errors"]),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    if shared := disturbance(series):
        rows += [
            "",
            f"**Disturbed**: something else took {shared:.0%} of the proxies' core: measure when quiet.",
        ]
    if changed := [
        f"{name} {median(one['changes']):.1f}" for name, one in series.items() if one.get("changes")
    ]:
        rows += ["", f"Changes of the endpoints a second: {', '.join(changed)}."]
    if again := [f"{name} {one['again']:,}" for name, one in series.items() if one.get("again")]:
        rows += ["", f"Requests asked anew, their connection having been closed: {', '.join(again)}."]
    if resumed := [
        f"{name} {one['resumed'] / max(one['answered'], 1):.0%}"
        for name, one in series.items()
        if one.get("resumed")
    ]:
        rows += ["", f"Handshakes that went on with a session of before: {', '.join(resumed)}."]
    if wrong := [f"{name} {one['wrong']}" for name, one in series.items() if one.get("wrong")]:
        rows += ["", f"Errors by kind: {'; '.join(wrong)}."]
    lost = [f"{name} {one['log_lines_lost']:,}" for name, one in series.items() if one["log_lines_lost"]]
    if lost:
        rows += ["", f"Answers without a line in the access log: {', '.join(lost)}."]
    return [*rows, ""]


def idle_table(idle: dict[str, dict[str, float]]) -> list[str]:
    """Memory of idle connections."""
    rows = [
        "### Memory of idle connections",
        "",
        f"Resident memory (PSS of all processes) with them, less that of the same proxy set up for only "
        f"{FEW_CONNECTIONS}: what a proxy sets aside at start for each connection it may hold counts.",
        "",
        "| proxy | idle connections | per connection | of it when they come | resident with them |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in idle.items():
        rows.append(
            f"| {name} | {one['kept']:,.0f} | {one['bytes_per_connection'] / 1024:.2f} KiB "
            f"| {one['bytes_on_arrival'] / 1024:.2f} KiB | {one['resident_with'] / 2**20:.1f} MiB |"
        )
    return [*rows, ""]


def readme_lines(results: Results) -> list[str]:
    """The few figures that README shows, from the first case measured."""
    name, case = next(iter(results["cases"].items()))
    rows = [
        f"| proxy ({results['titles'][name]}) | CPU per request | answers/s on one core |",
        "|---|---:|---:|",
    ]
    for peer, one in case.items():
        title = results["versions"].get(peer, peer)
        rows.append(f"| {title} | {median(one['cpu_us']):.1f} µs | {median(one['throughput']):,.0f} |")
    machine = results["machine"]
    day = results["date"].split()[0]
    where = f"{machine['cpu']}, {machine['cores']} cores, {day}, commit {results['commit']}"
    return [
        *rows,
        "",
        f"{where}. asyncio is a proxy of 150 lines on uvloop and httptools that checks and decides nothing.",
    ]


def into_readme(text: str, results: Results) -> str:
    """README with the figures between its two marks replaced."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost its bench marks")
    return "\n".join([head + begin, *readme_lines(results), end + tail])


def markdown(results: Results) -> str:
    """The page of one run."""
    lines = [f"# Proxies compared, {results['date']}", "", *preamble(results)]
    for name, case in results["cases"].items():
        lines += case_table(results["titles"][name], case)
    if results.get("idle"):
        lines += idle_table(results["idle"])
    return "\n".join([*lines, *not_run(results)])


def preamble(results: Results) -> list[str]:
    """Where and how a run was made."""
    machine = results["machine"]
    return [
        f"Commit {results['commit']}. {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}. "
        + ", ".join(results["versions"].values())
        + ".",
        "",
        f"Made by `{results['command']}` from the data file beside this page: {results['rounds']} "
        f"interleaved rounds, {results['seconds']:g} s each, medians, ± half the distance between the "
        "quartiles. The proxy alone on one core, load generator and origin servers on another; every answer "
        "checked; logs and counters on. The ratio is to the best of the others in the same round. "
        "Latencies at a fixed rate count from when a request was due. Peers' configurations: "
        "`benches/proxy/peers/`.",
        "",
    ]


def not_run(results: Results) -> list[str]:
    """The proxies that were left out, and why."""
    lines = []
    if results.get("skipped"):
        left = "; ".join(f"{name} ({why})" for name, why in results["skipped"].items())
        lines += [f"Not run: {left}.", ""]
    if results.get("failed"):
        lines += [f"Did not start: {', '.join(results['failed'])}.", ""]
    return lines
