# SPDX-License-Identifier: Apache-2.0
"""`tidegate slow`: the requests that took long, and where their time went."""

from pathlib import Path
from typing import Any

from tidegate.cli.asking import ask
from tidegate.cli.live import find
from tidegate.cli.output import plain, print_json, table

_PARTS = ("before", "connect", "endpoint", "response")


def slow(name: str | None, base: Path | None, *, as_json: bool) -> None:
    """Shows what the node remembers of slow requests, the last one last."""
    instance = find(name, base)
    reply = ask(instance.node_socket, "slow")
    entries, limit = reply["entries"], reply["limit_ms"]
    if as_json:
        print_json({"limit_ms": limit, "entries": entries})
        return
    if limit is None:
        print(f"{instance.name} keeps no slow requests; set gateway.slow_request, such as 1s")
        return
    if not entries:
        print(f"{instance.name}: no request took {limit} ms")
        return
    headings = (
        "TIME",
        "REQUEST",
        "STATUS",
        "ROUTE",
        "ENDPOINT",
        "MS",
        "BEFORE",
        "CONNECT",
        "WAIT",
        "RESPONSE",
    )
    print(table(headings, [_row(entry) for entry in entries]))
    print(f"\nthe last {len(entries)} of {limit} ms or more; tidegate why ID says all of one: the last is "
          f"{plain(entries[-1]['request_id'])}")  # fmt: skip


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    return (
        entry["time"][11:23],
        f"{entry.get('method', '')} {entry.get('path', '')}"[:48],
        entry["status"],
        entry.get("route"),
        entry.get("endpoint"),
        entry["duration_ms"],
        *(entry["timing"][f"{part}_ms"] for part in _PARTS),
    )
