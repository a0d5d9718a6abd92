# SPDX-License-Identifier: Apache-2.0
"""Do origin servers see what tidegate saw? Accepted requests through tidegate to real servers.

For each request the server must see exactly one message, with the raw target, host and length of body that
tidegate meant. A server that refuses (methods it does not know, say) has seen none, and is counted.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from tests.conformance.http1 import backends, oracle, requests
from tests.conformance.http1.oracle import Meaning
from tidegate.testing import Message, RunningGateway, Wire, gateway

SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().getrandbits(32))
COUNT = int(os.environ.get("TIDEGATE_DIFFERENTIAL", "500"))
REFUSALS = {400, 405, 411, 414, 417, 431, 501, 505}
_CONFIGURATION = """
gateway: { threads: 1 }
listeners: { web: { port: 0 } }
backends:
  recorder:
    endpoints: [{ address: "127.0.0.1:PORT" }]
    passive_health: { enabled: false }
routes: [{ path: /, to: recorder }]
"""


@pytest.mark.parametrize("name", backends.NAMES)
def test_a_server_sees_what_tidegate_saw(name: str):
    inputs = [*requests.accepted_cases(), *requests.recorded(), *requests.chance(SEED, COUNT)]
    outcomes: Counter[str] = Counter()
    disagreements = []
    with (
        backends.running(name) as recorder,
        gateway(_CONFIGURATION.replace("PORT", str(recorder.port))) as running,
    ):
        before, answered = recorder.count(), 0
        for data in inputs:
            meant = oracle.judge(data).served[0]
            # Go answers `OPTIONS *` itself and tells its handler nothing.
            if meant.target == "/echo-count" or (meant.target == "*" and name == "Go net/http"):
                continue
            answer = exchange(running, data, meant.method)
            problem = disagreement(answer, meant, name)
            if problem is not None:
                disagreements.append(f"{data[:300]!r}\n    {problem}")
            declined = answer is not None and answer.status in REFUSALS
            outcomes["declined" if declined else "seen"] += 1
            answered += not declined
        questions = 1 if recorder.counts_its_questions else 0
        count = recorder.count() - before - questions
        malformed = outcomes["declined"] if name in ("nginx", "Node http") else 0
    print(f"\n{name}: seed {SEED}, {dict(outcomes)}, {len(disagreements)} disagreements")
    assert not disagreements, f"seed {SEED}: {len(disagreements)} of {len(inputs)}:\n" + "\n".join(
        disagreements[:20]
    )
    assert count == answered + malformed, (
        f"seed {SEED}: {name} counted {count} messages, {answered} were answered"
    )
    assert outcomes["declined"] <= len(inputs) * 0.25, (
        f"{name} declined {outcomes['declined']} of {len(inputs)}"
    )


def exchange(running: RunningGateway, data: bytes, method: str) -> Message | None:
    """Sends one request on a connection of its own; the gateway's connections to the server are kept."""
    with Wire(("127.0.0.1", running.port)) as wire:
        wire.send(data, method)
        return wire.final_responses[0] if wire.wait_final(1) else None


def disagreement(answer: Message | None, meant: Meaning, name: str) -> str | None:
    """How the server's reading differs; None when it does not."""
    if answer is None:
        return "no answer"
    if answer.status in REFUSALS:
        return None
    if answer.status != 200:
        return f"status {answer.status}"
    seen = {key: answer.get(f"x-echo-{key}") or "" for key in ("method", "target", "host", "length")}
    wanted = {
        "method": meant.method,
        "target": meant.target,
        "host": meant.host,
        "length": str(len(meant.body)),
    }
    if name == "nginx" or answer.get("x-echo-coded"):
        # nginx has not read the body when it answers; aiohttp has undone its Content-Encoding.
        seen["length"] = wanted["length"]
    if name.startswith("uvicorn"):
        # ASGI has no way to tell `/a?` from `/a`.
        wanted["target"] = wanted["target"].removesuffix("?")
    return None if seen == wanted else f"saw {seen}, meant {wanted}"
