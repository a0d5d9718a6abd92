# SPDX-License-Identifier: Apache-2.0
"""Settings of `response_headers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import refuse
from tidegate.config.marks import Reads
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.target import HEADERS_SCHEMA, headers
from tidegate.config.types import ChangeableFieldName, SecretFieldValue

_Pairs = Annotated[
    list[tuple[ChangeableFieldName, SecretFieldValue]], Reads(headers, HEADERS_SCHEMA, only=True)
]


class ResponseHeaders(PolicySettings):
    """Fields of responses on their way to the client are removed, set and added, in this order."""

    type: Literal["response_headers"] = "response_headers"
    """The room."""
    remove: list[ChangeableFieldName] = Field(default_factory=list)
    """Fields that are taken out."""
    set: _Pairs = Field(default_factory=list)
    """Fields that replace what is there under the same name."""
    add: _Pairs = Field(default_factory=list)
    """Fields that are put beside what is there."""

    @field_validator("remove", mode="after")
    @classmethod
    def _keeps_date(cls, remove: list[str]) -> list[str]:
        # RFC 9110 §6.6.1: a response without Date gets one, behind the policies.
        if "date" in remove:
            raise refuse("`date` can not be removed, it would be written again; leave it out", "rule")
        return remove

    @model_validator(mode="after")
    def _some(self) -> ResponseHeaders:
        if not (self.remove or self.set or self.add):
            raise refuse("changes nothing; write `set`, `add` or `remove`", "rule")
        return self
