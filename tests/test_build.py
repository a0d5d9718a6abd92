# SPDX-License-Identifier: Apache-2.0
"""What make's targets promise: missing tools are named, skips are failures in CI, licences are judged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benches.proxy import page, report
from benches.proxy.cases import CASES
from tools import licences, setup

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
    assert {"pydantic", "pydantic-core", "pyyaml", "typer", "rich", "watchfiles", "dnspython"} <= names
    assert "pytest" not in names


def test_set_up_names_every_missing_tool(tmp_path: Path):
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    script = [sys.executable, str(ROOT / "tools" / "setup.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a Rust toolchain" in done.stderr
    assert "a C compiler" in done.stderr


def test_set_up_names_a_rust_that_is_too_old_and_a_python_without_venv(tmp_path: Path):
    for name, text in (("cargo", ""), ("cc", ""), ("rustc", "echo rustc 1.50.0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    # As on a Debian without python3-venv.
    (tmp_path / "ensurepip.py").write_text("raise ImportError('not here')\n")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    script = [sys.executable, str(ROOT / "tools" / "setup.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python's venv module: apt-get install python3-venv" in done.stderr
    assert re.search(r"Rust [\d.]+ or newer \(this is rustc 1\.50\.0\): rustup update stable", done.stderr)
    assert "a C compiler" not in done.stderr


def test_debian_packages_that_are_missing_are_named_to_who_may_not_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    setup.debian_packages()
    said = capsys.readouterr().err
    assert "tests that need them are skipped by name" in said
    assert re.search(r"to have them: apt-get install nginx-light haproxy nodejs ", said)


@pytest.mark.needs("cargo")
def test_a_change_in_python_needs_no_rust_build():
    command = ["cargo", "build", "--locked", "-p", "tidegate-python", "--message-format=json", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    # As an editor that saves it; what it says stays.
    (ROOT / "python" / "tidegate" / "cli" / "commands.py").touch()
    built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    messages = [json.loads(line) for line in built.splitlines()]
    again = [each["target"]["name"] for each in messages if each.get("fresh") is False]
    assert again == [] and any(each.get("fresh") for each in messages)


def test_the_readme_names_commands_targets_and_pages_that_there_are(tmp_path: Path):
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make ([a-z]+)", text)) <= {*targets, "demo"}
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links and [link for link in links if not (ROOT / link).exists()] == []
    # The commands beside the example, on the example.
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    commands = re.search(r"```sh\n(tidegate check.*?)```", text, re.DOTALL)
    assert example and commands
    (tmp_path / "tidegate.yaml").write_text(example[1])
    typed = [line.partition("#")[0].split() for line in commands[1].splitlines()]
    assert [words[1] for words in typed] == ["check", "run", "explain"]
    for words in (typed[0], typed[2]):
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "upstream   GET /users" in done.stdout


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
    # The ratio is to the best of the others.
    assert re.search(r"\| tidegate \| 15\.00 µs ±0\.0% \| 0\.938 ±0\.0% \|", report.markdown(results))


def whole_results() -> dict[str, Any]:
    peers = ("tidegate", "nginx", "haproxy", "envoy", "caddy")
    cases = {
        case.name: {name: series(10 if name == "tidegate" else 20) for name in peers if case.name != "file1k"}
        for case in CASES
    }
    cases["file1k"] = {"tidegate": series(22), "nginx": series(20), "caddy": series(40)}
    cases["upload"]["caddy"] = series(9)
    each = {"kept": 9000, "connections": 9000, "errors": 0, "bytes_on_arrival": 1.0, "resident_with": 1.0}
    idle = {name: {**each, "bytes_per_connection": 100.0 + len(name)} for name in peers}
    return {
        "date": "2026-01-02 03:04 UTC",
        "commit": "abc",
        "machine": {"cpu": "some", "cores": 2, "kernel": "Linux 6"},
        "versions": {name: f"{name}/1" for name in peers},
        "titles": {case.name: case.title for case in CASES},
        "cases": cases,
        "idle": idle,
        "profiles": {"upload": [[31.5, "kernel", "copy"], [2.0, "_engine.abi3.so", "tidegate::send"]]},
        "command": 'make bench ARGS="--all"',
        "rounds": 20,
        "seconds": 1.5,
    }


def test_the_page_of_benchmarks_shows_losses_first_with_their_functions():
    results = whole_results()
    assert page.is_whole(results)
    text = page.page(results)
    assert (
        f"Of {len(CASES) + 1} cases tidegate loses 3 to at least one of the others, the most by 11.1%."
        in text
    )
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert "**1.111, lost to caddy**" in table[1] and "10 MiB request bodies" in table[1]
    assert "**1.100, lost to nginx**" in table[2] and "static file of 1 KiB" in table[2]
    assert "memory per idle connection" in table[3]
    # Its own table, and below it where the time goes.
    _, _, lost = text.partition("### 10 MiB request bodies")
    assert lost.index("| 31.5 % | kernel | `copy` |") < lost.index("###")
    assert text.count("`copy`") == 1
    del results["cases"]["churn"]
    assert not page.is_whole(results)


def test_the_page_of_benchmarks_shows_the_newest_whole_results():
    found = [
        json.loads(path.read_text()) for path in sorted((ROOT / "benches" / "results").glob("proxy-*.json"))
    ]
    whole = [one for one in found if page.is_whole(one)]
    newest = whole[-1] if whole else None
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page.page(newest)


def test_the_readme_shows_the_newest_results():
    files = sorted((ROOT / "benches" / "results").glob("proxy-*.json"))
    whole = [json.loads(path.read_text()) for path in files]
    whole = [one for one in whole if {"tidegate", "asyncio"} <= set(one["versions"]) and one["cases"]]
    text = (ROOT / "README.md").read_text()
    if whole:
        assert report.into_readme(text, whole[-1]) == text
    else:
        assert "Not measured yet." in text
