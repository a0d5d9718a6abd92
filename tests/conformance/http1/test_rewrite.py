# SPDX-License-Identifier: Apache-2.0
"""Row 25 as a property: what a rewrite makes of a path is canonical, and obeys the rules of a path again."""

from __future__ import annotations

import json
import os
import random

import pytest

from tests.conformance.http1 import oracle, requests
from tidegate.config.compile import compile_gateway
from tidegate.config.load import loads

_engine = pytest.importorskip("tidegate._engine")

SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().getrandbits(32))
COUNT = 3000
PIECES = [*requests.PIECES, "/..", "%2e%2e", "/..;x", "%5c", "/;x", "%2F.."]
_CONFIGURATION = """
listeners: { web: { port: 8080 } }
backends: { origin: { endpoints: [{ address: "127.0.0.1:1" }] } }
routes:
  - { path: /strip, rewrite: { prefix: / }, to: origin }
  - { path: /swap, rewrite: { prefix: /other/ }, to: origin }
"""


def expected(prefix: str, replacement: str, path: str) -> str | None:
    """The path an endpoint must see; None where the request must be refused or takes no route."""
    try:
        canonical = oracle.canonical_path(prefix + path)
        if canonical != prefix and not canonical.startswith(prefix + "/"):
            return None
        rest = canonical.removeprefix(prefix).removeprefix("/")
        return oracle.canonical_path(
            replacement.removesuffix("/") + "/" + rest if rest or replacement == "/" else replacement
        )
    except oracle.Refused:
        return None


def test_a_rewritten_path_is_canonical_again():
    draw, wrong, forwarded = random.Random(SEED), list[str](), 0
    delta = compile_gateway(loads(_CONFIGURATION).gateway, threads=1).delta_json(None)
    for _ in range(COUNT):
        prefix, replacement = draw.choice([("/strip", "/"), ("/swap", "/other/")])
        path = "/" + "".join(draw.choice(PIECES) for _ in range(draw.randrange(8)))
        question = {"method": "GET", "url": f"http://a.test{prefix}{path}", "headers": []}
        told = json.loads(_engine.decide(delta, json.dumps(question)))
        got = told["upstream"]["target"] if told["outcome"] == "forward" else None
        want = expected(prefix, replacement, path)
        forwarded += got is not None
        if got != want:
            wrong.append(f"{prefix}{path} -> {got}, expected {want} ({told.get('detail')})")
    assert not wrong, f"seed {SEED}: {len(wrong)}:\n" + "\n".join(wrong[:20])
    assert forwarded > COUNT / 4
