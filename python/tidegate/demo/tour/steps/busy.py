# SPDX-License-Identifier: Apache-2.0
"""Step: an instance that is busy is not given more work, by any thread of a gateway."""

from __future__ import annotations

from collections import Counter

from tidegate.demo.client import Pending, request
from tidegate.demo.running import ConfigFile
from tidegate.demo.topology import Service
from tidegate.demo.tour.evidence import Seen
from tidegate.demo.tour.held import is_held
from tidegate.demo.tour.step import Step, Tour

CONNECTIONS = 200
ALLOWED = 2
"""Requests that each gateway may send to the busy instance: the one that finds it idle, and one more
that two threads decided at the same moment."""
BUSY = "payment-1"


def _service(tour: Tour) -> Service:
    return next(service for service in tour.running.topology.services if service.name == BUSY)


def _run(tour: Tour) -> None:
    running = tour.running
    held = request(running.address(_service(tour)), "/control/hold", form={})
    tour.check(held.status == 200, f"{BUSY} is held: it takes payments and answers none")
    mark = tour.evidence.mark()
    waiting: list[Pending] = []
    answered = 0
    for _ in range(CONNECTIONS):
        pending = tour.send("/payments")
        if is_held(tour, pending, BUSY, mark, len(waiting)):
            waiting.append(pending)
            if max(_by_gateway(tour, mark).values()) > ALLOWED:
                break
        else:
            answered += pending.finish()[0] == 200
    counts = _by_gateway(tour, mark)
    asked = answered + len(waiting)
    shown = ", ".join(f"{count} from {gateway}" for gateway, count in sorted(counts.items())) or "none"
    # None at all would say nothing of the balancing: it would not have been asked, busy or not.
    tour.check(
        1 <= max(counts.values(), default=0) <= ALLOWED,
        f"of {asked} new connections one after the other, {BUSY} was given {shown} "
        f"(1 to {ALLOWED} by a gateway of 4 threads)",
    )
    tour.check(
        asked == CONNECTIONS, f"{answered} were answered by others in the meantime, {len(waiting)} waited"
    )
    others = {seen.instance for seen in tour.evidence.since(mark, "payment-*", "/payments")} - {BUSY}
    tour.check(len(others) == 3, f"all three other instances took part: {', '.join(sorted(others))}")
    request(running.address(_service(tour)), "/control/release", form={})
    late = [pending.finish()[0] for pending in waiting]
    tour.check(
        all(status == 200 for status in late), f"released, it answered the {len(late)} that had waited"
    )


def _by_gateway(tour: Tour, mark: dict[str, int]) -> Counter[str]:
    seen: list[Seen] = tour.evidence.since(mark, BUSY, "/payments")
    return Counter(one.gateway or "nobody" for one in seen)


def _restore(tour: Tour) -> None:
    request(tour.running.address(_service(tour)), "/control/release", form={})


def _in_turn(config: ConfigFile) -> None:
    config.replace("balancing: least_request", "balancing: round_robin")


STEP = Step(
    name="busy",
    title="An instance that is busy is given no more work: payment-1 is held, 200 new connections come",
    run=_run,
    broken="the balancing by load: payments go to each instance in turn",
    edits={"gateway.yaml": _in_turn},
    restore=_restore,
)
