# SPDX-License-Identifier: Apache-2.0
"""A gateway dies in the chain of the topologies, as the files say, under load.

`TIDEGATE_ZONE_SECONDS` as in `test_zone.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.bad_days.site import Site
from tidegate.demo import files
from tidegate.demo.places import Places
from tidegate.demo.topology import SERVICE_PORT, TOPOLOGIES
from tidegate.testing import wait_until

from .judge import AFTER, BEFORE, RATE, SECONDS, Case, Death
from .ledger import Ledger
from .zones import Zone, now

CHAIN = TOPOLOGIES["chain"]
# The pages of the shop and its payments: a safe method and one that is not.
GET, POST = "/g/", "/payments/"


def site_of(folder: Path, places: Places, number: int) -> Site:
    """The instance of the chain with this number, as its file says, with a log of its requests."""
    instance = CHAIN.instances[number]
    text = (files.root() / "topologies" / CHAIN.name / instance.file).read_text("utf-8")
    for name, value in instance.environment.items():
        text = text.replace(f"${{env:{name}}}", value)
    configuration: dict[str, Any] = yaml.safe_load(places.move(text))
    if instance.inside:
        # The load comes without TLS, as the services do; nobody asks for the stock.
        configuration["listeners"] = {"inside": {"address": "127.0.0.1", "port": places.port}}
        configuration["routes"] = [{**configuration["routes"][0], "listeners": ["inside"]}]
        del configuration["backends"]["stock"]
    own = folder / instance.name
    own.mkdir()
    configuration["gateway"]["access_log"] = {"path": str(own / "access.log")}
    for listener in configuration["listeners"].values():
        # All clients have one address here.
        listener["limits"] = {"connections": 20_000, "connections_per_address": 20_000}
    if not SECONDS:
        # In the short form a machine that is busy with other tests must not look like a dead one.
        for backend in configuration["backends"].values():
            backend["health_check"]["timeout"] = "5s"
    return Site(own, configuration)


def answered(site: Site) -> Counter[int]:
    """The requests of the load that an instance has logged."""
    # The last line may be half written.
    written = (site.file.parent / "access.log").read_text().split("\n")[:-1]
    paths = (json.loads(line)["path"] for line in written)
    return Counter(int(path.rpartition("/")[2]) for path in paths if path.startswith((GET, POST)))


def die(site: Site) -> None:
    """Kills all processes of an instance, as when its machine goes."""
    assert site.process is not None
    roles = [site.pid("node"), site.pid("control")]
    # The supervisor first: it would replace the others.
    for pid in [site.process.pid, *roles]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    site.process.wait()


@pytest.mark.timeout(90 + 2 * SECONDS)
def test_a_gateway_that_dies_in_the_chain_loses_what_it_had_and_nothing_else(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        places = Places(0)
        stack.callback(places.close)
        addresses = [places.move(f"{one.address}:{SERVICE_PORT}") for one in CHAIN.services]
        services = Zone(tmp_path, "services", [addresses])
        stack.callback(services.end)
        balancer, dying, well = (site_of(tmp_path, places, number) for number in range(3))
        stack.enter_context(well)
        dying.start()
        stack.callback(dying.stop)
        stack.enter_context(balancer)

        def gateways() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = balancer.call("status")["backends"][0]["endpoints"]
            return found

        gone = places.move(CHAIN.instances[1].address)

        def is_known() -> bool:
            return all(
                each["health"] in ("down", "excluded") for each in gateways() if each["address"] == gone
            )

        ledger = stack.enter_context(Ledger(places.port, RATE, get=GET, post=POST))
        ledger.wait_for(BEFORE)
        begun = now()
        die(dying)
        done = now()
        assert wait_until(is_known), gateways()
        death = Death(begun, done, now())
        ledger.wait_for(AFTER)
        entries = ledger.stop()
        reached = services.seen()
        sends = max(sum(each["requests"] for each in gateways()), sum(reached.values()))
        # Of what was in flight there, four of five can be sent again: the budget's floor is 100.
        budget = max(100, len(entries) * 20 // 100)
        # A log is a little behind.
        there = sum(each["requests"] for each in gateways() if each["address"] != gone)
        assert wait_until(lambda: sum(answered(well).values()) >= there), well.output()
        Case("gateway of the chain, kill", entries, death, reached, answered(well), sends, budget).judge()
