# SPDX-License-Identifier: Apache-2.0
"""What `python -m benches.attacks` says of what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benches.attacks import page

ATTACKER = {
    "open": 16,
    "cut": 10,
    "repeats_cut": 20,
    "goaways": {"11": 9},
    "statuses": {},
    "received": 0,
    "sent": 0,
}


def one(p99: float, *, errors: int = 0, memory: int = 1 << 20, alive: bool = True) -> dict[str, Any]:
    """Figures of one proxy under an attack."""
    return {
        "under": {"p99_us": p99, "errors": errors},
        "memory": memory,
        "cpu": 0.5,
        "alive": alive,
        "attacker": ATTACKER,
        "rates": dict.fromkeys(page.RATES, 10.0),
    }


def results(ours: dict[str, Any], nginx: float = 2000.0) -> dict[str, Any]:
    """A run of one attack."""
    quiet = {version: {"p99_us": 1000.0} for version in ("h1", "h2", "h3")}
    return {
        "machine": {"cpu": "a CPU", "cores": 2, "kernel": "Linux"},
        "commit": "abc",
        "date": "today",
        "seconds": 3,
        "versions": {"tidegate": "tidegate/1", "nginx": "nginx/2"},
        "quiet": {"tidegate": quiet, "nginx": quiet},
        "attacks": {"rapid-reset": {"tidegate": ours, "nginx": one(nginx)}},
    }


@pytest.mark.parametrize(
    ("ours", "nginx", "missed"),
    [
        (one(2000), 9000, []),
        (one(2001), 9000, ["p99"]),
        (one(1900), 1500, ["p99"]),
        (one(1000, errors=1), 9000, ["errors"]),
        (one(1000, memory=1 << 30), 9000, ["memory"]),
        (one(1000, alive=False), 9000, ["died"]),
    ],
)
def test_what_was_promised_is_judged(ours: dict[str, Any], nginx: float, missed: list[str]) -> None:
    assert page.wrong(results(ours, nginx), page.named("rapid-reset")) == missed


def test_figures_and_table_are_kept_between_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "attacks.md"
    shown.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", shown)
    found = results(one(1500))
    page.keep(found, json.dumps(found))
    text = shown.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "16 open, 10 opened/s, 10 cut/s" in text
    assert "| 1.00 ms | 1.50 ms | 2.00 ms | 1 MiB | 50% |" in text
    assert json.loads((tmp_path / "results" / "attacks.json").read_text()) == found
    shown.write_text("no marks")
    with pytest.raises(ValueError, match="the marks are missing"):
        page.keep(found, "{}")
