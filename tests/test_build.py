# SPDX-License-Identifier: Apache-2.0
"""What make's targets promise: missing tools are named, skips are failures in CI, licences are judged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benches.proxy import report
from tools import licences

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = frozenset({"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause"})


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT/Apache-2.0", True),
        ("(GPL-2.0-only OR MIT) AND BSD-3-Clause", True),
        ("GPL-2.0-only OR (MIT AND LGPL-2.1-only)", False),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", True),
        ("Apache-2.0 WITH Other-exception", False),
        ("", False),
    ],
)
def test_a_licence_expression_needs_one_side_of_or_and_both_of_and(expression: str, allowed: bool):
    assert licences.is_allowed(expression, ALLOWED) is allowed


def test_what_a_wheel_needs_is_found_with_its_licence():
    names = {name.split()[0] for name, _ in licences.distributions()}
    assert {"pydantic", "pydantic-core", "pyyaml", "typer", "rich", "watchfiles"} <= names
    assert "pytest" not in names


def test_set_up_names_every_missing_tool(tmp_path: Path):
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    script = [sys.executable, str(ROOT / "tools" / "setup.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a Rust toolchain" in done.stderr
    assert "a C compiler" in done.stderr


@pytest.mark.parametrize(("value", "outcome"), [("1", "1 error"), ("", "1 skipped")])
def test_a_skip_is_a_failure_where_everything_is_required(tmp_path: Path, value: str, outcome: str):
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = needs(*commands): programs\n")
    test = "import pytest\n@pytest.mark.needs('no-such-program')\ndef test_it(): pass\n"
    (tmp_path / "test_one.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsf", str(tmp_path)]
    environment = {**os.environ, "REQUIRE_ALL": value}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome in done.stdout.splitlines()[-1]
    assert "not on this machine: no-such-program" in done.stdout


def test_ci_fails_when_either_half_does(tmp_path: Path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    for check, test in (("true", "true"), ("false", "true"), ("true", "false")):
        text = f"check:\n\t@echo required=$$REQUIRE_ALL; {check}\ntest:\n\t@echo tested; {test}\n"
        (tmp_path / "Makefile").write_text(text)
        command = ["bash", str(tmp_path / ".ci" / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is (check == test == "true")
        assert "required=1" in done.stdout
        assert "tested" in done.stdout


def series(cpu: float) -> dict[str, object]:
    lists = ("cpu_us", "core_us", "busy", "load_busy", "throughput", "p50_us", "p99_us")
    return {**{name: [cpu] for name in lists}, "rate": 10, "errors": 0, "log_lines_lost": 0}


def test_figures_go_into_the_readme_between_its_marks():
    results = {
        "date": "2026-01-02 03:04 UTC",
        "commit": "abc",
        "machine": {"cpu": "some", "cores": 2, "kernel": "Linux 6"},
        "versions": {"tidegate": "tidegate/0.1.0", "nginx": "nginx/1", "haproxy": "haproxy/2"},
        "titles": {"small": "128 B"},
        "cases": {"small": {"tidegate": series(15), "nginx": series(20), "haproxy": series(16)}},
        "command": "make bench",
        "rounds": 6,
        "seconds": 4.0,
    }
    text = (ROOT / "README.md").read_text()
    once = report.into_readme(text, results)
    assert "| tidegate/0.1.0 | 15.0 µs | 15 |" in once
    assert report.into_readme(once, results) == once
    with pytest.raises(ValueError, match="marks"):
        report.into_readme("no marks here", results)
    # The ratio is to the better of nginx and HAProxy.
    assert re.search(r"\| tidegate \| 15\.00 µs ±0\.0% \| 0\.938 \|", report.markdown(results))


def test_the_readme_shows_the_newest_results():
    files = sorted((ROOT / "benches" / "results").glob("proxy-*.json"))
    whole = [json.loads(path.read_text()) for path in files]
    whole = [one for one in whole if {"tidegate", "asyncio"} <= set(one["versions"]) and one["cases"]]
    text = (ROOT / "README.md").read_text()
    if whole:
        assert report.into_readme(text, whole[-1]) == text
    else:
        assert "Not measured yet." in text
