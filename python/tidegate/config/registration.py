# SPDX-License-Identifier: Apache-2.0
"""Instances that register themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tidegate.config.base import Model, refuse
from tidegate.config.secret import Secret
from tidegate.config.types import Duration, Network, SecretText

_SHORTEST_TOKEN = 16


class Registration(Model):
    """Who may register as an endpoint over HTTP, by a signed PUT on the admin listener."""

    token: SecretText
    """What instances sign with, at least 16 characters; write `${env:NAME}` or `${file:path}`."""
    max_lease: Duration = Duration("1m")
    """The longest time an instance may stay unheard of before it is taken out."""
    max_endpoints: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1_000
    """Instances registered at a time."""
    networks: list[Network] = Field(default_factory=list)
    """Where their addresses must be; anywhere without it."""

    @field_validator("token", mode="after")
    @classmethod
    def _long(cls, token: str | Secret) -> str | Secret:
        if len(token.reveal() if isinstance(token, Secret) else token) < _SHORTEST_TOKEN:
            raise refuse(f"must have at least {_SHORTEST_TOKEN} characters, or it could be guessed", "rule")
        return token
