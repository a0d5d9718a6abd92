# SPDX-License-Identifier: Apache-2.0
"""Looks whether there are files for the handlers that a configuration names, and imports none of them.

Users' code is imported in workers alone, so the answer is a warning: where it will run, another module path
may hold, or the file may come later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from tidegate.config.problem import Problem
from tidegate.control.compiled import Compiled


def missing_handlers(compiled: Compiled) -> list[Problem]:
    """One for each handler whose module has no file, at the place of its function or backend."""
    found = []
    for kind, name, handler, folder, interpreter in _handlers(compiled):
        module = handler.partition(":")[0]
        if _is_there(module, folder, interpreter):
            continue
        where = "its virtual environment" if interpreter else "what is installed"
        found.append(
            Problem(
                f"there is no module `{module}` in {folder or '/'} or in {where}; set `path` to the folder"
                " that has it",
                path=f"{kind}s.{name}" + (".weights" if kind == "backend" else ".handler"),
                file=compiled.snapshot.positions.get((kind, name), ""),
            )
        )
    return found


def _handlers(compiled: Compiled) -> Iterator[tuple[str, str, str, str, str]]:
    """Kind and name of who names it, the handler, its folder, and the interpreter of its environment."""
    for pool in compiled.pools:
        folder = pool["settings"]["path"]
        for function in pool["settings"]["functions"] if folder else ():
            yield "function", function["name"], function["handler"], folder, pool["interpreter"]
    for weigher in compiled.weighers:
        yield "backend", weigher.backend, weigher.handler, weigher.directory, ""


def _is_there(module: str, folder: str, interpreter: str) -> bool:
    first, *rest = module.split(".")
    if first in sys.builtin_module_names or first in sys.stdlib_module_names:
        return True
    paths = [folder, *(_environment(Path(interpreter)) if interpreter else sys.path)]
    if any(path.name.startswith("__editable__") for path in _pth(paths)):
        # What such a file adds is known to the interpreter that runs it alone.
        return bool(interpreter) or _found(first, rest, paths) or find_spec(first) is not None
    return _found(first, rest, paths)


def _found(first: str, rest: list[str], paths: Iterable[str]) -> bool:
    spec = PathFinder.find_spec(first, [*paths, *(line for path in _pth(paths) for line in _lines(path))])
    name = first
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec is not None


def _environment(interpreter: Path) -> list[str]:
    """Where a virtual environment has its packages."""
    lib = interpreter.parent.parent
    return [str(path) for path in lib.glob("lib*/python3*/site-packages")]


def _pth(paths: Iterable[str]) -> list[Path]:
    """Files that add to the module path (see `site` of Python)."""
    return [file for path in paths if path.endswith("-packages") for file in sorted(Path(path).glob("*.pth"))]


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [str(path.parent / line) for line in lines if line and not line.startswith(("#", "import"))]
