# SPDX-License-Identifier: Apache-2.0
"""What a step of the tour is and what it works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from tidegate.demo.client import Answer, Ledger, Pending, request
from tidegate.demo.running import Edit, Running
from tidegate.demo.screen import Screen
from tidegate.demo.tour.evidence import Evidence


class StepError(Exception):
    """A check was not as it should be; the text is the check."""


@dataclass(frozen=True)
class Check:
    """Something that a step looked at."""

    is_true: bool
    text: str
    seconds: float
    """Since the step began."""


@dataclass
class Tour:
    """What a step is given: a running chain, and what its services wrote down."""

    running: Running
    screen: Screen
    evidence: Evidence
    ledger: Ledger
    """What customers were answered, in this step and those before."""
    is_broken: bool
    """Whether this step runs with its feature switched off."""
    checks: list[Check] = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)
    opened: ExitStack = field(default_factory=ExitStack)
    """What is closed when the step ends, however it does."""

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        patience: float = 10.0,
        address: str = "",
    ) -> Answer:
        """Asks as a customer does, over HTTPS, or the gateway at `address` without TLS; see `request`."""
        if address:
            return request(address, path, form, fields, patience, self.ledger)
        return self.running.request(path, form, fields, patience, self.ledger)

    def send(self, path: str) -> Pending:
        """A GET through the load balancer whose answer nobody reads yet."""
        running = self.running
        pending = Pending(running.entry, path, patience=20.0, ledger=self.ledger, trust=running.trust)
        self.opened.callback(pending.close)
        return pending

    def check(self, is_true: bool, text: str) -> None:
        """Records what was looked at.

        Raises:
            StepError: It was not so; the rest of the step makes no sense then.
        """
        self.checks.append(Check(is_true, text, time.monotonic() - self.begin))
        self.screen.check(is_true, text)
        if not is_true:
            raise StepError(text)


def _nothing(tour: Tour) -> None:
    pass


@dataclass(frozen=True)
class Step:
    """One step: data, and the function that does it."""

    name: str
    """For `--break`."""
    title: str
    """What is shown, as a sentence."""
    run: Callable[[Tour], None]
    """Does it, calling `check` on the way."""
    broken: str
    """What `--break` switches off."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """By file name, how `--break` changes a configuration before everything starts."""
    is_unwatched_when_broken: bool = False
    """Whether `--break` starts the load balancer without `--watch`."""
    restore: Callable[[Tour], None] = _nothing
    """Puts everything back for the next step, however this one ended."""
