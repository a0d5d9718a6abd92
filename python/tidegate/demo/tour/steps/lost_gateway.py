# SPDX-License-Identifier: Apache-2.0
"""Step: a gateway dies with all its processes, and the load balancer goes on with the other."""

from __future__ import annotations

from tidegate.demo.client import wait_for
from tidegate.demo.running import ConfigFile
from tidegate.demo.topology import Instance
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.traffic import Traffic, sample

LOST = "gateway-2"
LEFT = "gateway-1"


def _instance(tour: Tour) -> Instance:
    return next(instance for instance in tour.running.topology.instances if instance.name == LOST)


def _run(tour: Tour) -> None:
    with Traffic(tour) as traffic:
        traffic.wait_more(20)
        tour.running.instances[LOST].kill()
        mark = tour.evidence.mark()
        traffic.wait_more(100)
    count = len(traffic.answers)
    tour.check(
        not traffic.failed and count >= 120,
        f"{LOST} killed under traffic, supervisor and all: {len(traffic.failed)} of {count} requests failed "
        f"{sample(traffic.failed)}".strip(),
    )
    # A request that the dead gateway had already passed on may be logged just after the mark.
    late = [seen for seen in tour.evidence.since(mark) if seen.gateway != LEFT]
    tour.check(len(late) <= 2, f"since then the services were asked by {LEFT} alone")
    tour.running.add_instance(_instance(tour))
    tour.running.wait_answering(_instance(tour))
    mark = tour.evidence.mark()
    back = wait_for(lambda: _asks_again(tour, mark), 10.0)
    tour.check(back, f"{LOST} started again, and the load balancer uses it again")


def _asks_again(tour: Tour, mark: dict[str, int]) -> bool:
    tour.ask("/cart/1")
    return any(seen.gateway == LOST for seen in tour.evidence.since(mark))


def _restore(tour: Tour) -> None:
    if not tour.running.instances[LOST].is_running:
        tour.running.add_instance(_instance(tour))
    tour.running.wait_answering(_instance(tour))
    wait_for(lambda: tour.ask("/cart/1").status == 200, 10.0)


def _alone(config: ConfigFile) -> None:
    line = next(line for line in config.text.splitlines(keepends=True) if "10.1:7080" in line)
    config.replace(line, "")


STEP = Step(
    name="lost_gateway",
    title="A gateway is lost, and the load balancer goes on with the other",
    run=_run,
    broken="the second gateway: the load balancer knows only the one that is lost",
    edits={"load_balancer.yaml": _alone},
    restore=_restore,
)
