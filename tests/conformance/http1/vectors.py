# SPDX-License-Identifier: Apache-2.0
"""The vectors of others in vectors/, with what we expect of each in vectors/expectations.yaml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Vector:
    """One vector: bytes, what its authors say, what we expect and why.

    `status` are the final statuses in order; `rest` says what comes after them: `end` (nothing), or
    `missing`: the bytes stop inside a message, which gets nothing, or 400, and never arrives whole.
    """

    id: str
    raw: bytes
    llhttp_rejects: bool | None
    status: list[int | list[int]]
    rest: str
    reason: str


def load() -> list[Vector]:
    """Every vector of both files.

    Raises:
        ValueError: One has no expectation, or an expectation no vector.
    """
    expectations = yaml.safe_load((FOLDER / "expectations.yaml").read_text())
    vectors = []
    for file in ("llhttp-requests.json", "te-mutations.json"):
        for entry in json.loads((FOLDER / file).read_text()):
            expected = expectations.pop(entry["id"], None)
            if expected is None:
                raise ValueError(f"{entry['id']} has no expectation")
            raw = entry["raw_latin1"]
            # One vector has characters beyond U+00FF: the test it comes from was UTF-8.
            data = raw.encode("latin-1" if max(raw) < "\u0100" else "utf-8")
            vectors.append(
                Vector(
                    entry["id"],
                    data,
                    entry.get("llhttp_strict_rejects"),
                    expected.get("status", []),
                    expected.get("rest", "end"),
                    expected.get("reason", ""),
                )
            )
    if expectations:
        raise ValueError(f"expectations without a vector: {sorted(expectations)}")
    return vectors
