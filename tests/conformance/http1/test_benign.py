# SPDX-License-Identifier: Apache-2.0
"""What real clients send must pass, unchanged in meaning: strictness is worth something only beside this."""

from __future__ import annotations

import collections

import pytest

from tests.conformance.http1 import corpus
from tests.conformance.http1.corpus import Recorded
from tests.conformance.http1.targets import Targets
from tidegate.testing import Script, Wire

CORPUS = corpus.load()
CLIENTS = sorted({recorded.client for recorded in CORPUS})


@pytest.mark.parametrize("client", CLIENTS)
def test_everything_a_client_sends_passes(client: str, targets: Targets):
    problems = []
    for number, recorded in enumerate(one for one in CORPUS if one.client == client):
        problems += [
            f"{client} #{number}: {problem}\n  {recorded.raw[:400]!r}"
            for problem in replay(recorded, targets)
        ]
    assert not problems, "\n".join(problems)


def replay(recorded: Recorded, targets: Targets) -> list[str]:
    """Sends one message and compares what arrived."""
    target = targets.get("default")
    target.endpoint.begin(Script())
    with Wire(target.address, timeout=target.timeout) as wire:
        wire.send(recorded.raw, recorded.message.method)
        if not wire.wait_final(1):
            return [f"no answer: {bytes(wire.received)[:200]!r} {wire.closed}"]
        answer = wire.final_responses[0]
    if answer.status != 200:
        return [f"status {answer.status}"]
    arrived = target.endpoint.messages
    if len(arrived) != 1:
        return [f"{len(arrived)} messages arrived"]
    return corpus.differences(recorded.message, arrived[0])


def test_the_corpus_is_what_it_claims_to_be():
    assert len(CORPUS) >= 300
    assert len({recorded.raw for recorded in CORPUS}) == len(CORPUS)
    counts = collections.Counter(recorded.client for recorded in CORPUS)
    assert len(counts) >= 25
    for client in (
        "Chromium",
        "curl",
        "wget",
        "Go net/http",
        "Java HttpClient",
        "Node fetch",
        "ApacheBench",
        "nagios check_http",
    ):
        assert counts[client], client
    assert sum(recorded.message.version == "HTTP/1.0" for recorded in CORPUS) >= 20
    assert all(recorded.version for recorded in CORPUS)
