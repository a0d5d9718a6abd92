# SPDX-License-Identifier: Apache-2.0
"""Requests that an instance keeps waiting, on purpose."""

from __future__ import annotations

import time

from tidegate.demo.client import Pending
from tidegate.demo.running import DemoError
from tidegate.demo.tour.step import Tour

PATIENCE = 20.0


def is_held(tour: Tour, pending: Pending, instance: str, mark: dict[str, int], known: int) -> bool:
    """Waits until a request is either answered or in the log of the instance that holds its payments.

    Args:
        tour: Whose logs.
        pending: The request, just sent.
        instance: Which instance holds.
        mark: From before the first request.
        known: How many of the requests before are held already.

    Raises:
        DemoError: Neither happened: the request is lost on its way.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if pending.is_answered(0.01):
            return False
        if len(tour.evidence.since(mark, instance, "/payments")) > known:
            return True
    raise DemoError(f"a request was neither answered nor logged by {instance} in {PATIENCE:.0f} s")
