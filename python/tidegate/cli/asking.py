# SPDX-License-Identifier: Apache-2.0
"""Asks a process of an instance."""

from pathlib import Path
from typing import Any, NoReturn

from tidegate.cli.codes import NOT_RUNNING, REFUSED, stop
from tidegate.cli.output import print_json
from tidegate.events import fail
from tidegate.protocol import Channel, Message, ProtocolError, Refused


def ask(path: Path, kind: str, *, timeout: float = 10.0, **fields: Any) -> Message:
    """Asks the process behind a socket once.

    Raises:
        Refused: It answered with problems.
    """
    try:
        with Channel.to(path) as channel:
            return channel.call(kind, timeout=timeout, **fields)
    except PermissionError:
        stop(f"you may not speak to {path}; try as the user who started the gateway")
    except (OSError, ProtocolError) as error:
        stop(f"{path.name.removesuffix('.sock')} does not answer: {error}", NOT_RUNNING)


def stop_refused(refusal: Refused, *, as_json: bool, code: int = REFUSED, after: str = "") -> NoReturn:
    """Prints what a process refused, and `after` for people, and ends the command."""
    if as_json:
        print_json({"ok": False, "problems": refusal.problems})
        raise SystemExit(code)
    for problem in refusal.problems:
        where = problem["where"]
        fail(f"{where}: {problem['message']}" if where else problem["message"])
    if after:
        fail(after)
    raise SystemExit(code)
