# SPDX-License-Identifier: Apache-2.0
"""Ten ways to break the engine, and a build of it that has all of them, each asleep until it is named.

The explanation is told by the sound engine, the requests go through the broken one: a comparison that
does not notice would notice nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_VARIABLE = "TIDEGATE_MUTANT"


@dataclass(frozen=True)
class Mutant:
    """One change: `sound` occurs once in `file`; in `broken`, `AWAKE` is whether the mutant is awake."""

    name: str
    file: str
    sound: str
    broken: str


MUTANTS = (
    Mutant(
        "exact hosts are not looked at first",
        "crates/routing/src/hosts.rs",
        "if let Some(paths) = self.exact.get(host)",
        "if let Some(paths) = self.exact.get(if AWAKE { &host[1..] } else { host })",
    ),
    Mutant(
        "the shortest prefix wins",
        "crates/routing/src/paths.rs",
        "in self.prefixes.prefixes(path).into_iter().rev()",
        "in { let mut all = self.prefixes.prefixes(path); if !AWAKE { all.reverse(); } all }",
    ),
    Mutant(
        "templates with fewer literals win",
        "crates/routing/src/paths.rs",
        "Reverse(*literals)",
        "Reverse(if AWAKE { usize::MAX - *literals as usize } else { *literals as usize })",
    ),
    Mutant(
        "methods are not compared",
        "crates/routing/src/route.rs",
        "if !self.methods.is_empty() && !self.methods",
        "if !AWAKE && !self.methods.is_empty() && !self.methods",
    ),
    Mutant(
        "the first of several values counts",
        "crates/routing/src/field.rs",
        "if values.next().is_some() {",
        "if !AWAKE && values.next().is_some() {",
    ),
    Mutant(
        "the leftmost forwarded address is believed",
        "crates/engine/src/decide.rs",
        "if !settings.is_trusted(named) {",
        "if !AWAKE && !settings.is_trusted(named) {",
    ),
    Mutant(
        "a rewrite loses the rest of the path",
        "crates/engine/src/decide.rs",
        """let rest = rest.trim_start_matches('/');""",
        """let rest = if AWAKE { "" } else { rest.trim_start_matches('/') };""",
    ),
    Mutant(
        "what Connection nominates is passed on",
        "crates/request/src/connection.rs",
        "if !self.nominates {",
        "if AWAKE || !self.nominates {",
    ),
    Mutant(
        "a redirect forgets the query",
        "crates/engine/src/downstream/reply.rs",
        "match request.query() {",
        "match request.query().filter(|_| !AWAKE) {",
    ),
    Mutant(
        "a policy's removals are skipped",
        "crates/policies/src/request_headers/filter.rs",
        "for name in &self.edit.remove {",
        "for name in self.edit.remove.iter().filter(|_| !AWAKE) {",
    ),
)


def _apply(tree: Path, number: int, mutant: Mutant) -> None:
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.sound) != 1:
        raise AssertionError(
            f"{mutant.file}: `{mutant.sound}` occurs {text.count(mutant.sound)} times, not once"
        )
    awake = f'(std::env::var("{_VARIABLE}").as_deref() == Ok("{number}"))'
    path.write_text(text.replace(mutant.sound, mutant.broken.replace("AWAKE", awake)))


def build(folder: Path) -> Path:
    """Builds the engine with all mutants asleep; returns a folder to put first on `PYTHONPATH`.

    Test processes that ask at the same time share one build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = folder / "stamp", _digest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            _build(folder)
            stamp.write_text(wanted)
    return folder / "python"


def _digest() -> str:
    """Of everything the build is made from."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("Cargo.toml", "Cargo.lock", "crates", "benches", "python/tidegate"):
        place = _ROOT / name
        files = [place] if place.is_file() else sorted(place.rglob("*.*"))
        for file in files:
            if file.is_file() and file.suffix in (".rs", ".py", ".toml", ".lock"):
                digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _build(folder: Path) -> None:
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy2(_ROOT / name, tree)
    for name in ("crates", "benches"):
        shutil.copytree(_ROOT / name, tree / name)
    for number, mutant in enumerate(MUTANTS):
        _apply(tree, number, mutant)
    command = [
        "cargo",
        "build",
        "--quiet",
        "--package",
        "tidegate-python",
        "--target-dir",
        str(folder / "target"),
    ]
    subprocess.run(command, cwd=tree, check=True)
    package = folder / "python" / "tidegate"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(
        _ROOT / "python" / "tidegate", package, ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    shutil.copy2(folder / "target" / "debug" / "lib_engine.so", package / "_engine.abi3.so")


def environment(path: Path, number: int | None) -> dict[str, str]:
    """The environment of a node from that build: the mutant of this number, or none awake."""
    awake = {} if number is None else {_VARIABLE: str(number)}
    return {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", **awake}
