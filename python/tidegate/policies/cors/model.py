# SPDX-License-Identifier: Apache-2.0
"""Settings of `cors`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tidegate.config.base import refuse
from tidegate.config.cors import CorsNames, CorsTerms
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.types import MethodName


class Cors(CorsTerms, PolicySettings):
    """Pages of other sites may ask, and read the answers (CORS, the Fetch standard)."""

    type: Literal["cors"] = "cors"
    """The room."""
    headers: CorsNames = Field(default_factory=lambda: ["content-type", "authorization"])
    """Fields that they may send; with `*` whatever they ask for."""
    methods: Annotated[list[MethodName], Field(min_length=1, max_length=40), Reads(one_or_more, "item")] = (
        Field(default_factory=lambda: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    )
    """Methods that they may ask with."""

    @model_validator(mode="after")
    def _named_methods(self) -> Cors:
        if "*" in self.methods and self.credentials:
            raise refuse("with `credentials` browsers take no `*`; write the `methods`", "rule")
        return self
