# SPDX-License-Identifier: Apache-2.0
"""What real clients send must pass, unchanged in meaning: strictness is worth something only beside this."""

from __future__ import annotations

import collections
from contextlib import ExitStack

import pytest

from tests.conformance.http1 import corpus
from tests.conformance.http1.corpus import Recorded
from tests.conformance.http1.player import Target
from tests.conformance.http1.targets import Targets
from tidegate.testing import Script, Wire, endpoint, gateway

CORPUS = corpus.load()
CLIENTS = sorted({recorded.client for recorded in CORPUS})


@pytest.mark.parametrize("client", CLIENTS)
def test_everything_a_client_sends_passes(client: str, targets: Targets):
    problems = []
    for number, recorded in enumerate(one for one in CORPUS if one.client == client):
        problems += [
            f"{client} #{number}: {problem}\n  {recorded.raw[:400]!r}"
            for problem in replay(recorded, targets.get("default"))
        ]
    assert not problems, "\n".join(problems)


def test_everything_passes_a_chain_of_two():
    """What the first tidegate sends, the second must take: load balancer before gateway, as in the shop."""
    inner_settings = "threads: 1, trusted_proxies: [127.0.0.0/8]"
    with ExitStack() as stack:
        upstream = stack.enter_context(endpoint())
        inner = stack.enter_context(gateway(_chained(inner_settings, upstream.address)))
        outer = stack.enter_context(gateway(_chained("threads: 1", f"127.0.0.1:{inner.port}")))
        target = Target(("127.0.0.1", outer.port), upstream)
        problems = [f"{problem}\n  {one.raw[:400]!r}" for one in CORPUS for problem in replay(one, target)]
        hops = {message.get("via") for message in upstream.messages}
    assert not problems, "\n".join(problems)
    assert hops == {"1.1 tidegate, 1.1 tidegate"}


def _chained(settings: str, address: str) -> str:
    return f"""
gateway: {{ {settings} }}
listeners: {{ web: {{ port: 0 }} }}
backends: {{ next: {{ endpoints: [{{ address: "{address}" }}], passive_health: {{ enabled: false }} }} }}
routes: [{{ path: /, to: next }}]
"""


def replay(recorded: Recorded, target: Target) -> list[str]:
    """Sends one message and compares what arrived."""
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
