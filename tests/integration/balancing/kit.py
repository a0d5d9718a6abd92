# SPDX-License-Identifier: Apache-2.0
"""A gateway whose endpoints say which one answered, and what many requests came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.integration.settings.kit import ask
from tidegate.testing import FakeEndpoint, RunningGateway, gateway


def placed(
    *endpoints: tuple[FakeEndpoint, str],
    settings: str = "",
    backend: str = "",
    route: str = "",
) -> RunningGateway:
    """A gateway with one backend; each endpoint comes with more of its settings, such as `zone: a`."""
    listed = ", ".join(f'{{ address: "{one.address}", {more} }}' for one, more in endpoints)
    return gateway(
        f"""
gateway: {{ {settings} }}
listeners: {{ web: {{ port: 0, proxy_status: true }} }}
backends: {{ b: {{ balancing: round_robin, endpoints: [{listed}], {backend} }} }}
routes: [{{ name: r, path: /, to: b, {route} }}]
""",
        threads=1,
    )


def asked(running: RunningGateway, times: int, headers: Sequence[str] = ()) -> Counter[int]:
    """The statuses of so many requests."""
    return Counter(ask(running, headers=headers).status for _ in range(times))


def counts(*endpoints: FakeEndpoint) -> list[int]:
    """Requests that each has had."""
    return [len(endpoint.messages) for endpoint in endpoints]


def told(running: RunningGateway) -> dict[str, float]:
    """The share of each endpoint as `explain` tells it."""
    decision = running.explain("GET http://a.test/")
    return {each["address"]: round(each["share"], 4) for each in decision["endpoints"]}
