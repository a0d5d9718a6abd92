# SPDX-License-Identifier: Apache-2.0
"""What clients see in the place of an error, and while something is in maintenance."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.files import MediaType
from tidegate.config.marks import Reads, Rule
from tidegate.config.types import Duration, FileContent, Flag, Network


def statuses(text: str) -> str:
    """A status from 400 to 599, or all that begin with the same digit."""
    if not re.fullmatch(r"[45]([0-9]{2}|xx)", text):
        raise ValueError(f"`{text[:60]}` is no status of an error; write one such as 404, or 4xx or 5xx")
    return text


Statuses = Annotated[str, Rule(statuses, "status from 400 to 599, `4xx` or `5xx`", r"^[45]([0-9]{2}|xx)$")]


def _page(text: str) -> str:
    """A page's text, which a name of a file is most likely not meant to be."""
    if re.fullmatch(r"[\w./-]+\.(html?|json|txt)", text):
        raise refuse(f"`{text[:60]}` would be sent as the text; for the file write `${{file:{text[:60]}}}`")
    return text


def _bodies(value: Any) -> Any:
    if isinstance(value, str):
        return [("text/html", value)]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return value
    raise refuse("must be a text, which is HTML, or a mapping from media types to texts")


_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
Bodies = Annotated[
    list[tuple[MediaType, Annotated[FileContent, AfterValidator(_page)]]],
    Field(max_length=16),
    Reads(_bodies, {"type": "string"}, _TEXTS, only=True),
]


class ErrorPage(Model):
    """What is answered in the place of an error. A text alone is its HTML."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    bodies: Annotated[Bodies, Field(min_length=1)]
    """Texts by media type; the client gets the one it likes best, the first among equals. `{status}` and
    `{request_id}` stand for what they say. A text alone is HTML, and usually `${file:...}`."""
    status: Annotated[int, Field(ge=200, le=599, strict=True)] | None = None
    """In the place of the error's own status."""
    intercept: Flag = False
    """Whether answers of endpoints and functions with this status are replaced, too."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"bodies": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _may_have_body(self) -> ErrorPage:
        if self.status in (204, 205, 304):
            raise refuse(f"a {self.status} has no body; write a status that has one", "rule")
        return self


def _by_status(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, dict):
        raise refuse("must be a mapping from statuses to pages")
    pairs = [(str(status) if isinstance(status, int) else status, page) for status, page in value.items()]
    # One status goes before its class, wherever it is written.
    return sorted(pairs, key=lambda pair: isinstance(pair[0], str) and pair[0].endswith("xx"))


ErrorPages = Annotated[
    list[tuple[Statuses, ErrorPage]],
    Reads(_by_status, {"type": "object", "additionalProperties": ErrorPage}, only=True),
]


class Maintenance(Model):
    """Requests are answered with a 503 and nothing else is asked. `true` alone switches it on."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "boolean"},)

    enabled: Flag = True
    """Whether it is on; `false` keeps a part out of what is around it."""
    retry_after: Duration | None = Duration("5m")
    """When clients are told to come again, in whole seconds; with `null` they are not told."""
    allow: list[Network] = Field(default_factory=list)
    """Clients that get through."""
    bodies: Bodies = Field(default_factory=list)
    """Texts by media type, as in an error page; without one it is the error page for 503."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise refuse("must be `true` or `false`, or a mapping such as `{ retry_after: 30m }`")
        return {"enabled": value} if isinstance(value, bool) else value
