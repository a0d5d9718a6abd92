# SPDX-License-Identifier: Apache-2.0
"""Mutated benign messages: never a crash, enough accepted, each of them sent on as exactly one message.

100,000 of them; TIDEGATE_MUTATIONS asks for another number, TIDEGATE_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest

from tests.conformance.http1 import corpus, oracle
from tests.fuzz.mutate import mutate
from tidegate.testing import Malformed, Script, Wire, endpoint, gateway, read_requests

_engine = pytest.importorskip("tidegate._engine")

COUNT = int(os.environ.get("TIDEGATE_MUTATIONS", "100000"))
SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().getrandbits(32))
CORPUS = [recorded.raw for recorded in corpus.load()]


def mutants(count: int) -> list[bytes]:
    """`count` mutated messages, the same for the same seed."""
    draw = random.Random(SEED)
    return [mutate(draw.choice(CORPUS), draw) for _ in range(count)]


def complaint(data: bytes, told: dict[str, Any]) -> str | None:
    """What is wrong with what the engine made of `data`; None when nothing is."""
    judgement = oracle.judge(data)
    if not (told["accepted"] and told["consumed"] is not None):
        return f"refused ({told}), but it means {judgement.served[0]}" if judgement.served else None
    try:
        (sent,) = read_requests(told["encoded"])
    except (Malformed, ValueError) as error:
        return f"sent on as something else than one message: {error}: {told['encoded'][:300]!r}"
    again = _engine.parse_request(told["encoded"])
    if not again["accepted"] or again["consumed"] != len(told["encoded"]):
        return f"what is sent on is refused when it comes back: {again}"
    if any(again[key] != told[key] for key in ("method", "path", "query", "authority")):
        return f"what is sent on means something else when it comes back: {again}"
    if not judgement.served:
        return f"accepted, but must be refused: {judgement.refused}"
    meant = judgement.served[0]
    if (sent.method, sent.target, sent.get("host") or "", sent.body) != (
        meant.method,
        meant.target,
        meant.host,
        meant.body,
    ):
        return f"sent on as {sent.line!r} {sent.get('host')!r} {sent.body[:40]!r}, means {meant}"
    return None


def test_mutated_messages_are_refused_or_sent_on_as_one():
    outcomes: Counter[object] = Counter()
    complaints = []
    for data in mutants(COUNT):
        told = _engine.parse_request(data)
        outcomes[
            "accepted"
            if told["accepted"] and told["consumed"] is not None
            else "incomplete"
            if told["accepted"] in (None, True)
            else told["status"]
        ] += 1
        problem = complaint(data, told)
        if problem is not None:
            complaints.append(f"{data[:500]!r}\n    {problem[:600]}")
    share = outcomes["accepted"] / COUNT
    print(f"\nseed {SEED}: {COUNT} mutants, {share:.1%} accepted, {dict(outcomes)}")
    assert not complaints, f"seed {SEED}: {len(complaints)} of {COUNT}:\n" + "\n".join(complaints[:20])
    assert share >= 0.40, f"seed {SEED}: {outcomes}"


def test_mutated_messages_over_the_wire_never_hurt_the_node():
    """A sample through a real gateway: an endpoint gets what the oracle reads, and the node lives on."""
    with endpoint() as upstream, gateway(_CONFIGURATION.replace("ENDPOINT", upstream.address)) as running:
        for data in mutants(min(1000, COUNT)):
            upstream.begin(Script())
            judgement = oracle.judge(data)
            with Wire(("127.0.0.1", running.port)) as wire:
                for _ in range(10):
                    wire.reader.expect("GET")
                wire.send(data)
                wire.shutdown()
                assert wire.wait_closed(), f"seed {SEED}: the connection stayed open: {data!r}"
            arrived = [(m.method, m.target, m.get("host") or "", m.body) for m in upstream.messages]
            meant = [(m.method, m.target, m.host, m.body) for m in judgement.served]
            assert arrived == meant, f"seed {SEED}: {data!r}\n{arrived}\n{meant}\n{judgement}"
        assert running.status()["panics"] == 0


_CONFIGURATION = """
gateway: { threads: 1 }
listeners: { web: { port: 0 } }
backends: { origin: { endpoints: [{ address: "ENDPOINT" }], passive_health: { enabled: false } } }
routes: [{ path: /, to: origin }]
"""
