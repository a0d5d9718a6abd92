# SPDX-License-Identifier: Apache-2.0
"""Copies of requests for another backend."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tidegate.config import addresses
from tidegate.config.base import Model, refuse
from tidegate.config.types import BackendRef, ByteSize, Duration


class Mirror(Model):
    """Copies of requests go to another backend as well, whose answers are thrown away."""

    to: BackendRef
    """The backend's name, or its URL."""
    percent: Annotated[int, Field(ge=1, le=100, strict=True)] = 100
    """The share of the requests that is copied, each drawn by itself."""
    body_size: ByteSize = ByteSize("64KiB")
    """The largest body that is copied; requests with a larger one are not, and counted."""
    concurrency: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 100
    """Copies under way at a time; what comes beyond is not copied, and counted."""
    timeout: Duration = Duration("5s")
    """How long a copy may take, connecting and answer included."""

    @field_validator("to", mode="after")
    @classmethod
    def _speaks_http(cls, to: str) -> str:
        if to.startswith("function:"):
            raise refuse("copies go to a backend, not to a function; write a backend's name or URL", "rule")
        try:
            return addresses.backend_url(to).name if addresses.is_url(to) else to
        except ValueError as error:
            raise refuse(str(error), "text") from None
