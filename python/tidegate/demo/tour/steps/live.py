# SPDX-License-Identifier: Apache-2.0
"""Step: a right configuration is live within two seconds of being saved."""

from __future__ import annotations

import time

from tidegate.demo.client import wait_for
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.traffic import Traffic, sample

SOON = 2.0
"""Seconds from saving the file to the first request served by it."""
ROUTE = "  - { name: paid, path: /paid, to: gateways, rewrite: { prefix: /payments } }\n"


def _run(tour: Tour) -> None:
    config = tour.running.configs["load_balancer.yaml"]
    before = tour.ask("/paid")
    tour.check(before.status == 404, f"/paid is not known yet (status {before.status})")
    mark = tour.evidence.mark()
    with Traffic(tour, ("/orders?user=1", "/cart/1")) as traffic:
        traffic.wait_more(10)
        begin = time.monotonic()
        config.write(config.text + ROUTE)
        is_live = wait_for(lambda: tour.ask("/paid").status == 200, SOON)
        seconds = time.monotonic() - begin
        traffic.wait_more(20)
    tour.check(
        is_live,
        f"a route /paid saved to the load balancer's file is served {seconds:.2f} s later (at most {SOON})",
    )
    reached = tour.evidence.since(mark, "payment-*", "/payments")
    tour.check(bool(reached), f"and {reached[-1].instance if reached else 'no payment instance'} logged it")
    count = len(traffic.answers)
    tour.check(
        not traffic.failed,
        f"{len(traffic.failed)} of {count} other requests failed {sample(traffic.failed)}".strip(),
    )


def _restore(tour: Tour) -> None:
    config = tour.running.configs["load_balancer.yaml"]
    config.write(config.text.replace(ROUTE, ""))


STEP = Step(
    name="live",
    title="A right configuration is live within two seconds, and nothing is lost",
    run=_run,
    broken="the watching of the file",
    is_unwatched_when_broken=True,
    restore=_restore,
)
