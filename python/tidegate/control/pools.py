# SPDX-License-Identifier: Apache-2.0
"""From the functions of a configuration to the processes that run them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tidegate.config.compile import worker_socket
from tidegate.config.function import Function
from tidegate.config.problem import ConfigError, Problem
from tidegate.protocol import Pool

_MOST_FILES: Final = 20_000
_SKIPPED: Final = {"__pycache__", "node_modules", "site-packages"}


def pools(
    functions: Mapping[str, Function],
    folders: Mapping[str, Path],
    folder: Path,
    runtime: Path,
    models: Mapping[str, str],
) -> list[Pool]:
    """One pool per function, or per `pool:` that several name; the greatest wish of its functions counts.

    Args:
        functions: By name.
        folders: Where the code of each is imported from.
        folder: What `venv` is relative to.
        runtime: Where the workers' sockets are.
        models: By function, the class of the settings that it is handed, for those that have some.

    Raises:
        ConfigError: Functions of one pool have their code in different folders.
    """
    members: dict[str, list[str]] = {}
    for name, function in functions.items():
        members.setdefault(function.pool or name, []).append(name)
    stamps = {path: stamp(path) for path in set(folders.values())}
    found: list[Pool] = []
    problems = [
        Problem(f"shares pool `{pool}` with `{names[0]}` and has another `path`", f"functions.{name}.path")
        for pool, names in members.items()
        for name in names
        if folders[name] != folders[names[0]]
    ]
    if problems:
        raise ConfigError(problems)
    for pool, names in members.items():
        parts = {name: functions[name] for name in names}
        venv = next((part.venv for part in parts.values() if part.venv), None)
        code = stamps[folders[names[0]]]
        interpreter = str(folder / venv / "bin" / "python") if venv else ""
        path = str(folders[names[0]])
        found.append(_pool(pool, parts, path, [code, venv], interpreter, runtime, models))
    return found


def own_pools(functions: Mapping[str, Function], runtime: Path) -> list[Pool]:
    """Pools of functions that are part of tidegate: no folder is theirs, and their code does not change."""
    return [_pool(name, {name: function}, "", [], "", runtime, {}) for name, function in functions.items()]


def _pool(
    name: str,
    parts: Mapping[str, Function],
    folder: str,
    code: list[Any],
    interpreter: str,
    runtime: Path,
    models: Mapping[str, str],
) -> Pool:
    functions = parts.values()
    deadline = max(int(part.deadline) for part in functions)
    settings: dict[str, Any] = {
        "functions": [_settings(each, function, models.get(each, "")) for each, function in parts.items()],
        "path": folder,
        "memory": max(int(part.memory) for part in functions),
        "grace_ms": deadline,
    }
    text = json.dumps([settings, *code], sort_keys=True)
    count = max(part.workers for part in functions)
    return Pool(
        name=name,
        hash=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        sockets=[worker_socket(runtime, name, number) for number in range(count)],
        settings=settings,
        interpreter=interpreter,
        directory=folder or "/",
        deadline_ms=deadline,
    )


def _settings(name: str, function: Function, model: str) -> dict[str, Any]:
    return {
        "name": name,
        "handler": function.handler,
        "kind": function.kind,
        "deadline_ms": int(function.deadline),
        "concurrency": function.concurrency,
        "max_body": int(function.max_body),
        "memory": int(function.memory),
        "settings": model,
    }


def stamp(folder: Path) -> str:
    """Changes when a Python file under `folder` is added, removed or written."""
    seen = hashlib.blake2b(digest_size=16)
    for path in _python_files(folder):
        try:
            found = os.stat(path)
        except OSError:
            continue
        seen.update(f"{path}\0{found.st_mtime_ns}\0{found.st_size}\n".encode(errors="surrogateescape"))
    return seen.hexdigest()


def _python_files(folder: Path) -> Iterator[str]:
    count = 0
    for root, directories, files in os.walk(folder):
        # Packages of a virtual environment change with it, and are many.
        directories[:] = sorted(
            each
            for each in directories
            if not each.startswith(".") and each not in _SKIPPED and not _is_venv(root, each)
        )
        for name in sorted(files):
            if name.endswith(".py"):
                count += 1
                if count > _MOST_FILES:
                    return
                yield os.path.join(root, name)


def _is_venv(root: str, name: str) -> bool:
    return os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
