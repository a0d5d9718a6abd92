# SPDX-License-Identifier: Apache-2.0
"""Settings of `http`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tidegate.config import addresses
from tidegate.config.base import refuse
from tidegate.config.marks import Reads
from tidegate.config.pace import Pace, bounded
from tidegate.config.target import HEADERS_SCHEMA, headers
from tidegate.config.types import (
    ByteSize,
    ChangeableRequestFieldName,
    MethodName,
    PathAndQuery,
    SecretFieldValue,
    Text,
)


def _statuses(value: Any) -> Any:
    """Reads `[200, "300-399"]`: a text is a range, both ends included."""
    if not isinstance(value, list | tuple):
        return value
    found: list[Any] = []
    for item in value:
        ends = re.fullmatch(r"([2-5]\d\d)-([2-5]\d\d)", item) if isinstance(item, str) else None
        if isinstance(item, str) and (ends is None or ends[1] > ends[2]):
            raise refuse(f"`{item}` is no range of statuses; write one such as `200-299`", "text")
        found += range(int(ends[1]), int(ends[2]) + 1) if ends else [item]
    return list(dict.fromkeys(found))


_Statuses = Annotated[
    list[Annotated[int, Field(ge=200, le=599, strict=True)]],
    Field(min_length=1),
    Reads(_statuses, {"type": "array", "items": {"type": ["integer", "string"]}}),
]
_Headers = Annotated[
    list[tuple[ChangeableRequestFieldName, SecretFieldValue]], Reads(headers, HEADERS_SCHEMA, only=True)
]
_Body = Annotated[str, Field(min_length=1, max_length=4096, strict=True)]


class HttpCheck(Pace):
    """An endpoint is well if it answers a request with a status that counts as well."""

    type: Literal["http"] = "http"
    """The room."""
    path: PathAndQuery = "/"
    """What is asked for; a query may follow."""
    method: MethodName = "GET"
    """How it is asked for."""
    host: Text | None = None
    """What is sent as `Host`; the endpoint's own address without it."""
    headers: _Headers = Field(default_factory=list)
    """Fields that are sent as well."""
    statuses: _Statuses = Field(default_factory=lambda: [200, 204])
    """Statuses that count as well; a text such as `200-299` is a range."""
    body: _Body | None = None
    """A text that must occur in the body."""
    body_within: ByteSize = ByteSize("64KiB")
    """How much of the body is looked through for it."""

    @field_validator("host", mode="after")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        try:
            return None if host is None else addresses.authority(host)
        except ValueError as error:
            raise refuse(str(error), "text") from None

    @field_validator("body_within", mode="after")
    @classmethod
    def _within(cls, within: ByteSize) -> ByteSize:
        return bounded(within)
