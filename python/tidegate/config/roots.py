# SPDX-License-Identifier: Apache-2.0
"""Whether the folders that files are sent from are there: what only the machine that runs them can say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tidegate.config.gateway import Gateway
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.route import Route


def check_roots(
    gateway: Gateway, folder: Path, position: Callable[[tuple[int | str, ...]], str] | None = None
) -> None:
    """Looks for the root of each route that sends files, with the rights of this process.

    Args:
        folder: What relative roots start from.
        position: From a path in the configuration to `file:line`.

    Raises:
        ConfigError: Every root that is no folder, or may not be entered.
    """
    problems = []
    for number, route in enumerate(gateway.routes):
        if not isinstance(route, Route):
            continue
        roots: list[tuple[tuple[str, ...], str]] = []
        if route.to.type == "files":
            roots.append((("to", "files", "root"), route.to.root))
        if route.try_files is not None:
            roots.append((("try_files", "root"), route.try_files.root))
        for path, root in roots:
            says = _mistake(folder / root)
            if says:
                place = None if position is None else position(("routes", number, *path))
                file, line = _place(place) if place is not None else route.source or ("", 0)
                problems.append(Problem(says, f"routes[{number}].{'.'.join(path)}", file, line))
    if problems:
        raise ConfigError(problems)


def _mistake(root: Path) -> str:
    if not root.is_dir():
        if root.exists():
            return f"`{root}` is no folder; write the folder that holds the files"
        return f"there is no folder `{root}`; make it, or correct the path"
    if not os.access(root, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"the folder `{root}` may not be read by the user that tidegate runs as; change its rights"
    return ""


def _place(position: str) -> tuple[str, int]:
    file, _, line = position.rpartition(":")
    return file, int(line) if line.isdigit() else 0
