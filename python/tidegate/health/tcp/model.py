# SPDX-License-Identifier: Apache-2.0
"""Settings of `tcp`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.config.base import Model
from tidegate.config.types import Duration


class TcpCheck(Model):
    """An endpoint is well if it accepts a connection."""

    type: Literal["tcp"] = "tcp"
    """The room."""
    interval: Duration = Duration("5s")
    """From the end of one probe to the start of the next."""
    timeout: Duration = Duration("2s")
    """How long one probe may take in all."""
    healthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 2
    """Probes in a row that must pass before an endpoint is up."""
    unhealthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    """Probes in a row that must fail before an endpoint is down."""
