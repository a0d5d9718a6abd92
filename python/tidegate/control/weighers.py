# SPDX-License-Identifier: Apache-2.0
"""From the backends of a configuration to the functions that compute their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.config.backend import Backend
from tidegate.control.pools import stamp


@dataclass(frozen=True)
class Weigher:
    """Who computes the weights of a backend, and how often.

    Attributes:
        backend: Its name.
        handler: `module:function`.
        directory: Where it is imported from.
        every_ms: From one answer to the next question.
        deadline_ms: How long an answer may take.
        code: A digest of the code, so that a change of it starts another process.
    """

    backend: str
    handler: str
    directory: str
    every_ms: int
    deadline_ms: int
    code: str


def weighers(backends: Mapping[str, Backend], folder: Path) -> list[Weigher]:
    """One for each backend with `weights`.

    Args:
        backends: By name.
        folder: What relative paths start from.
    """
    found = []
    for name, backend in backends.items():
        if (weights := backend.weights) is None:
            continue
        directory = (folder / (weights.path or ".")).resolve()
        every, deadline = int(weights.every), int(weights.deadline)
        found.append(Weigher(name, weights.handler, str(directory), every, deadline, stamp(directory)))
    return found
