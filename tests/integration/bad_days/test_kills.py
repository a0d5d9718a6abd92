# SPDX-License-Identifier: Apache-2.0
"""Processes killed under load: nothing is refused, and only what a killed node had in hand is lost.

`TIDEGATE_KILLS` says how often each is killed: 3 without it, 50 for the figure in the issue.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

from .load import Bench, Load, Origin, Shot
from .site import Death, Site, kill

KILLS = int(os.environ.get("TIDEGATE_KILLS", "3"))
RATE = 200
WORKERS = 4
FUNCTION = """
import asyncio

async def slow(request):
    await asyncio.sleep(0.025)
    return request.path
"""


def configuration(port: int, origin: Origin) -> dict[str, Any]:
    return {
        "gateway": {"graceful_stop": "10s"},
        # All clients have one address here, and a machine that stalls gathers many connections.
        "listeners": {
            "web": {
                "address": "127.0.0.1",
                "port": port,
                "limits": {"connections": 100_000, "connections_per_address": 100_000},
            }
        },
        "routes": [{"path": "/", "to": f"http://{origin.address}"}],
    }


@contextmanager
def serving(folder: Path, bench: Bench, **more: Any) -> Iterator[tuple[Site, Load]]:
    """A gateway before an origin that takes 25 ms, and load on it that has begun."""
    origin, port = Origin(bench, after=0.025), free_port()
    with Site(folder, configuration(port, origin) | more) as site:
        load = Load(bench, port, RATE)
        try:
            load.wait_more(50)
            yield site, load
        finally:
            load.stop()
            origin.close()


def rounds(load: Load, murder: Callable[[], Death], between: int = RATE) -> list[Death]:
    """Kills, waits until connections of later are served, and for `between` more; again."""
    deaths = []
    for _ in range(KILLS):
        death = murder()
        load.wait_served_after(death.gone)
        load.wait_more(between)
        deaths.append(death)
    return deaths


def judge(role: str, shots: list[Shot], deaths: list[Death], report: str, *, loses: bool) -> None:
    """Nothing refused; lost, at most what was in flight when a node was killed."""
    bad = [shot for shot in shots if shot.outcome != "ok"]
    in_flight = [sum(shot.was_open(death.killed, death.gone) for shot in shots) for death in deaths]
    print(
        f"{role} killed {len(deaths)} times at {RATE}/s: {report}; in flight at the kills: {sum(in_flight)}"
    )
    # A node's client sees its connection end, a function's client is told.
    assert {shot.outcome for shot in bad} <= {"cut", "status 502"}, report
    if not loses:
        assert not bad, report
    for shot in bad:
        assert any(shot.was_open(death.killed, death.gone) for death in deaths), (shot, report)
    for death, most in zip(deaths, in_flight, strict=True):
        lost = [shot for shot in bad if shot.was_open(death.killed, death.gone)]
        assert len(lost) <= most, (len(lost), most)


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_killed_node_loses_what_it_had_in_hand_and_nothing_else(tmp_path: Path, bench: Bench):
    with serving(tmp_path, bench) as (site, load):
        deaths = rounds(load, lambda: kill(site.pid("node")))
        judge("node", load.stop(), deaths, load.report(), loses=True)


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_killed_control_loses_nothing(tmp_path: Path, bench: Bench):
    with serving(tmp_path, bench) as (site, load):
        deaths = rounds(load, lambda: kill(site.pid("control")))
        judge("control", load.stop(), deaths, load.report(), loses=False)


@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_killed_supervisor_loses_nothing(tmp_path: Path, bench: Bench):
    with serving(tmp_path, bench) as (site, load):
        node = site.pid("node")
        deaths = rounds(load, site.replace_supervisor)
        judge("supervisor", load.stop(), deaths, load.report(), loses=False)
        assert site.pid("node") == node


@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_killed_function_worker_loses_its_own_calls_and_nothing_else(tmp_path: Path, bench: Bench):
    code = tmp_path / "code"
    code.mkdir()
    (code / "functions.py").write_text(FUNCTION)
    functions = {"slow": {"handler": "functions:slow", "path": str(code), "workers": WORKERS}}
    origin, port = Origin(bench, after=0.025), free_port()
    base = configuration(port, origin)
    routes = [{"path": "/slow", "to": {"function": "slow"}}, *base["routes"]]
    with Site(tmp_path, base | {"functions": functions, "routes": routes}) as site:
        beside = Load(bench, port, RATE / 4)
        load = Load(bench, port, RATE, prefix="/slow")
        try:
            load.wait_more(50)
            # In turn and with time to live: one that dies within 10 s again and again is restarted less
            # and less often, on purpose.
            turns = itertools.cycle(range(WORKERS))
            between = RATE if KILLS <= WORKERS else RATE * 12 // WORKERS
            deaths = rounds(load, lambda: kill(site.pid(f"worker:slow:{next(turns)}")), between)
        finally:
            load.stop(), beside.stop()
            origin.close()
        judge("function worker", load.shots, deaths, load.report(), loses=True)
        assert {shot.outcome for shot in beside.shots} == {"ok"}, beside.report()
