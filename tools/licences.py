# SPDX-License-Identifier: Apache-2.0
"""Checks the licence of every crate and Python distribution that a wheel links or installs.

The list of what is allowed is `[licenses] allow` in deny.toml, for both languages. Tools and test
dependencies are not shipped and not judged. Prints one line per offender; ends non-zero when there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CLASSIFIERS = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
}


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether an SPDX expression can be satisfied from `allowed`: OR needs one side, AND both."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def take() -> str:
        nonlocal position
        word = words[position] if position < len(words) else ""
        position += 1
        return word

    def peek() -> str:
        return words[position].upper() if position < len(words) else ""

    def atom() -> bool:
        word = take()
        if word == "(":
            inside = either()
            take()
            return inside
        if peek() == "WITH":
            take()
            word = f"{word} WITH {take()}"
        return word in allowed

    def both() -> bool:
        result = atom()
        while peek() == "AND":
            take()
            # Evaluated first: a short circuit would leave its words unread.
            right = atom()
            result = result and right
        return result

    def either() -> bool:
        result = both()
        while peek() == "OR":
            take()
            right = both()
            result = result or right
        return result

    return bool(words) and either()


def crates() -> list[tuple[str, str]]:
    """(name and version, SPDX expression) of each crate that tidegate-python links, on any platform."""
    # `cargo metadata` names what a feature with `?` would link if another one asked for it; this does not.
    command = ["cargo", "tree", "--locked", "-p", "tidegate-python", "--all-features", "--target", "all"]
    command += ["-e", "normal,build", "--prefix", "none", "--format", "{p}|{l}"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    rows = (line.removesuffix(" (*)").partition("|") for line in told.splitlines() if line)
    return sorted({(re.sub(r" v(\S+).*", r" \1", name), licence) for name, _, licence in rows})


def distributions() -> list[tuple[str, str]]:
    """(name and version, SPDX expression) of each distribution that installing the wheel brings."""
    todo = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    seen: dict[str, str] = {}
    while todo:
        requirement = todo.pop()
        if "extra ==" in requirement:
            continue
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        name = re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
        if not name or name in seen:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            seen[name] = "" if ";" not in requirement else "not installed here"
            continue
        seen[name] = expression_of(found.metadata)
        todo.extend(found.requires or [])
    return sorted((name, licence) for name, licence in seen.items() if licence != "not installed here")


def expression_of(fields: metadata.PackageMetadata) -> str:
    """The SPDX expression of one distribution, from whichever of the three fields it fills."""
    if "License-Expression" in fields:
        return fields["License-Expression"]
    for line in fields.get_all("Classifier") or []:
        if line in CLASSIFIERS:
            return CLASSIFIERS[line]
    return next(iter(fields.get_all("License") or []), "")


def main() -> None:
    """Judges both lists."""
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = frozenset(rules["licenses"]["allow"])
    everything = [("crate", *row) for row in crates()] + [("Python", *row) for row in distributions()]
    offenders = [row for row in everything if not is_allowed(row[2], allowed)]
    for kind, name, licence in offenders:
        print(f"{kind} {name}: licence {licence or 'not stated'!r} is not in deny.toml [licenses] allow")
    if offenders:
        sys.exit(1)
    print(f"{len(everything)} crates and distributions, all under allowed licences")


if __name__ == "__main__":
    main()
