# SPDX-License-Identifier: Apache-2.0
"""Settings of `maglev`."""

from __future__ import annotations

from math import isqrt
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from tidegate.config.base import Model, refuse


class Maglev(Model):
    """Each key goes to the endpoint that a Maglev table names."""

    type: Literal["maglev"] = "maglev"
    """The room."""
    table_size: Annotated[int, Field(ge=101, le=5_000_011, strict=True)] = 65_537
    """Slots of the table: a prime, best a hundred times the number of endpoints or more. More spread the keys
    better and cost memory."""

    uses_hash: ClassVar[bool] = True

    @field_validator("table_size", mode="after")
    @classmethod
    def _prime(cls, size: int) -> int:
        if not _is_prime(size):
            near = next(number for number in range(size, 2 * size) if _is_prime(number))
            raise refuse(f"must be a prime; the next one is {near}", "rule")
        return size


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, isqrt(number) + 1))
