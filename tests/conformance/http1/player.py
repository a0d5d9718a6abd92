# SPDX-License-Identifier: Apache-2.0
"""Plays a case against a gateway by bytes and says what differs from its expectation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.http1.cases import Case, Downstream, Upstream
from tidegate.testing import Connection, FakeEndpoint, Message, Script, Wire

BARRIER = "/barrier-of-the-player"
_ONCE = {
    "content-length",
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "content-type",
}
_NEVER = {"keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"}
_INTERNALS = re.compile(rb"127\.0\.0\.1|:\d{4,5}\b|/tmp/|panicked|\.rs\b|\.py\b|tokio|nginx|haproxy")


@dataclass
class Target:
    """A running gateway and the fake endpoint behind it."""

    address: tuple[str, int]
    endpoint: FakeEndpoint
    timeout: float = 30.0
    is_peer: bool = False
    """Another proxy: what only tidegate promises is not asked of it."""


@dataclass
class Played:
    """What happened, and every way in which that was wrong."""

    case: Case
    statuses: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    received: bytes = b""
    connections: list[Connection] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """The requests that reached the endpoint, without the barrier."""
        return [m for c in self.connections for m in c.messages if m.target != BARRIER]

    def expect(self, holds: object, problem: str) -> None:
        """Notes `problem` unless `holds`."""
        if not holds:
            self.problems.append(problem)

    def __str__(self) -> str:
        sent = b"".join(step.data for step in self.case.send)
        return "\n".join(
            [
                f"{self.case.id} (row {self.case.row}, {self.case.source}): {self.case.title}",
                *(f"  - {problem}" for problem in self.problems),
                f"  sent     {sent[:600]!r}",
                f"  received {self.received[:600]!r}",
                *(f"  upstream {bytes(c.raw)[:600]!r}" for c in self.connections if c.raw),
            ]
        )


def play(case: Case, target: Target) -> Played:
    """Plays one case; an empty `problems` means it went as expected."""
    played = Played(case)
    endpoint = target.endpoint
    endpoint.begin(Script(**case.origin) if case.origin.get("fail") != "refuse" else Script())
    wanted = len(case.expect.status)
    with Wire(target.address, timeout=target.timeout) as wire:
        for method in [*case.methods, *["GET"] * (wanted + 3)]:
            wire.reader.expect(method)
        _send(case, wire, endpoint, played)
        if case.expect.cut:
            wire.wait_closed()
        else:
            wire.wait_final(wanted)
        closed_early = wire.closed
        if case.expect.connection == "closed":
            played.expect(wire.wait_closed(), "the connection stayed open")
        played.received = bytes(wire.received)
        _judge_client(case, wire, played, target.is_peer)
        if case.expect.connection == "kept" and not played.problems:
            played.expect(closed_early is None and _probe(wire, wanted), "the connection was not kept")
    _barrier(target, played)
    played.connections = [c for c in endpoint.connections if c.raw]
    _judge_endpoint(case, endpoint, played, target.is_peer)
    return played


def _send(case: Case, wire: Wire, endpoint: FakeEndpoint, played: Played) -> None:
    for step in case.send:
        if step.kind == "send":
            wire.send(step.data)
        elif step.kind == "wait":
            played.expect(wire.wait_final(step.count), f"no {step.count} responses while sending")
        elif step.kind == "wait_bytes":
            played.expect(wire.wait_bytes(step.data), f"{step.data!r} did not come")
        elif step.kind == "endpoint":
            played.expect(endpoint.wait(_has(step.count)), "endpoint was not asked")
        elif step.kind == "shutdown":
            wire.shutdown()
        else:
            wire.reset()


def _has(count: int) -> Callable[[FakeEndpoint], bool]:
    return lambda endpoint: len(endpoint.messages) >= count


def _probe(wire: Wire, answered: int) -> bool:
    wire.send(f"GET {BARRIER} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
    return wire.wait_final(answered + 1)


def _barrier(target: Target, played: Played) -> None:
    """A request of its own that must be served: what the case could cause upstream has happened before it."""
    script = target.endpoint.script
    target.endpoint.script = Script()
    with Wire(target.address, timeout=target.timeout) as wire:
        wire.send(f"GET {BARRIER} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode(), "GET")
        served = wire.wait_final(1) and wire.final_responses[0].status == 200
        played.expect(served, f"the next client was not served: {bytes(wire.received)[:200]!r}")
    target.endpoint.script = script


def _judge_client(case: Case, wire: Wire, played: Played, is_peer: bool) -> None:
    expect = case.expect
    finals = wire.final_responses
    played.statuses = [message.status for message in finals]
    started = [*played.statuses, *([wire.reader.head.status] if wire.reader.head else [])]
    if expect.cut:
        whole = wire.malformed is None and bool(finals)
        played.expect(
            all(s >= 400 for s in played.statuses) if whole else True, f"looks whole: {played.statuses}"
        )
        return
    played.expect(wire.malformed is None, f"malformed response: {wire.malformed}")
    fits = len(started) == len(expect.status) and all(
        got in allowed for got, allowed in zip(started, expect.status, strict=True)
    )
    played.expect(fits, f"statuses {started}, expected {[sorted(allowed) for allowed in expect.status]}")
    if expect.interim is not None:
        interim = [m.status for m in wire.responses if m.status < 200 and m.status != 101]
        played.expect(interim == expect.interim, f"informational {interim}, expected {expect.interim}")
    for message in [] if is_peer else finals:
        _judge_any_response(message, played)
    for message, wanted in zip(finals, expect.response, strict=False):
        _judge_response(message, wanted, played)


def _judge_any_response(message: Message, played: Played) -> None:
    names = [name.lower().decode("latin-1") for name, _ in message.fields]
    played.expect(names.count("content-length") <= 1, "two Content-Length in a response")
    if message.status != 101:
        played.expect(
            not set(names) & (_NEVER - {"proxy-authorization"}), f"hop-by-hop in a response: {names}"
        )
    if message.status in (400, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505):
        played.expect(len(message.body) < 200, f"long error body: {message.body[:300]!r}")
        played.expect(not _INTERNALS.search(message.body), f"internals in an error: {message.body[:300]!r}")


def _judge_response(message: Message, wanted: Downstream, played: Played) -> None:
    if wanted.body is not None:
        played.expect(
            message.body == wanted.body, f"body {message.body[:80]!r}, expected {wanted.body[:80]!r}"
        )
    if wanted.framing is not None:
        played.expect(
            message.framing == wanted.framing, f"framing {message.framing}, expected {wanted.framing}"
        )
    _judge_fields(message, wanted.fields, wanted.trailers, "response", played)


def _judge_endpoint(case: Case, endpoint: FakeEndpoint, played: Played, is_peer: bool) -> None:
    expect, messages = case.expect, played.messages
    for connection in played.connections:
        played.expect(connection.malformed is None, f"malformed upstream: {connection.malformed}")
    for message in [] if is_peer else messages:
        _judge_any_request(message, played)
    if expect.endpoint is None:
        assert expect.endpoint_at_most is not None
        played.expect(
            len(messages) <= expect.endpoint_at_most, f"{len(messages)} requests reached the endpoint"
        )
    else:
        got = [f"{m.method} {m.target[:100]}" for m in messages]
        played.expect(len(messages) == len(expect.endpoint), f"reached the endpoint: {got}")
        for message, wanted in zip(messages, expect.endpoint, strict=False):
            _judge_request(message, wanted, played)
    if expect.endpoint == [] and not case.origin and not expect.cut and not expect.streamed:
        played.expect(not played_bytes(played), "bytes of a refused request reached the endpoint")
    _judge_reuse(case, endpoint, played)


def played_bytes(played: Played) -> bytes:
    """What reached the endpoint beside the barrier and the probe."""
    whole = b"".join(m.raw for c in played.connections for m in c.messages if m.target == BARRIER)
    everything = b"".join(bytes(c.raw) for c in played.connections)
    return b"" if len(everything) == len(whole) else everything


def _judge_reuse(case: Case, endpoint: FakeEndpoint, played: Played) -> None:
    used = [c for c in played.connections if any(m.target != BARRIER for m in c.messages) or c.unfinished]
    if case.expect.endpoint_connection == "shared":
        played.expect(len(used) == 1, f"{len(used)} endpoint connections, expected one")
    if case.expect.endpoint_connection == "discarded" and used:
        first = used[0]
        played.expect(
            endpoint.wait(lambda _: first.closed) and not any(m.target == BARRIER for m in first.messages),
            "the endpoint's connection was used again",
        )
    unfinished = [c for c in played.connections if c.unfinished and not c.malformed]
    done = endpoint.wait(lambda _: all(c.closed or not c.unfinished for c in unfinished))
    played.expect(done, "an upstream request was left unfinished on an open connection")


def _judge_any_request(message: Message, played: Played) -> None:
    names = [name.lower().decode("latin-1") for name, _ in message.fields]
    for name in _ONCE:
        played.expect(names.count(name) <= 1, f"{name} {names.count(name)} times upstream")
    played.expect(not set(names) & _NEVER, f"hop-by-hop upstream: {sorted(set(names) & _NEVER)}")
    played.expect(
        "via" in names and "x-forwarded-for" in names, f"no Via or X-Forwarded-For upstream: {names}"
    )
    played.expect(message.version == "HTTP/1.1", f"upstream {message.version}")


def _judge_request(message: Message, wanted: Upstream, played: Played) -> None:
    for name in ("method", "target"):
        got, want = getattr(message, name), getattr(wanted, name)
        played.expect(got == want, f"{name} {got[:100]!r}, expected {want[:100]!r}")
    host = message.get("host")
    played.expect((host or None) == wanted.host, f"host {host!r}, expected {wanted.host!r}")
    played.expect(message.body == wanted.body, f"body {message.body[:80]!r}, expected {wanted.body[:80]!r}")
    if wanted.framing is not None:
        played.expect(
            message.framing == wanted.framing, f"framing {message.framing}, expected {wanted.framing}"
        )
    _judge_fields(message, wanted.fields, wanted.trailers, "request", played)


def _judge_fields(
    message: Message, fields: dict[str, Any], trailers: list[list[str]] | None, what: str, played: Played
) -> None:
    """Compares fields and trailers.

    `fields` maps a name to its value, `~` and a pattern, null for absent, a list of lines, or (a list within
    a list, or a list with null) to alternatives.
    """
    for name, wanted in fields.items():
        got = message.all(name)
        fits = _fits(got, wanted)
        played.expect(fits, f"{what} field {name}: {str(got)[:200]}, expected {str(wanted)[:200]}")
    if trailers is not None:
        got_trailers = [[n.decode("latin-1").lower(), v.decode("latin-1")] for n, v in message.trailers]
        played.expect(got_trailers == trailers, f"{what} trailers {got_trailers}, expected {trailers}")


def _fits(got: list[str], wanted: Any) -> bool:
    if wanted is None:
        return not got
    if isinstance(wanted, list):
        if wanted and isinstance(wanted[0], list):
            return any(_fits(got, one) for one in [*wanted[0], *wanted[1:]])
        if None in wanted:
            return any(_fits(got, one) for one in wanted)
        return got == wanted
    joined = ", ".join(got) if got else None
    if isinstance(wanted, str) and wanted.startswith("~"):
        return joined is not None and re.search(wanted[1:], joined) is not None
    return joined == str(wanted)
