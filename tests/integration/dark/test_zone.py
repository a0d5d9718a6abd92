# SPDX-License-Identifier: Apache-2.0
"""A zone dies under load: only what could not be sent again is lost, and the other zone is not drowned.

`TIDEGATE_ZONE_SECONDS=60` runs each case for so long at more than 2,000 requests a second; without it for a
few seconds at a rate that any machine takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bad_days.site import Site
from tests.ports import free_port
from tidegate.testing import wait_until

from .judge import AFTER, BEFORE, RATE, SECONDS, Case, Death
from .ledger import POST_EVERY, Ledger
from .zones import Zone, behind_a_link, now, on_loopback, why_no_network

# In the short form a machine that is busy with other tests must not look like a dead one.
FIRST_BYTE_MS = 1_000 if SECONDS else 2_000
CHECK_MS = 500 if SECONDS else 2_000
TIMEOUT = 60 + 2 * SECONDS


def budget_for_a_zone() -> int:
    """Retries that the loss of one of two zones asks for, within the ten seconds of the budget.

    Everything that can be sent again and is sent there from its death until the first try's time is up, and
    for as long again: the machine may be slow.
    """
    repeatable = RATE * (POST_EVERY - 1) / POST_EVERY / 2
    return math.ceil(repeatable * 2 * FIRST_BYTE_MS / 1000)


def configuration(port: int, zones: list[Zone]) -> dict[str, Any]:
    """What docs/guides/zones.md says for a zone that goes dark, with shorter times."""
    endpoints = [{"address": address, "zone": zone.name} for zone in zones for address in zone.addresses]
    return {
        "listeners": {
            "web": {
                "address": "127.0.0.1",
                "port": port,
                # All clients have one address here.
                "limits": {"connections": 20_000, "connections_per_address": 20_000},
            }
        },
        "backends": {
            "app": {
                "endpoints": endpoints,
                "timeouts": {"connect": "500ms", "first_byte": f"{FIRST_BYTE_MS}ms"},
                "health_check": {
                    "type": "http",
                    "path": "/healthz",
                    "interval": "500ms",
                    "timeout": f"{CHECK_MS}ms",
                    "unhealthy_after": 2,
                },
                "retry_budget": {"percent": 10, "floor_per_second": math.ceil(budget_for_a_zone() / 10)},
            }
        },
        "routes": [{"path": "/", "to": "app", "retries": {"attempts": 2}}],
    }


def run(folder: Path, name: str, dying: Zone, well: Zone, die: Callable[[], None]) -> None:
    """The load, the death in it, and the judgement."""
    port = free_port()
    folder.mkdir()
    with Site(folder, configuration(port, [dying, well])) as site:

        def endpoints() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = site.call("status")["backends"][0]["endpoints"]
            return found

        def is_known() -> bool:
            there = [each for each in endpoints() if each["zone"] == dying.name]
            return all(each["health"] in ("down", "excluded") for each in there)

        ledger = Ledger(port, RATE)
        with ledger:
            ledger.wait_for(BEFORE)
            begun = now()
            die()
            done = now()
            assert wait_until(is_known, 30), site.call("status")["backends"]
            death = Death(begun, done, now())
            ledger.wait_for(AFTER)
            entries = ledger.stop()
        sends = sum(each["requests"] for each in endpoints())
        elsewhere = well.seen()
        reached = dying.seen() + elsewhere
        Case(name, entries, death, reached, elsewhere, sends, budget_for_a_zone()).judge()


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_zone_whose_services_die_loses_what_it_had_and_nothing_else(tmp_path: Path, how: str) -> None:
    dying, well = on_loopback(tmp_path, "a"), on_loopback(tmp_path, "b")
    try:
        run(tmp_path / "site", f"zone, {how}", dying, well, getattr(dying, how))
    finally:
        dying.end()
        well.end()


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.needs("ip", "unshare", "nsenter")
def test_a_zone_that_is_cut_off_loses_what_it_had_and_nothing_else(tmp_path: Path) -> None:
    if why := why_no_network():
        pytest.skip(why)
    with behind_a_link(tmp_path, "a") as (dying, network), behind_a_link(tmp_path, "b") as (well, _):
        run(tmp_path / "site", "zone, link down", dying, well, network.cut)
