# SPDX-License-Identifier: Apache-2.0
"""The vectors of llhttp and smuggler: each has its expectation, and each once more with the Host it lacks."""

from __future__ import annotations

import re

import pytest

from tests.conformance.http1 import oracle, vectors
from tests.conformance.http1.targets import Targets
from tests.conformance.http1.vectors import Vector
from tidegate.testing import Message, Script, Wire

VECTORS = vectors.load()
WITHOUT_HOST = [v for v in VECTORS if v.reason == "HTTP/1.1 without Host"]


def send(targets: Targets, raw: bytes) -> tuple[list[int], list[Message], Wire]:
    """Sends bytes, half-closes, reads to the end; returns final statuses and what reached the endpoint."""
    target = targets.get("default")
    target.endpoint.begin(Script())
    with Wire(target.address, timeout=target.timeout) as wire:
        for method in re.findall(rb"(?:^|\n)([A-Z-]+) [^\r\n]* HTTP/1", raw) + [b"GET"] * 5:
            wire.reader.expect(method.decode())
        wire.send(raw)
        wire.shutdown()
        assert wire.wait_closed(), f"the connection stayed open: {bytes(wire.received)!r}"
    reached = [message for message in target.endpoint.messages if "barrier" not in message.target]
    return [message.status for message in wire.final_responses], reached, wire


def check(got: list[int], wanted: list[int | list[int]], rest: str, reached: list[Message]) -> None:
    """Compares statuses; bytes that stop inside a message may be answered by 400 or 408, or by closing."""
    allowed = [set(one) if isinstance(one, list) else {one} for one in wanted]
    if rest == "missing" and len(got) == len(allowed) + 1:
        allowed.append({400, 408})
    assert len(got) == len(allowed) and all(g in a for g, a in zip(got, allowed, strict=True)), (
        f"{got}, expected {allowed}"
    )
    assert len(reached) == sum(status == 200 for status in got), f"reached the endpoint: {reached}"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_vector(vector: Vector, targets: Targets):
    got, reached, wire = send(targets, vector.raw)
    assert wire.malformed is None, f"malformed response: {bytes(wire.received)!r}"
    check(got, vector.status, vector.rest, reached)


@pytest.mark.parametrize("vector", WITHOUT_HOST, ids=lambda vector: vector.id)
def test_vector_with_the_host_it_lacks(vector: Vector, targets: Targets):
    """Most vectors have no Host and are refused for that alone; with one, the rest of them is judged."""
    raw = re.sub(rb"( HTTP/1\.1\r\n)", rb"\1Host: a.test\r\n", vector.raw)
    judgement = oracle.judge(raw)
    got, reached, _ = send(targets, raw)
    wanted: list[int | list[int]] = [200] * len(judgement.served)
    if judgement.refused is not None:
        wanted.append([400, 405, 501])
    check(got, wanted, "missing" if judgement.incomplete else "end", reached)
    assert [(m.method, m.target, m.body) for m in reached] == [
        (m.method, m.target, m.body) for m in judgement.served
    ]


def test_what_a_strict_llhttp_rejects_is_refused_or_argued():
    """reference/suites.md: vectors a strict parser rejects, answered below 400: 0, each exception argued."""
    lax = [v for v in VECTORS if v.llhttp_rejects and 200 in v.status]
    assert len([v for v in VECTORS if v.llhttp_rejects]) == 61
    assert all(v.reason for v in lax), [v.id for v in lax if not v.reason]
    assert {v.id for v in lax} == {"connection-1853", "connection-3650", "connection-18967", "invalid-1266"}
