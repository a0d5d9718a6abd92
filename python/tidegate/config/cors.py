# SPDX-License-Identifier: Apache-2.0
"""Which pages of other sites may ask."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.types import CorsOrigin, Duration, FieldName, Flag

CorsNames = Annotated[list[FieldName], Field(max_length=100), Reads(one_or_more, "item")]


class CorsTerms(Model):
    """Which pages of other sites may ask, and what they may read."""

    origins: Annotated[list[CorsOrigin], Field(min_length=1, max_length=100), Reads(one_or_more, "item")]
    """Whose pages: `https://shop.example`, `https://*.shop.example`, or `*` for those of every site. Browsers
    keep answers from the pages of others, which are told nothing of it."""
    headers: CorsNames = Field(default_factory=list)
    """Fields that they may send; with `*` whatever they ask for."""
    exposed: CorsNames = Field(default_factory=list)
    """Fields of answers that they may read besides those that every page may."""
    credentials: Flag = False
    """Whether they may ask with the cookies and client certificates that the browser has."""
    max_age: Duration = Duration("10m")
    """How long a browser need not ask again whether it may; it may do so sooner."""

    elsewhere: ClassVar[dict[str, str]] = {
        "allow_origins": "write `origins`",
        "allowed_origins": "write `origins`",
        "allow_headers": "write `headers`",
        "allowed_headers": "write `headers`",
        "expose_headers": "write `exposed`",
        "exposed_headers": "write `exposed`",
        "allow_credentials": "write `credentials`",
        "allow_methods": "write `methods`",
        "allowed_methods": "write `methods`",
        "allow_origin": "write `origins`",
    }

    @model_validator(mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        if value is True:
            raise refuse("does not say whose pages; write `{ origins: ['https://shop.example'] }`")
        return value

    @model_validator(mode="after")
    def _not_everybodys_cookies(self) -> CorsTerms:
        if "*" in self.origins and len(self.origins) > 1:
            raise refuse("`*` means the pages of every site; leave the others out", "rule")
        if "*" in self.origins and self.credentials:
            raise refuse("with `credentials` browsers take no `*`; write the `origins` that may", "rule")
        if "*" in self.exposed and self.credentials:
            raise refuse("with `credentials` browsers take no `*`; write the names in `exposed`", "rule")
        return self


class Cors(CorsTerms):
    """Which pages of other sites may ask, and what they may send and read (CORS, the Fetch standard)."""

    headers: CorsNames = Field(default_factory=list)
    """Fields that they may send besides those that calls always have; with `*` whatever they ask for."""
    exposed: CorsNames = Field(default_factory=list)
    """Fields of answers that they may read besides those that say how a call ended."""
