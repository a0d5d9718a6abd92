# SPDX-License-Identifier: Apache-2.0
"""The processes of backends: how they are, and replacing them one by one."""

import time
from pathlib import Path
from typing import Any

from tidegate.cli.asking import ask, stop_refused
from tidegate.cli.codes import FAILED
from tidegate.cli.output import paint, plain, print_json, table
from tidegate.events import fail
from tidegate.protocol import Refused
from tidegate.runtime import Instance

_LOOK = 0.1
"""Seconds between two looks at how far it has come."""


def settled(instance: Instance, backend: str | None = None) -> list[dict[str, Any]]:
    """Waits until no process is being replaced; every one has its own time for it.

    Args:
        backend: The one to wait for; all without it.

    Returns:
        The backends that have processes, as control tells them.
    """
    while True:
        try:
            found: list[dict[str, Any]] = ask(instance.control_socket, "processes.status")["backends"]
        except Refused:
            # A control of a version before has none.
            return []
        if backend is not None:
            found = [each for each in found if each["backend"] == backend]
        if not any(each["rolling"] for each in found):
            return found
        time.sleep(_LOOK)


def tell_problems(backends: list[dict[str, Any]], *, as_json: bool) -> None:
    """Ends the command with an error if a replacement stopped."""
    failed = [each for each in backends if each["problem"]]
    for each in failed if not as_json else ():
        fail(f"backend {plain(each['backend'])}: {plain(each['problem'])}")
    if failed:
        raise SystemExit(FAILED)


def restart(backend: str, instance: Instance, *, as_json: bool) -> None:
    """Replaces the processes of a backend one by one and waits for the last."""
    try:
        ask(instance.control_socket, "processes.restart", backend=backend)
    except Refused as refusal:
        stop_refused(refusal, as_json=as_json)
    found = settled(instance, backend)
    if as_json:
        print_json({"backends": found})
    tell_problems(found, as_json=as_json)
    if not as_json:
        count = sum(each["count"] for each in found)
        print(f"{instance.name}: backend {plain(backend)}: {count} of {count} processes replaced")


def restart_in(backend: str, name: str | None, base: Path | None, *, as_json: bool) -> None:
    """`tidegate restart`."""
    from tidegate.cli.live import find

    restart(backend, find(name, base), as_json=as_json)


def process_table(backends: list[dict[str, Any]]) -> str:
    """A table for `tidegate status`; empty if there are none."""
    rows = [
        (
            each["backend"] if at == 0 else " ",
            process["number"],
            process["address"],
            process["pid"] or None,
            process["state"],
            process["ended"],
            plain(process["how"]) or None,
        )
        for each in backends
        for at, process in enumerate(each["processes"])
    ]
    if not rows:
        return ""
    text = table(("PROCESSES OF", "NUMBER", "ADDRESS", "PID", "STATE", "ENDED", "LAST END"), rows)
    for each in backends:
        if each["problem"]:
            text += "\n" + paint(f"{plain(each['backend'])}: {plain(each['problem'])}", "red")
    return text
