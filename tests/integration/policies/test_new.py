# SPDX-License-Identifier: Apache-2.0
"""`tidegate new policy`: what it writes works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.commands import app


def test_what_is_written_is_a_policy_with_a_green_test(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["new", "policy", "keys", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"next: pytest {tmp_path}/test_keys.py" in done.output
    # Where tests run as root, the interpreter and the test's folder may be closed to others.
    environment = {**os.environ, **({"TIDEGATE_USER": "root"} if os.geteuid() == 0 else {})}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_keys.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "2 passed" in run.stdout, run.stdout + run.stderr


def test_nothing_is_overwritten_and_names_are_judged(tmp_path: Path) -> None:
    (tmp_path / "test_keys.py").write_text("mine")
    done = CliRunner().invoke(app, ["new", "policy", "keys", "--folder", str(tmp_path)])
    assert done.exit_code != 0
    assert "exists already; choose another name" in done.output
    assert not (tmp_path / "keys.py").exists()


@pytest.mark.parametrize("name", ["a-b", "1a", "class", "_x", ""])
def test_a_name_must_be_one_in_python(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["new", "policy", name, "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "is no name in Python" in done.output
    assert not list(tmp_path.iterdir())
