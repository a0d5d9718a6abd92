# SPDX-License-Identifier: Apache-2.0
"""Imports `module:object` and writes what it compiles to, or its mistakes, as JSON.

Run by `sources.Import` as a process of its own, with the descriptor to write to and the request.
"""

import importlib
import json
import operator
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from tidegate.config.check import check
from tidegate.config.compile import Compiler
from tidegate.config.draft import Draft
from tidegate.config.errors import path_text
from tidegate.config.gateway import Gateway
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.secret import FILES
from tidegate.control.compiled import Compiled, compile_all


def load_object(source: str) -> Gateway:
    """Imports `module:object`, from the current folder first.

    Raises:
        ConfigError: It is not there, its code fails, or it is no gateway.
    """
    module_name, _, attribute = source.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        if callable(found) and not isinstance(found, type):
            found = found()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError([_blame(source, error)]) from error
    if not isinstance(found, Gateway):
        text = f"is of type {type(found).__name__}; name a tidegate.Gateway, or a function that returns one"
        raise ConfigError([Problem(text, path=source)])
    problems = [_problem(found, path, message) for path, message in check(Draft.of(found))]
    if problems:
        raise ConfigError(problems)
    return found


def _blame(source: str, error: Exception) -> Problem:
    """The problem of an import that failed, at the innermost line of the user's own code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    text = f"importing {source} failed: {type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return Problem(text, file=error.filename, line=error.lineno or 0, column=error.offset or 0)
    if not frames:
        hint = (
            "; start tidegate in the folder that holds the module" if isinstance(error, ImportError) else ""
        )
        return Problem(text + hint)
    return Problem(text, file=frames[-1].filename, line=frames[-1].lineno or 0)


def _is_ours(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", str(Path(__file__).parents[1]), importlib.__file__))


def source_of(gateway: Gateway, path: tuple[int | str, ...]) -> tuple[str, int]:
    """File and line of the innermost object on `path` that knows its own."""
    best = gateway.source or ("", 0)
    value: Any = gateway
    for part in path:
        try:
            is_item = isinstance(value, dict | list | tuple)
            value = operator.getitem(value, part) if is_item else getattr(value, str(part))
        except (KeyError, IndexError, AttributeError, TypeError):
            break
        best = getattr(value, "source", None) or best
    return best


def _problem(gateway: Gateway, path: tuple[int | str, ...], message: str) -> Problem:
    file, line = source_of(gateway, path)
    return Problem(message, path=path_text(list(path)), file=file, line=line)


def _local_files() -> list[Path]:
    """What the user's modules are in (under the current folder, outside of libraries) and have read."""
    here = Path.cwd()
    found: set[Path] = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if name and Path(name).is_relative_to(here) and "site-packages" not in name and not _is_ours(name):
            found.add(Path(name).absolute())
    return sorted(found | FILES)


def compile_object(source: str, runtime: Path, threads: int | None) -> Compiled:
    """Imports and compiles `module:object`.

    Raises:
        ConfigError: With all mistakes.
    """
    gateway = load_object(source)

    def position(path: tuple[int | str, ...]) -> str:
        file, line = source_of(gateway, path)
        return f"{os.path.relpath(file)}:{line}" if file else ""

    return compile_all(gateway, Compiler(runtime, threads), position, _local_files(), Path.cwd(), runtime)


def main() -> None:
    """Answers one request."""
    descriptor, request = int(sys.argv[1]), json.loads(sys.argv[2])
    try:
        compiled = compile_object(request["source"], Path(request["runtime"]), request["threads"])
        answer: dict[str, Any] = compiled.to_json()
    except ConfigError as error:
        fields = ("message", "path", "file", "line", "column")
        answer = {"problems": [{name: getattr(each, name) for name in fields} for each in error.problems]}
    with open(descriptor, "w") as file:
        json.dump(answer, file)
    sys.stdout.flush()
    # Threads that the user's module started must not keep us.
    os._exit(0)


if __name__ == "__main__":
    main()
