# SPDX-License-Identifier: Apache-2.0
"""Runs the steps one after the other on one running chain."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.demo.client import Ledger
from tidegate.demo.running import TIDEGATE, DemoError, Running
from tidegate.demo.screen import Screen
from tidegate.demo.topology import TOPOLOGIES
from tidegate.demo.tour.evidence import Evidence
from tidegate.demo.tour.step import Check, Step, StepError, Tour
from tidegate.demo.tour.steps import STEPS


@dataclass
class Outcome:
    """How one step went."""

    name: str
    title: str
    is_green: bool
    seconds: float
    checks: list[Check]
    failure: str = ""


@dataclass
class Result:
    """How the tour went."""

    broken: str
    """The step whose feature was switched off; "" for none."""
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        """Whether every step was as it should be."""
        return all(outcome.is_green for outcome in self.outcomes)

    def as_json(self) -> dict[str, object]:
        """`{"green", "broken", "steps": [{"name", "title", "green", "seconds", "failure", "checks"}]}`."""
        steps = [
            {
                "name": outcome.name,
                "title": outcome.title,
                "green": outcome.is_green,
                "seconds": round(outcome.seconds, 3),
                "failure": outcome.failure,
                "checks": [
                    {"ok": check.is_true, "what": check.text, "at": round(check.seconds, 3)}
                    for check in outcome.checks
                ],
            }
            for outcome in self.outcomes
        ]
        return {"green": self.is_green, "broken": self.broken, "steps": steps}


def run_tour(
    port: int, broken: str, screen: Screen, command: Sequence[str] = TIDEGATE, only: Sequence[str] = ()
) -> Result:
    """Starts the chain, walks through the steps and ends everything.

    Args:
        port: For the load balancer; 0 takes any.
        broken: The name of the step to switch off, or "".
        screen: Where progress goes.
        command: How tidegate is called.
        only: Names of the steps to run; all without it.

    Raises:
        DemoError: The chain did not start.
        NoPlaceError: The port is taken.
    """
    off = next((step for step in STEPS if step.name == broken), None)
    # The gateways are told when to read their files again, the load balancer follows its own: the
    # tour shows both ways.
    watched = () if off is not None and off.is_unwatched_when_broken else ("load-balancer",)
    edits = off.edits if off is not None else {}
    result = Result(broken)
    chain = TOPOLOGIES["chain"]
    count = len(chain.services)
    screen.title(
        f"Starting the shop: load balancer -> two gateways -> {count} service instances in two zones"
    )
    ledger = Ledger()
    with Running(chain, port, watched, edits, command) as running:
        if off is not None:
            screen.line(f"Switched off: {off.broken}")
        steps = [step for step in STEPS if not only or step.name in only]
        for step in steps:
            result.outcomes.append(_run(step, running, screen, ledger, step is off))
    _sum_up(result, screen)
    return result


def _run(step: Step, running: Running, screen: Screen, ledger: Ledger, is_broken: bool) -> Outcome:
    number = STEPS.index(step) + 1
    screen.line()
    screen.title(f"{number}. {step.title}")
    tour = Tour(running, screen, Evidence(running.logs, running.data), ledger, is_broken)
    begin = time.monotonic()
    failure = ""
    try:
        step.run(tour)
    except (StepError, DemoError) as error:
        failure = str(error)
        if isinstance(error, DemoError):
            screen.check(False, failure)
    try:
        tour.opened.close()
        step.restore(tour)
    except DemoError as error:
        failure = failure or f"afterwards: {error}"
        screen.check(False, str(error))
    seconds = time.monotonic() - begin
    return Outcome(step.name, step.title, not failure, seconds, tour.checks, failure)


def _sum_up(result: Result, screen: Screen) -> None:
    screen.line()
    green = sum(outcome.is_green for outcome in result.outcomes)
    seconds = sum(outcome.seconds for outcome in result.outcomes)
    text = f"{green} of {len(result.outcomes)} steps as they should be, in {seconds:.1f} s"
    screen.line(screen.paint(text, "green" if result.is_green else "red"))
    for outcome in result.outcomes:
        if not outcome.is_green:
            screen.line(f"  {outcome.name}: {outcome.failure}")
