# SPDX-License-Identifier: Apache-2.0
"""What all health checks have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.config.base import Model, refuse
from tidegate.config.types import ByteSize, Duration


class Pace(Model):
    """How often an endpoint is probed, and how many probes settle it."""

    interval: Duration = Duration("5s")
    """From the end of one probe to the start of the next, a twentieth more or less."""
    quick_interval: Duration = Duration("1s")
    """The same while an endpoint is down or in doubt; never longer than `interval`."""
    timeout: Duration = Duration("2s")
    """How long one probe may take in all."""
    healthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 2
    """Probes in a row that must pass before an endpoint is up."""
    unhealthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    """Probes in a row that must fail before an endpoint is down."""


def bounded(within: ByteSize) -> ByteSize:
    """Little enough to be read at every probe."""
    if within > 1 << 20:
        raise refuse("must be at most 1MiB", "rule")
    return within
