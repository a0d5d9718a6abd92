# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import time

from .compare import run

_CONFIGURATIONS = int(os.environ.get("TIDEGATE_EXPLAIN_CONFIGURATIONS", "200"))
_REQUESTS = 500


def test_what_explain_tells_is_what_the_origin_server_sees() -> None:
    seed = int(os.environ.get("TIDEGATE_SEED", str(time.time_ns())))
    print(f"TIDEGATE_SEED={seed}")
    outcome = asyncio.run(run(seed, _CONFIGURATIONS, _REQUESTS))
    print(outcome.requests, outcome.outcomes)
    assert outcome.requests == _CONFIGURATIONS * _REQUESTS
    assert outcome.differences[:5] == []
    # A run in which nothing is forwarded, answered or refused would prove nothing of that kind.
    assert {"forward", "respond", "redirect", "reject", "not_found"} <= set(outcome.outcomes)
