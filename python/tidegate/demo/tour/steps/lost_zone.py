# SPDX-License-Identifier: Apache-2.0
"""Step: a zone goes away, first with a bang and then in silence, and the shop goes on."""

from __future__ import annotations

import re
import signal
import time

from tidegate.demo.client import wait_for
from tidegate.demo.process import Process, kill_all
from tidegate.demo.running import ConfigFile
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.traffic import SAFE_PATHS, Traffic, sample

ZONE = "az-2"
OTHER = "az-1"
PATIENCE = 0.8
"""Seconds within which a customer calls the shop quick."""
QUICK_IN_A_ROW = 30
NOTICE = 6.0
"""Seconds to notice a silent zone: two checks of 0.5 s each, half a second apart, and room to spare."""


def _processes(tour: Tour) -> list[Process]:
    names = [service.name for service in tour.running.topology.services if service.zone == ZONE]
    return [tour.running.services[name] for name in names]


def _run(tour: Tour) -> None:
    _killed(tour)
    _started_again(tour)
    _silent(tour)


def _killed(tour: Tour) -> None:
    with Traffic(tour) as traffic:
        traffic.wait_more(20)
        kill_all(_processes(tour))
        mark = tour.evidence.mark()
        traffic.wait_more(100)
    count = len(traffic.answers)
    tour.check(
        not traffic.failed and count >= 120,
        f"{len(_processes(tour))} instances in {ZONE} killed under traffic: {len(traffic.failed)} of {count} "
        f"requests failed {sample(traffic.failed)}".strip(),
    )
    zones = {seen.zone for seen in tour.evidence.since(mark)}
    tour.check(
        zones == {OTHER},
        f"since then, only services in {', '.join(sorted(zones)) or 'no zone'} logged requests",
    )


def _started_again(tour: Tour) -> None:
    services = [service for service in tour.running.topology.services if service.zone == ZONE]
    for service in services:
        tour.running.add_service(service)
    for service in services:
        tour.running.wait_answering(service)
    back = wait_for(lambda: tour.ask("/cart/1").zone == ZONE, 10.0)
    tour.check(back, f"{ZONE} started again, and it is given requests again")


def _silent(tour: Tour) -> None:
    begin = time.monotonic()
    for process in _processes(tour):
        process.signal(signal.SIGSTOP)
    end = begin + NOTICE
    quick = slow = 0
    while quick < QUICK_IN_A_ROW and time.monotonic() < end:
        path = SAFE_PATHS[(quick + slow) % len(SAFE_PATHS)]
        answer = tour.ask(path, patience=PATIENCE)
        if answer.status == 200:
            quick += 1
        else:
            quick, slow = 0, slow + 1
    seconds = time.monotonic() - begin
    tour.check(
        quick >= QUICK_IN_A_ROW,
        f"{ZONE} silent, as if unplugged: {slow} requests waited for it, then {quick} in a row were answered "
        f"at once, {seconds:.1f} s after ({QUICK_IN_A_ROW} within {NOTICE:.0f} s wanted)",
    )


def _restore(tour: Tour) -> None:
    for process in _processes(tour):
        process.signal(signal.SIGCONT)
    for service in tour.running.topology.services:
        if service.zone == ZONE:
            if not tour.running.services[service.name].is_running:
                tour.running.add_service(service)
            tour.running.wait_answering(service)


def _blind(config: ConfigFile) -> None:
    lines = re.sub(r"    health_check: .*\n", "", config.text)
    config.write(re.sub(r"passive_health: .*", "passive_health: { enabled: false }", lines))


STEP = Step(
    name="lost_zone",
    title="A zone is lost: killed first, then silent, and requests go on",
    run=_run,
    broken="the gateways' health checks",
    edits={"gateway.yaml": _blind},
    restore=_restore,
)
