# SPDX-License-Identifier: Apache-2.0
"""`tidegate upgrade`: has an instance replace itself by the code that is installed now."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.cli.asking import ask
from tidegate.cli.codes import FAILED, REFUSED, USAGE, stop
from tidegate.cli.live import duration, find
from tidegate.cli.output import plain, print_json
from tidegate.config.units import Duration
from tidegate.events import fail
from tidegate.protocol import Channel, Message, ProtocolError, Refused
from tidegate.runtime import Instance

_LOOK = 0.2
"""Seconds between two questions."""
_SILENCE = 60.0
"""Seconds without an answer after which the supervisor is taken for gone; while it starts it has none."""
_TELL = 5.0
"""Seconds between two lines about a node that drains."""


def upgrade(name: str | None, base: Path | None, *, drain_time: str | None, as_json: bool) -> None:
    """Upgrades an instance, and shows how it goes until the last of the old node is gone."""
    drain_ms = _milliseconds(drain_time)
    instance = find(name, base)
    try:
        number = ask(instance.supervisor_socket, "upgrade", drain_ms=drain_ms)["number"]
    except Refused as refusal:
        stop(f"{instance.name}: " + "; ".join(each["message"] for each in refusal.problems))
    said: Callable[[str], None] = (lambda _text: None) if as_json else (lambda text: print(text, flush=True))
    try:
        record = _follow(instance, number, said)
    except KeyboardInterrupt:
        stop(f"the upgrade of {instance.name} goes on by itself; `tidegate status` shows how far it is")
    if as_json:
        print_json({"ok": record["state"] == "done", **record})
    if record["state"] == "failed":
        for problem in record["problems"] if not as_json else ():
            fail(f"{problem['where']}: {problem['message']}" if problem["where"] else problem["message"])
        if not as_json:
            fail(f"{instance.name} was not upgraded; the node that ran serves on")
        raise SystemExit(REFUSED if record["code"] == REFUSED else FAILED)


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(Duration(text))
    except ValueError as error:
        stop(f"--drain-time {text!r}: {error}", USAGE)


def _follow(instance: Instance, number: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Asks until the upgrade is over; returns its record."""
    shown = _Shown(instance.name, say)
    answered = time.monotonic()
    while True:
        try:
            with Channel.to(instance.supervisor_socket) as channel:
                reply: Message = channel.call("upgrade.status", timeout=_SILENCE)
            answered = time.monotonic()
        except (OSError, ProtocolError, Refused) as error:
            # The supervisor becomes another program meanwhile: a conversation ends, the socket stays.
            if time.monotonic() - answered > _SILENCE:
                stop(f"the supervisor of {instance.name} does not answer any more: {error}")
            time.sleep(_LOOK)
            continue
        record: dict[str, Any] = reply["upgrade"]
        if record["number"] != number:
            stop(f"{instance.name} is being upgraded by somebody else, or was started again")
        shown.show(record)
        if record["state"] in ("done", "failed"):
            return record
        time.sleep(_LOOK)


class _Shown:
    """Prints what is new."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._state = ""
        self._gone: set[int] = set()
        self._told = float("-inf")

    def show(self, record: dict[str, Any]) -> None:
        """Prints what has happened since the last record."""
        state, self._state = self._state, record["state"]
        if state != self._state == "checking":
            self._line(
                f"checking the installed package against the configuration; {_node(record['old'])} serves"
            )
        if state != self._state == "starting":
            self._line(f"starting a node beside {_node(record['old'])}")
        if state in ("", "checking", "starting") and self._state in ("draining", "done"):
            self._line(f"new {_node(record['new'])} is ready and accepts")
        for each in record["drained"]:
            if each["pid"] not in self._gone:
                self._gone.add(each["pid"])
                self._line(f"old {_node(each)} {_end(each)}")
        now = time.monotonic()
        left = [each for each in record["draining"] if each["connections"] and each["cut"] is None]
        if left and now - self._told >= _TELL:
            self._told = now
            for each in left:
                count = each["connections"]
                self._line(
                    f"old {_node(each)} drains: {count} connection{'s' if count != 1 else ''} left, "
                    f"cut in {duration(each['left_s'])}"
                )

    def _line(self, text: str) -> None:
        self._say(f"{self._name}: {text}")


def _node(each: dict[str, Any]) -> str:
    return f"node {each['pid']} ({plain(each['version'])})"


def _end(each: dict[str, Any]) -> str:
    if each["cut"] is None:
        return f"ended before it had drained: {plain(each['ended'])}"
    if each["cut"] == 0:
        return "has drained, nothing was cut"
    one = each["cut"] == 1
    return f"reached its drain time: {each['cut']} connection{' was' if one else 's were'} cut"
