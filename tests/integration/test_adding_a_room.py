# SPDX-License-Identifier: Apache-2.0
"""Follows docs/internals/adding-a-balancing-algorithm.md in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "internals" / "adding-a-balancing-algorithm.md"
BLOCK = re.compile(r'^(`{3,})\w+ title="([^"]+)"\n(.*?)^\1$', re.MULTILINE | re.DOTALL)
PARTS = ("Cargo.toml", "Cargo.lock", "crates", "benches", "python/tidegate", "tools", "docs/reference")


WORK = ROOT / "target" / "adding-a-room"
"""The same place in each run: Cargo takes what it built elsewhere for fresh, and keeps the dependencies."""


def copy_of_the_checkout(folder: Path) -> None:
    """The tracked files that the page's commands need, committed as one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z", *PARTS], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "before")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.needs("cargo", "git")
@pytest.mark.timeout(600)
def test_a_balancing_algorithm_is_added_by_its_own_room_alone() -> None:
    folder = WORK / "checkout"
    copy_of_the_checkout(folder)
    run(folder, sys.executable, "tools/generate.py")
    git(folder, "add", "-A")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 7
    for _, name, body in blocks:
        assert "/in_order/" in name, "the page writes into its own room alone"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body, encoding="utf-8")
    run(folder, sys.executable, "tools/generate.py")
    changed = [
        line[3:] for line in git(folder, "status", "--porcelain", "-uall").splitlines() if line[1] != " "
    ]
    beside = sorted(name for name in changed if "in_order" not in name)
    assert beside == [
        "crates/balancing/src/rooms.rs",
        "docs/reference/index.md",
        "docs/reference/tidegate.schema.json",
    ]
    cargo = ("cargo", "test", "--offline", "-p", "tidegate-balancing", "in_order")
    assert "2 passed" in run(folder, *cargo, CARGO_TARGET_DIR=str(WORK / "target"))
    pytest_alone = (sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".")
    room = "python/tidegate/balancing/in_order"
    assert "2 passed" in run(folder, *pytest_alone, room, PYTHONPATH=str(folder / "python"))
