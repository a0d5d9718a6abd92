# SPDX-License-Identifier: Apache-2.0
"""Settings of `request_headers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tidegate.config.base import refuse
from tidegate.config.marks import Reads
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.target import HEADERS_SCHEMA, headers
from tidegate.config.types import ChangeableRequestFieldName, SecretFieldValue

_Pairs = Annotated[
    list[tuple[ChangeableRequestFieldName, SecretFieldValue]], Reads(headers, HEADERS_SCHEMA, only=True)
]


class RequestHeaders(PolicySettings):
    """Fields of requests on their way to an endpoint are removed, set and added, in this order."""

    type: Literal["request_headers"] = "request_headers"
    """The room."""
    remove: list[ChangeableRequestFieldName] = Field(default_factory=list)
    """Fields that are taken out."""
    set: _Pairs = Field(default_factory=list)
    """Fields that replace what is there under the same name."""
    add: _Pairs = Field(default_factory=list)
    """Fields that are put beside what is there."""

    @model_validator(mode="after")
    def _some(self) -> RequestHeaders:
        if not (self.remove or self.set or self.add):
            raise refuse("changes nothing; write `set`, `add` or `remove`", "rule")
        return self
