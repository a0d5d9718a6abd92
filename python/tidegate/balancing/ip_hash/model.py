# SPDX-License-Identifier: Apache-2.0
"""Settings of `ip_hash`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.config.base import Model


class IpHash(Model):
    """A client's requests all go to one endpoint."""

    type: Literal["ip_hash"] = "ip_hash"
    """The room."""
    ipv4_prefix: Annotated[int, Field(ge=0, le=32, strict=True)] = 32
    """Leading bits of an IPv4 address that count: with 24, neighbours share an endpoint."""
    ipv6_prefix: Annotated[int, Field(ge=0, le=128, strict=True)] = 64
    """Leading bits of an IPv6 address that count: a client chooses the last 64 as it likes."""
