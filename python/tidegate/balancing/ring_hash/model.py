# SPDX-License-Identifier: Apache-2.0
"""Settings of `ring_hash`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tidegate.config.base import Model


class RingHash(Model):
    """Each key goes to the next endpoint on a ring that is not overloaded."""

    type: Literal["ring_hash"] = "ring_hash"
    """The room."""
    ring_size: Annotated[int, Field(ge=16, le=1_048_576, strict=True)] = 32_768
    """Slots of the ring, best a hundred times the number of endpoints or more. More spread the keys better
    and cost memory. Another size moves most keys."""
    load_bound_percent: Annotated[int, Field(ge=101, le=10_000, strict=True)] | None = 125
    """The most an endpoint may have in flight, of its fair share; a key beyond it goes on to the next
    endpoint. `null` is no bound: a key then never leaves a healthy endpoint."""

    uses_hash: ClassVar[bool] = True
