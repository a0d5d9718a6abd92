# SPDX-License-Identifier: Apache-2.0
"""What `tidegate endpoint ...` does."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.cli.asking import ask, stop_refused
from tidegate.cli.codes import FAILED, stop
from tidegate.cli.live import find
from tidegate.cli.output import plain, print_json, table
from tidegate.protocol import Refused
from tidegate.runtime import Instance

_POLL = 0.2
"""Seconds between two looks at what is in flight."""
_QUIET = 2
"""Looks in a row that must find nothing: a request may have been on its way there at the first."""


def list_endpoints(backend: str | None, name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Shows the endpoints of one backend or all."""
    instance = find(name, base)
    told = _asked(instance, "endpoints.list", as_json=as_json, **({"backend": backend} if backend else {}))
    live = _live(instance)
    rows = []
    for each, endpoints in told["backends"].items():
        for endpoint in endpoints:
            seen = live.get((each, endpoint["address"]), {})
            endpoint["health"] = seen.get("health")
            endpoint["in_flight"] = seen.get("in_flight", 0)
            rows.append(_row(each, endpoint))
    if as_json:
        print_json(told["backends"])
        return
    headings = ("BACKEND", "ENDPOINT", "ZONE", "WEIGHT", "SOURCE", "STATE", "HEALTH", "IN FLIGHT")
    print(table(headings, rows))
    for each, source in told["sources"].items():
        if source["problem"]:
            why = f"{plain(source['kind'])}: {plain(source['problem'])}"
            print(f"the last endpoints of {plain(each)} stay: {why}")


def _row(backend: str, endpoint: Mapping[str, Any]) -> tuple[object, ...]:
    state = "removed" if endpoint["removed"] else "draining" if endpoint["draining"] else "active"
    return (
        backend,
        endpoint["address"],
        endpoint["zone"],
        endpoint["weight"],
        endpoint["found_by"],
        state,
        endpoint["health"],
        endpoint["in_flight"],
    )


def change(
    backend: str,
    address: str,
    action: str,
    name: str | None,
    base: Path | None,
    *,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    wait: float | None = None,
    as_json: bool = False,
) -> None:
    """Has an instance change one endpoint.

    Args:
        wait: Seconds to wait at most until nothing is in flight there; not at all without it.
    """
    instance = find(name, base)
    fields: dict[str, Any] = {"backend": backend, "address": address, "force": force}

    def asked(what: str) -> dict[str, Any]:
        given = {"settings": dict(settings or {})} if what == "add" else {}
        return _asked(instance, "endpoints.change", as_json=as_json, action=what, **fields, **given)

    if action == "remove" and wait is not None:
        fields["address"] = asked("drain")["address"]
        _drained(instance, backend, fields["address"], wait, as_json=as_json)
    told = asked(action)
    address = told["address"]
    left = 0
    if action == "drain":
        left = _in_flight(instance, backend, address)
        if wait is not None:
            _drained(instance, backend, address, wait, as_json=as_json)
            left = 0
    if as_json:
        print_json({**told, "in_flight": left})
        return
    done = {"add": "added", "drain": "draining", "undrain": "takes requests again", "remove": "removed"}
    more = f": in flight {left}" if action == "drain" else ""
    later = "" if told["in_force"] else "; the node is not there and gets it when it comes up"
    print(f"{plain(address)} of {plain(backend)}: {done[action]}{more}{later}")


def _drained(instance: Instance, backend: str, address: str, limit: float, *, as_json: bool) -> None:
    """Waits until nothing is in flight there; ends the command when that takes too long."""
    until = time.monotonic() + limit
    shown, quiet = -1, 0
    while True:
        left = _in_flight(instance, backend, address)
        quiet = quiet + 1 if left == 0 else 0
        if quiet == _QUIET:
            return
        if left != shown and not as_json:
            print(f"{plain(address)} of {plain(backend)}: in flight {left}", file=sys.stderr)
        shown = left
        if time.monotonic() > until:
            stop(f"{left} requests are still in flight at {address}; it goes on draining", FAILED)
        time.sleep(_POLL)


def _in_flight(instance: Instance, backend: str, address: str) -> int:
    return int(_live(instance).get((backend, address), {}).get("in_flight", 0))


def _live(instance: Instance) -> dict[tuple[str, str], dict[str, Any]]:
    status = ask(instance.node_socket, "status")
    return {(each["name"], one["address"]): one for each in status["backends"] for one in each["endpoints"]}


def _asked(instance: Instance, kind: str, *, as_json: bool, **fields: Any) -> dict[str, Any]:
    """Asks control; ends the command with what is wrong."""
    try:
        reply = ask(instance.control_socket, kind, timeout=30.0, **fields)
    except Refused as refusal:
        stop_refused(refusal, as_json=as_json, code=FAILED)
    return {key: value for key, value in reply.items() if key not in ("id", "ok")}
