# SPDX-License-Identifier: Apache-2.0
"""Runs configurations and counts where the explanation and the live path differ."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate import _engine
from tidegate.config.compile import compile_gateway
from tidegate.testing import gateway
from tidegate.testing.rebind import read, rebind

from .configurations import random_gateway
from .live import Origins, Seen, ask
from .requests import Asked, random_request

_ORIGINS = 4


@dataclass
class Outcome:
    """How a run went."""

    requests: int = 0
    differences: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)


def difference(told: dict[str, Any], seen: Seen) -> str | None:
    """What the explanation got wrong; `None` when it was right."""
    outcome = told["outcome"]
    if outcome != "forward":
        if seen.head is not None:
            return f"told {outcome}, but an origin server was asked"
        if seen.status != told["status"]:
            return f"told status {told['status']}, got {seen.status}"
        if outcome == "redirect" and seen.location != told["location"]:
            return f"told location {told['location']}, got {seen.location}"
        return None
    if seen.head is None:
        return f"told forward, but the answer was {seen.status} from the gateway"
    if seen.endpoint not in [endpoint["address"] for endpoint in told["endpoints"]]:
        return f"endpoint {seen.endpoint} was not among those told"
    upstream = told["upstream"]
    if seen.head[0] != f"{upstream['method']} {upstream['target']} HTTP/1.1":
        return f"told {upstream['method']} {upstream['target']}, sent {seen.head[0]}"
    sent = [line for line in seen.head[1:] if not line.startswith("X-Request-Id: ")]
    headers = [f"{name}: {value}" for name, value in upstream["headers"] if name != "X-Request-Id"]
    if told["endpoint"] is None:
        # Which endpoint's own name `Host` carries depends on the draw.
        sent, headers = _without_host(sent), _without_host(headers)
    return None if sent == headers else f"told {headers}, sent {sent}"


def _without_host(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("Host: ")]


async def run(seed: int, configurations: int, requests: int, *, until_different: bool = False) -> Outcome:
    """Explains `requests` random requests over each of `configurations` gateways, then sends them.

    `until_different` stops after the first gateway that shows a difference.
    """
    draw = random.Random(seed)
    outcome = Outcome()
    async with Origins(_ORIGINS) as origins:
        with gateway(random_gateway(draw, origins.addresses), threads=1) as running:
            for _ in range(configurations):
                configuration = random_gateway(draw, origins.addresses)
                running.reload(configuration)
                asked = [random_request(draw, configuration) for _ in range(requests)]
                told = _explain(running.ports, configuration, asked)
                seen = await ask(running.port, asked)
                for request, one, answer in zip(asked, told, seen, strict=True):
                    outcome.requests += 1
                    outcome.outcomes[one["outcome"]] = outcome.outcomes.get(one["outcome"], 0) + 1
                    if wrong := difference(one, answer):
                        outcome.differences.append(f"{request.wire()!r}: {wrong}")
                if until_different and outcome.differences:
                    break
    return outcome


def _explain(ports: dict[str, int], configuration: Any, asked: list[Asked]) -> list[dict[str, Any]]:
    snapshot = compile_gateway(rebind(read(configuration), ports, Path("/dev/null")), threads=1)
    questions = json.dumps([request.question() for request in asked])
    told: list[dict[str, Any]] = json.loads(_engine.decide(snapshot.delta_json(None), questions))
    return told
