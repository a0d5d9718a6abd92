# SPDX-License-Identifier: Apache-2.0
"""Step: Python on the request path: a policy, a Lambda-style function, whole ASGI applications."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from tidegate.demo.client import request
from tidegate.demo.running import ConfigFile
from tidegate.demo.topology import TOPOLOGIES, Instance
from tidegate.demo.tour.step import Step, Tour

TOPOLOGY = TOPOLOGIES["function"]
INSTANCE: Instance = replace(TOPOLOGY.instances[0], address="127.0.30.1:7080", inside="")
LISTENERS = re.compile(r"(?<=^listeners:\n)(  .*\n)+", re.MULTILINE)
POLICY = "    policies: [{ type: python, function: partners_only }]\n"
PRICES = "/partners/products"


def _run(tour: Tour) -> None:
    running = tour.running
    config = running.lay_out(TOPOLOGY, INSTANCE.file)
    # One plain listener of its own: the shop has its ports already.
    host, _, port = running.address(INSTANCE).rpartition(":")
    config.write(LISTENERS.sub(f"  public: {{ address: {host}, port: {port} }}\n", config.text))
    running.add_instance(INSTANCE)
    running.wait_answering(INSTANCE)
    _policy(tour)
    _function(tour)


def _policy(tour: Tour) -> None:
    address = tour.running.address(INSTANCE)
    mark = tour.evidence.mark()
    refused = tour.ask(PRICES, address=address)
    tour.check(refused.status == 403, f"a Python policy refuses who is no partner (status {refused.status})")
    reached = tour.evidence.since(mark, INSTANCE.name, "/cart/products")
    tour.check(not reached, f"and the cart application logged {len(reached)} requests")
    allowed = tour.ask(PRICES, fields={"x-partner": "harbour-42"}, address=address)
    tour.check(allowed.status == 200, f"a partner gets the prices (status {allowed.status})")
    reached = tour.evidence.since(mark, INSTANCE.name, "/cart/products")
    tiers = [seen.fields.get("x-tier") for seen in reached]
    tour.check(tiers == ["gold"], f"the application's log says the tier that the policy wrote: {tiers}")
    tier = allowed.fields.get("x-partner-tier", "")
    tour.check(
        tier == "gold", f"and the response what the policy put on it on the way back: {tier or 'nothing'}"
    )


def _function(tour: Tour) -> None:
    name = f"Jonas {time.time_ns() % 1_000_000:06d}"
    answer = tour.ask("/users/2", form={"name": name}, address=tour.running.address(INSTANCE))
    tour.check(
        answer.status == 200, f"a function with Lambda's contract takes a new name (status {answer.status})"
    )
    rows = tour.evidence.rows("user", "SELECT name, updated_by FROM users WHERE id = 2")
    tour.check(rows == [(name, INSTANCE.name)], f"the user database says {rows}")
    service = next(service for service in tour.running.topology.services if service.kind == "user")
    shown = request(tour.running.address(service), "/users/2").json
    is_same = isinstance(shown, dict) and shown.get("user", {}).get("name") == name
    tour.check(is_same, f"and {service.name}, asked itself, says the same")


def _restore(tour: Tour) -> None:
    if INSTANCE.name in tour.running.instances:
        tour.running.instances[INSTANCE.name].stop(6.0)


def _without_policy(config: ConfigFile) -> None:
    config.replace(POLICY, "")


STEP = Step(
    name="functions",
    title="Python on the request path: a policy, a function and whole applications",
    run=_run,
    broken="the policy: the route does without it",
    edits={"functions.yaml": _without_policy},
    restore=_restore,
)
