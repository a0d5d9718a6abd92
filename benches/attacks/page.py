# SPDX-License-Identifier: Apache-2.0
"""The table, and where it is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benches.beside import limit_us

from .attacks import ATTACKS, Attack

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benches" / "results"
PAGE = ROOT / "docs" / "internals" / "attacks.md"
BEGIN = "<!-- measured: written by python -m benches.attacks --write -->"
END = "<!-- end of what is measured -->"
RATES = ("opened", "kept_out", "cut", "left", "repeats", "sent", "received")
HEAD = [
    "| attack | proxy | errors | p99 quiet | p99 attacked | allowed | memory | CPU | the attack | |",
    "|---|---|---|---|---|---|---|---|---|---|",
]
CODES = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    9: "COMPRESSION_ERROR",
    11: "ENHANCE_YOUR_CALM",
}


def named(name: str) -> Attack:
    """The attack of a name."""
    return next(attack for attack in ATTACKS if attack.name == name)


def allowed_us(results: dict[str, Any], attack: Attack) -> float:
    """The p99 that tidegate may have."""
    figures = results["attacks"][attack.name]
    others = figures["nginx"]["under"] if "nginx" in figures else None
    return limit_us(results["quiet"]["tidegate"][attack.version], others)


def wrong(results: dict[str, Any], attack: Attack) -> list[str]:
    """What tidegate did not keep under an attack; nothing if it was not attacked."""
    mine = results["attacks"][attack.name].get("tidegate")
    if mine is None:
        return []
    found = {
        "errors": mine["under"]["errors"] > 0,
        "p99": mine["under"]["p99_us"] > allowed_us(results, attack),
        "memory": mine["memory"] > attack.bound,
        "died": not mine["alive"],
    }
    return [name for name, is_so in found.items() if is_so]


def rows(results: dict[str, Any], attack: Attack) -> list[str]:
    """The lines of one attack."""
    lines = []
    for name, one in results["attacks"][attack.name].items():
        before = results["quiet"][name][attack.version]["p99_us"]
        is_ours = name == "tidegate"
        missed = wrong(results, attack) if is_ours else []
        cells = [
            f"{attack.name} ({attack.rows or 'more'})",
            name,
            str(one["under"]["errors"]),
            milliseconds(before),
            milliseconds(one["under"]["p99_us"]),
            milliseconds(allowed_us(results, attack)) if is_ours else "",
            f"{max(0, one['memory']) / (1 << 20):.0f} MiB",
            f"{one['cpu']:.0%}",
            became(attack, one),
            (f"missed: {', '.join(missed)}" if missed else "kept") if is_ours else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def milliseconds(value: float) -> str:
    """Microseconds as they are shown."""
    return "none" if not math.isfinite(value) else f"{value / 1000:.2f} ms"


def became(attack: Attack, one: dict[str, Any]) -> str:
    """What the attacker did and what became of it."""
    last, rates = one["attacker"], one["rates"]
    if attack.over == "udp":
        ratio = last["received"] / max(1, last["sent"])
        return f"{short(rates['repeats'])}/s sent, {ratio:.2f} of the bytes came back"
    said = [f"{short(last['open'])} open"]
    if rates["opened"] >= 1:
        said.append(f"{short(rates['opened'])} opened/s")
    for key, word in (("cut", "cut/s"), ("kept_out", "refused/s"), ("left", "done/s")):
        if rates[key] >= 0.5:
            said.append(f"{short(rates[key])} {word}")
    if last["repeats_cut"] and last["cut"]:
        said.append(f"after {last['repeats_cut'] / last['cut']:.1f} repeats")
    elif rates["repeats"] >= 1:
        said.append(f"{short(rates['repeats'])} repeats/s")
    codes = {CODES.get(int(code), code): count for code, count in last["goaways"].items()}
    codes |= {str(status): count for status, count in last["statuses"].items()}
    if codes:
        said.append(max(codes, key=lambda code: codes[code]))
    return ", ".join(said)


def short(value: float) -> str:
    """A number that is easily read."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def keep(results: dict[str, Any], text: str) -> None:
    """Writes the figures, the table of the run, and the page's part of it."""
    kind = results["machine"]
    versions = ", ".join(results["versions"].values())
    preamble = (
        f"{results['date']}, commit {results['commit']}, {kind['cpu']}, {kind['cores']} cores, "
        f"{kind['kernel']}; {versions}. Medians of three windows of {results['seconds']:g} s."
    )
    table = [*HEAD]
    for name in results["attacks"]:
        table += rows(results, named(name))
    measured = "\n".join([preamble, "", *table])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "attacks.json").write_text(text)
    (RESULTS / "attacks.md").write_text(f"# Attacks\n\n{measured}\n")
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"{PAGE}: the marks are missing: {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}")
