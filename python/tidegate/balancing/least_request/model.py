# SPDX-License-Identifier: Apache-2.0
"""Settings of `least_request`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.config.base import Model


class LeastRequest(Model):
    """Each request goes to the least busy of a few endpoints drawn at random."""

    type: Literal["least_request"] = "least_request"
    """The room."""
    choices: Annotated[int, Field(ge=2, le=8, strict=True)] = 2
    """Endpoints compared per request. More spreads load better and costs more."""
