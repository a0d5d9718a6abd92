# SPDX-License-Identifier: Apache-2.0
"""One frame of `tidegate top`: what happened between two samples of a node, and how a terminal shows it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tidegate.cli.live import duration
from tidegate.cli.output import paint, plain

Frame = dict[str, Any]
"""`time` (RFC 3339), `instance`, `version`, `snapshot`, `uptime_s`, `interval_s`, totals such as
`requests_per_s`, and lists `routes`, `l4_routes` (those of connections) and `endpoints`; times are in
milliseconds, null where nothing came."""

SORTS: Final = ("requests", "p99", "errors", "name")
"""What rows are ordered by, in the order in which the key `s` goes through them."""
_WIDE = 100
# What is a status of 5xx in HTTP; calls have 200 whatever they end with.
_BAD = ("unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss")
_Column = tuple[str, str, int]


def frame(before: Mapping[str, Any], now: Mapping[str, Any]) -> Frame:
    """What happened between two answers of the node to `top`.

    A counter that went down was that of a node that has been replaced: it counts from 0.
    """
    seconds: float = max((now["time_us"] - before["time_us"]) / 1e6, 1e-3)

    def rate(new: int, old: int) -> float:
        return round((new - old if new >= old else new) / seconds, 2)

    routes_before = {each["name"]: each for each in before["routes"]}
    routes = []
    for each in now["routes"]:
        old = routes_before.get(
            each["name"], {"requests": 0, "by_class": [0] * 6, "retries": 0, "bytes_out": 0}
        )
        routes.append({
            "name": each["name"],
            "requests_per_s": rate(each["requests"], old["requests"]),
            "errors_per_s": rate(_errors(each), _errors(old)),
            "retries_per_s": rate(each["retries"], old["retries"]),
            "bytes_out_per_s": rate(each["bytes_out"], old["bytes_out"]),
            "p50_ms": _millis(each["p50_us"]),
            "p99_ms": _millis(each["p99_us"]),
        })  # fmt: skip
    l4_before = {each["name"]: each for each in before.get("l4_routes", ())}
    l4 = []
    for each in now.get("l4_routes", ()):
        old = l4_before.get(
            each["name"], dict.fromkeys(("connections", "failed", "bytes_in", "bytes_out"), 0)
        )
        l4.append({
            "name": each["name"],
            "connections_per_s": rate(each["connections"], old["connections"]),
            "errors_per_s": rate(each["failed"], old["failed"]),
            "open": each["open"],
            "bytes_in_per_s": rate(each["bytes_in"], old["bytes_in"]),
            "bytes_out_per_s": rate(each["bytes_out"], old["bytes_out"]),
        })  # fmt: skip
    endpoints_before = {(name, each["address"]): each for name, each in _endpoints(before)}
    endpoints = []
    for name, each in _endpoints(now):
        old = endpoints_before.get((name, each["address"]), {"requests": 0, "failures": 0})
        endpoints.append({
            "backend": name,
            "address": each["address"],
            "health": each["health"],
            "requests_per_s": rate(each["requests"], old["requests"]),
            "errors_per_s": rate(each["failures"], old["failures"]),
            "in_flight": each["in_flight"],
            "connections": each["connections"],
            "p50_ms": _millis(each["p50_us"]),
            "p99_ms": _millis(each["p99_us"]),
        })  # fmt: skip
    moment = datetime.datetime.fromtimestamp(now["time_us"] / 1e6, datetime.UTC)
    return {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "instance": now["instance"],
        "version": now["version"],
        "snapshot": now["snapshot"],
        "uptime_s": now["uptime_s"],
        "interval_s": round(seconds, 3),
        "requests_per_s": rate(now["requests"], before["requests"]),
        "errors_per_s": round(sum(each["errors_per_s"] for each in routes), 2),
        "connections": sum(each["connections"] for each in now["listeners"]),
        "connections_per_s": rate(now["connections_accepted"], before["connections_accepted"]),
        "refused_per_s": rate(now["connections_refused"], before["connections_refused"]),
        "in_flight": sum(each["in_flight"] for each in endpoints),
        "memory_bytes": (now.get("memory") or {}).get("used"),
        "routes": routes,
        "l4_routes": l4,
        "endpoints": endpoints,
    }


def _errors(route: Mapping[str, Any]) -> int:
    """Responses of class 5xx, requests that got none, and calls of gRPC that ended as badly."""
    calls = route.get("grpc_calls") or {}
    return int(route["by_class"][0] + route["by_class"][5] + sum(calls.get(code, 0) for code in _BAD))


def _endpoints(sample: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    return ((backend["name"], each) for backend in sample["backends"] for each in backend["endpoints"])


def _millis(micros: int | None) -> float | None:
    return None if micros is None else micros / 1000


def lines(shown: Frame, *, width: int, height: int | None, sort: str, note: str = "") -> list[str]:
    """A frame as lines of at most `width` characters; `height` lines at most, all of them for None."""
    head = (
        f"{plain(shown['instance'])}  {shown['time'][11:19]} UTC  snapshot {shown['snapshot']}  "
        f"up {duration(shown['uptime_s'])}"
    )
    memory = shown["memory_bytes"]
    totals = (
        f"{_number(shown['requests_per_s'])} requests/s  {_number(shown['errors_per_s'])} errors/s  "
        f"{shown['connections']} connections  {shown['in_flight']} in flight"
        + (f"  {memory >> 20} MiB" if memory else "")
    )
    is_wide = width >= _WIDE
    routes: list[_Column] = [("REQ/S", "requests_per_s", 9), ("ERR/S", "errors_per_s", 8)]
    if is_wide:
        routes += [("RETRY/S", "retries_per_s", 8), ("BYTES/S", "bytes_out_per_s", 11)]
    times: list[_Column] = [("P50 MS", "p50_ms", 9), ("P99 MS", "p99_ms", 9)]
    endpoints: list[_Column] = [("REQ/S", "requests_per_s", 8), ("ERR/S", "errors_per_s", 7)]
    endpoints += [("FLIGHT", "in_flight", 6)] + ([("CONNECTIONS", "connections", 11)] if is_wide else [])
    many = [{**each, "name": f"{each['backend']} {each['address']}"} for each in shown["endpoints"]]
    first = _table("ROUTE", [*routes, *times], _sorted(shown["routes"], sort), width)
    if shown["l4_routes"]:
        columns: list[_Column] = [("CONN/S", "connections_per_s", 9), ("ERR/S", "errors_per_s", 8)]
        columns += [("OPEN", "open", 8), ("IN B/S", "bytes_in_per_s", 11), ("OUT B/S", "bytes_out_per_s", 11)]
        l4 = _table("CONNECTIONS", columns, _sorted(shown["l4_routes"], sort), width)
        first = [*first, "", *l4] if shown["routes"] else l4
    second = _table("ENDPOINT", [("HEALTH", "health", 9), *endpoints, *times], _sorted(many, sort), width)
    foot = [note[:width]] if note else []
    if height is not None:
        # Half of the room for each table; what one does not need is the other's.
        room = max(height - 4 - len(foot), 2)
        short = min(len(first), max(room // 2, room - len(second)))
        first, second = first[:short], second[: room - short]
    body = [paint(head[:width], "bold"), totals[:width], "", *first, "", *second]
    return [*body, *foot]


def _sorted(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    key = {"requests": "requests_per_s", "p99": "p99_ms", "errors": "errors_per_s"}.get(sort)
    if key == "requests_per_s" and rows and key not in rows[0]:
        key = "connections_per_s"
    return sorted(rows, key=lambda row: (-(row.get(key) or 0) if key else 0, row["name"]))


def _table(title: str, columns: Sequence[_Column], rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    room = max(width - sum(size + 1 for _, _, size in columns), 8)
    cells = "".join(f" {heading:>{size}}" for heading, _, size in columns)
    out = [paint(f"{title:<{room}}{cells}"[:width], "bold")]
    for row in rows:
        name = plain(row["name"])
        name = name if len(name) <= room else name[: room - 1] + "…"
        text = f"{name:<{room}}" + "".join(f" {_cell(row[key]):>{size}}" for _, key, size in columns)
        colour = {"down": "red", "excluded": "yellow"}.get(row.get("health", ""))
        colour = colour or ("red" if row["errors_per_s"] else None)
        out.append(paint(text[:width], colour) if colour else text[:width])
    return out


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return _number(value) if isinstance(value, float) else plain(value)


def _number(value: float) -> str:
    """Three digits are enough to look at: `0`, `0.25`, `12.3`, `4,321`."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
