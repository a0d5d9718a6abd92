# SPDX-License-Identifier: Apache-2.0
"""Step: nothing that customers were answered in the whole tour says where services are, or what they are."""

from __future__ import annotations

from tidegate.demo.client import request
from tidegate.demo.running import ConfigFile
from tidegate.demo.tour.leaks import FORBIDDEN_FIELDS, leaks
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.steps.instance import NEW

PATHS = (
    "/",
    "/users/1",
    "/users/none",
    "/orders?user=1",
    "/payments",
    "/cart/1",
    "/cart/none",
    "/nothing",
    "/assets/x",
)
"""What works and what does not, at each service: errors are answers as well."""


def _run(tour: Tour) -> None:
    running = tour.running
    services = [*running.topology.services, NEW]
    itself = request(running.address(services[0]), "/healthz").fields.get("server", "")
    tour.check(
        running.address(services[0]) in itself,
        f"{services[0].name}, asked itself, says where it is: `Server: {itself}`",
    )
    for path in PATHS:
        tour.ask(path)
        tour.ask(path, fields={"accept": "text/html"})
    inner = [each for each in running.topology.instances if running.address(each) != running.entry]
    hidden = [*map(running.address, services), *map(running.address, inner), running.inside]
    found = leaks(tour.ledger, hidden)
    count = len(tour.ledger.answers)
    tour.check(
        not found,
        f"of {count} answers that customers got, heads and bodies, {len(found)} name an address or port of "
        f"{len(hidden)} servers, or have one of {', '.join(FORBIDDEN_FIELDS)} {_sample(found)}".strip(),
    )


def _sample(found: list[str]) -> str:
    return "; ".join(found[:3])


def _talkative(config: ConfigFile) -> None:
    config.replace("  user:\n    endpoints:", "  user:\n    pass_server: true\n    endpoints:")


def _talkative_balancer(config: ConfigFile) -> None:
    config.replace("    passive_health:", "    pass_server: true\n    passive_health:")


STEP = Step(
    name="hidden",
    title="No answer of the whole tour says where a service is or what it runs on",
    run=_run,
    broken="the hiding of `Server` at the load balancer, and at the gateways for the user service",
    edits={"gateway.yaml": _talkative, "load_balancer.yaml": _talkative_balancer},
)
