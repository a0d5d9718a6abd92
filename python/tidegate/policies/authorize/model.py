# SPDX-License-Identifier: Apache-2.0
"""Settings of `authorize`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.config.base import refuse
from tidegate.config.identity import wanted
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.target import HEADERS_SCHEMA
from tidegate.config.types import RequestCondition

_Word = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1000)]
_Words = Annotated[list[_Word], Field(max_length=1000), Reads(one_or_more, "item")]
_claims = wanted("`{name}` needs text; write an `expression` such as `identity.claims.{name} == ...`")


class Authorize(PolicySettings):
    """Lets in who may: everything that is written here must be true of who calls."""

    type: Literal["authorize"] = "authorize"
    """The room."""
    subjects: _Words = Field(default_factory=list)
    """Who may: one of these."""
    roles: _Words = Field(default_factory=list)
    """Roles of which one is needed."""
    scopes: _Words = Field(default_factory=list)
    """Scopes that are needed, all of them."""
    claims: Annotated[list[tuple[_Word, _Word]], Reads(_claims, HEADERS_SCHEMA, only=True)] = Field(
        default_factory=list
    )
    """Claims that are needed, all of them: of each the text, or texts of which it is or has one."""
    expression: RequestCondition | None = None
    """An expression in CEL that must be true."""

    @model_validator(mode="after")
    def _some(self) -> Authorize:
        if not (self.subjects or self.roles or self.scopes or self.claims or self.expression):
            says = "lets everybody in; write `roles`, `scopes`, `subjects`, `claims` or an `expression`"
            raise refuse(says, "rule")
        return self
