# SPDX-License-Identifier: Apache-2.0
"""The steps in their order; each stands in a file of its own."""

from tidegate.demo.tour.step import Step
from tidegate.demo.tour.steps import (
    busy,
    functions,
    hidden,
    instance,
    live,
    lost_gateway,
    lost_zone,
    profile,
    protocols,
    refused,
)

STEPS: tuple[Step, ...] = (
    profile.STEP,
    protocols.STEP,
    busy.STEP,
    lost_zone.STEP,
    lost_gateway.STEP,
    instance.STEP,
    refused.STEP,
    live.STEP,
    functions.STEP,
    hidden.STEP,
)

__all__ = ["STEPS"]
