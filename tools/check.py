# SPDX-License-Identifier: Apache-2.0
"""Runs every check that is not a test, and names for each failure the command that mends it.

`check.py [NAME...]` runs all, or only those named. What no fresh machine need have, another platform's
toolchain or a reachable advisory database, is "not checked", with how to get it, and fails nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FOREIGN_TARGETS = ("aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-apple-darwin")


@dataclass(frozen=True)
class Outcome:
    """What one check found: `verdict` is "ok", "failed" or "not checked"; `note` is for the reader."""

    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One check: what it runs, and the command that mends what it finds."""

    name: str
    run: Callable[[], Outcome]
    mend: str


def command(*words: str, timeout: float = 1500) -> Callable[[], Outcome]:
    """A check that is one command: its output is shown only when it fails."""

    def run() -> Outcome:
        return outcome_of(words, timeout)

    return run


def outcome_of(words: Sequence[str], timeout: float) -> Outcome:
    """Runs one command from the root of the checkout."""
    try:
        done = subprocess.run(
            words,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome("failed", f"still running after {timeout:.0f} s: {' '.join(words)}")
    if done.returncode == 0:
        return Outcome("ok")
    return Outcome("failed", done.stdout.rstrip())


def python_files() -> list[str]:
    """Folders that hold Python."""
    return [
        name
        for name in ("python", "tests", "tools", "benches", "examples", "conftest.py")
        if (ROOT / name).exists()
    ]


def stubs() -> Outcome:
    """`_engine.pyi` against the compiled module."""
    return outcome_of([str(BIN / "python"), "-m", "mypy.stubtest", "tidegate._engine"], 300)


def foreign_targets() -> Outcome:
    """`cargo check` for the platforms that we keep compiling but do not run."""
    if shutil.which("rustup") is None:
        return Outcome("not checked", "no rustup, so only this platform's toolchain")
    listed = subprocess.run(
        ["rustup", "target", "list", "--installed"], capture_output=True, text=True, check=False
    )
    installed = listed.stdout.split()
    notes = []
    for target in FOREIGN_TARGETS:
        if target not in installed:
            notes.append(f"not checked: rustup target add {target}")
            continue
        # tidegate-python links an allocator written in C, which would want a cross compiler.
        crates = ["--workspace", "--exclude", "tidegate-python"]
        found = outcome_of(["cargo", "check", "--locked", "-q", *crates, "--target", target], 900)
        if found.verdict == "failed":
            return Outcome("failed", f"{target}:\n{found.note}")
        notes.append(f"{target}: compiles")
    every_one = all(note.startswith("not checked") for note in notes)
    return Outcome("not checked" if every_one else "ok", "\n".join(notes))


def advisories() -> Outcome:
    """Known vulnerabilities in what a wheel brings, where the databases can be reached."""
    notes = []
    audit = [
        str(BIN / "pip-audit"),
        "--progress-spinner=off",
        "--timeout=10",
        "--disable-pip",
        "--strict",
    ]
    found = outcome_of([*audit, "--require-hashes", "-r", "requirements/runtime.txt"], 180)
    if found.verdict == "failed" and "known vulnerabilit" in found.note:
        return found
    notes.append(
        "Python: none known" if found.verdict == "ok" else "Python: not checked (database not reachable)"
    )
    if shutil.which("cargo-deny") is None:
        notes.append("Cargo: not checked (cargo install --locked cargo-deny)")
    else:
        found = outcome_of(["cargo", "deny", "check", "advisories"], 180)
        if found.verdict == "failed" and "failed to fetch" not in found.note:
            return found
        notes.append(
            "Cargo: none known" if found.verdict == "ok" else "Cargo: not checked (database not reachable)"
        )
    every_one = all("not checked" in note for note in notes)
    return Outcome("not checked" if every_one else "ok", "\n".join(notes))


def checks() -> list[Check]:
    """All checks, cheapest first."""
    python = str(BIN / "python")
    ruff = str(BIN / "ruff")
    clippy = ["cargo", "clippy", "--locked", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"]
    return [
        Check("python-format", command(ruff, "format", "--check", *python_files()), "ruff format ."),
        Check("python-lint", command(ruff, "check", *python_files()), "ruff check --fix ."),
        Check("rust-format", command("cargo", "fmt", "--all", "--check"), "cargo fmt --all"),
        Check("generated", command(python, "tools/generate.py", "--check"), "make generate"),
        Check(
            "licences", command(python, "tools/licences.py"), "another dependency, or deny.toml with a reason"
        ),
        Check(
            "python-types",
            command(str(BIN / "mypy")),
            "see the lines above; mypy runs alone with `.venv/bin/mypy`",
        ),
        Check("engine-stubs", stubs, "python/tidegate/_engine.pyi after crates/python"),
        Check("rust-lint", command(*clippy), "cargo clippy --fix --workspace --all-targets"),
        Check("docs", command(str(BIN / "mkdocs"), "build", "--strict", "--quiet"), "make docs"),
        Check("other-platforms", foreign_targets, "cargo check --workspace --target TARGET"),
        Check("advisories", advisories, "make lock, cargo update -p CRATE"),
    ]


def main() -> int:
    """Runs the checks one after the other and prints one line each."""
    os.environ.setdefault("NO_COLOR", "1")
    wanted = sys.argv[1:]
    unknown = set(wanted) - {check.name for check in checks()}
    if unknown:
        print(f"check: no such check: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    failed = []
    for check in checks():
        if wanted and check.name not in wanted:
            continue
        started = time.monotonic()
        outcome = check.run()
        took = time.monotonic() - started
        print(f"check: {check.name:<16} {outcome.verdict} ({took:.1f} s)", flush=True)
        if outcome.note:
            print("       " + outcome.note.replace("\n", "\n       "), flush=True)
        if outcome.verdict == "failed":
            print(f"       mend: {check.mend}", flush=True)
            failed.append(check.name)
    if failed:
        print(f"check: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
