# SPDX-License-Identifier: Apache-2.0
"""Settings of `http`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tidegate.config import addresses
from tidegate.config.base import Model, refuse
from tidegate.config.types import Duration, PathAndQuery, Text


class HttpCheck(Model):
    """An endpoint is well if it answers a GET with a status that counts as well."""

    type: Literal["http"] = "http"
    """The room."""
    path: PathAndQuery = "/"
    """What is asked for; a query may follow."""
    host: Text | None = None
    """What is sent as `Host`; the endpoint's own address without it."""
    statuses: Annotated[list[Annotated[int, Field(ge=200, le=599, strict=True)]], Field(min_length=1)] = (
        Field(default_factory=lambda: [200, 204])
    )
    """Statuses that count as well."""
    interval: Duration = Duration("5s")
    """From the end of one probe to the start of the next."""
    timeout: Duration = Duration("2s")
    """How long one probe may take in all."""
    healthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 2
    """Probes in a row that must pass before an endpoint is up."""
    unhealthy_after: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    """Probes in a row that must fail before an endpoint is down."""

    @field_validator("host", mode="after")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        try:
            return None if host is None else addresses.authority(host)
        except ValueError as error:
            raise refuse(str(error), "text") from None
