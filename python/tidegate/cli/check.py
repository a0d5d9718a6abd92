# SPDX-License-Identifier: Apache-2.0
"""`tidegate check`, `schema` and `version`: what needs no running instance."""

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate import _build as build
from tidegate.cli.certificates import expiring, to_backends
from tidegate.cli.codes import REFUSED, refuse
from tidegate.cli.handlers import missing_handlers
from tidegate.cli.output import print_json
from tidegate.config.problem import ConfigError, Problem
from tidegate.control.compiled import Compiled
from tidegate.control.sources import Sources

NOWHERE = Path("/run/tidegate/check")
"""A runtime directory for configurations that are compiled and not run."""


def read(sources: Sequence[str]) -> Compiled:
    """Reads, compiles and has the engine check a configuration.

    Raises:
        ConfigError: With every mistake that can be found without running it.
    """
    compiled = Sources(sources, NOWHERE).read()
    found = _engine_problems(compiled)
    if found:
        raise ConfigError(found)
    return compiled


def _engine_problems(compiled: Compiled) -> list[Problem]:
    from tidegate import _engine

    return [
        Problem(message, path=where, file=_place(compiled, where))
        for where, message in _engine.check_snapshot(compiled.snapshot.delta_json(None))
    ]


def _place(compiled: Compiled, where: str) -> str:
    kind, _, name = where.partition(" ")
    return compiled.snapshot.positions.get((kind.lower(), name), "")


def check(sources: Sequence[str], *, as_json: bool) -> None:
    """Prints every mistake, or what the configuration holds and what is likely to be missing."""
    try:
        compiled = read(sources)
    except ConfigError as error:
        if not as_json:
            refuse(error.problems)
        print_json({"ok": False, "problems": [problem_json(problem) for problem in error.problems]})
        raise SystemExit(REFUSED) from None
    warnings = [*missing_handlers(compiled), *expiring(compiled), *to_backends(compiled)]
    if as_json:
        told = [problem_json(problem) for problem in warnings]
        print_json({"ok": True, "problems": [], "warnings": told, **compiled.counts})
        return
    for problem in warnings:
        print(f"warning: {problem}", file=sys.stderr)
    print(f"ok: {compiled.summary()}")


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem as an object: `file`, `line`, `column` (from 1, 0 unknown), `path`, `message`."""
    return {name: getattr(problem, name) for name in ("file", "line", "column", "path", "message")}


def schema() -> None:
    """Prints the JSON Schema of the configuration."""
    from tidegate.config.schema import schema as json_schema

    print_json(json_schema())


def version(*, as_json: bool) -> None:
    """Prints the version of the package, and with JSON those of what it runs on."""
    number = build.version()
    if not as_json:
        print(f"tidegate {number}")
        return
    try:
        from tidegate import _engine

        engine: str | None = _engine.version()
    except ImportError:
        engine = None
    print_json({"version": number, "engine": engine, "python": platform.python_version()})
