# SPDX-License-Identifier: Apache-2.0
"""Who may come in, by address."""

from __future__ import annotations

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.types import Network


class Admission(Model):
    """Who may come in, by address: whoever is allowed and not denied."""

    allow: list[Network] = Field(default_factory=list)
    """Networks and addresses that may; all if left out."""
    deny: list[Network] = Field(default_factory=list)
    """Networks and addresses that may not, even if allowed."""

    @model_validator(mode="after")
    def _leaves_someone(self) -> Admission:
        for network in self.allow:
            if network in self.deny:
                raise refuse(f"`{network}` is allowed and denied; leave one out", "rule")
        return self
