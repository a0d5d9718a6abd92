# SPDX-License-Identifier: Apache-2.0
"""Where a route leads: a backend, several by weight, a redirect, or an answer of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config import addresses, patterns
from tidegate.config.base import Model, refuse
from tidegate.config.files import Files
from tidegate.config.marks import Reads, one_key
from tidegate.config.suggest import did_you_mean
from tidegate.config.types import (
    BackendRef,
    Choice,
    FieldName,
    FieldValue,
    FileContent,
    Port,
    SecretFieldValue,
    Text,
    Weight,
)

_NOT_YET = frozenset({"compose", "fastcgi", "lambda", "grpc", "mock", "tcp"})
_INSTEAD = {
    "static": "write `files`",
    "root": "write `files`",
    "file_server": "write `files`",
    "try_files": "write `try_files` beside `to`",
    "mirror": "write `mirror` beside `to`",
    "proxy": "write a backend's name or a URL alone",
    "url": "write it alone: `to: http://host:port`",
    "return": "write `respond` or `redirect`",
}
"""What other proxies call a target, and what to write."""
_FORMS = ("redirect", "respond", "files", "function")

InternalPage = Annotated[
    Literal["metrics", "health"], Choice("InternalPage", doc="A page of tidegate itself.")
]


def headers(value: Any) -> Any:
    """Reads `{name: value}` or `{name: [value, value]}` into pairs."""
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, dict):
        raise refuse("must be a mapping from names to values")
    return [
        (name, item)
        for name, wanted in value.items()
        for item in (wanted if isinstance(wanted, list) else [wanted])
    ]


HEADERS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
Headers = Annotated[list[tuple[FieldName, SecretFieldValue]], Reads(headers, HEADERS_SCHEMA, only=True)]


class WeightedBackend(Model):
    """A backend and its share of the requests."""

    short_forms: ClassVar[tuple[Any, ...]] = (
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "function": {"type": "string"},
                "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
            },
            "required": ["function"],
            "additionalProperties": False,
        },
    )

    backend: BackendRef
    """Its name, or its URL."""
    weight: Weight = 1
    """Its share relative to its neighbours; 0 gets none."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"backend": value}
        if isinstance(value, dict) and "function" in value and "backend" not in value:
            function = value["function"]
            rest = {key: item for key, item in value.items() if key != "function"}
            return {**rest, "backend": f"function:{function}" if isinstance(function, str) else function}
        return value

    @field_validator("backend", mode="after")
    @classmethod
    def _canonical(cls, backend: str) -> str:
        if addresses.is_url(backend):
            try:
                return addresses.backend_url(backend).name
            except ValueError as error:
                raise refuse(str(error), "text") from None
        return backend


def check_weights(backends: Sequence[tuple[str, int]]) -> None:
    """Refuses names with weights of which none is above 0, or one is there twice."""
    if not any(weight for _, weight in backends):
        raise refuse("every weight is 0; give one backend a weight above 0", "rule")
    names = [name for name, _ in backends]
    for name in names:
        if names.count(name) > 1:
            raise refuse(f"`{name}` is there twice; add the weights up", "rule")


class Forward(Model):
    """The request goes to one of these backends, drawn by weight."""

    union_name: ClassVar[str] = "Target"
    union_doc: ClassVar[str] = "Where a route leads."

    type: Literal["forward"] = "forward"
    """Which kind of target it is."""
    backends: Annotated[list[WeightedBackend], Field(min_length=1, max_length=256)]
    """At least one, with a weight above 0 among them."""

    @field_validator("backends", mode="after")
    @classmethod
    def _some_weight(cls, backends: list[WeightedBackend]) -> list[WeightedBackend]:
        check_weights([(backend.backend, backend.weight) for backend in backends])
        return backends


class Redirect(Model):
    """The client is sent elsewhere. What is left out stays as it was asked for."""

    type: Literal["redirect"] = "redirect"
    """Which kind of target it is."""
    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    status: Annotated[int, Field(ge=300, le=399, strict=True)] = 302
    """301, 302, 303, 307 or 308."""
    location: FieldValue | None = None
    """The whole `Location`, alone."""
    scheme: Literal["http", "https"] | None = None
    """The new scheme."""
    host: Text | None = None
    """The new host."""
    port: Port | None = None
    """The new port."""
    path: Text | None = None
    """The new path."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"location": value} if isinstance(value, str) else value

    @field_validator("status", mode="after")
    @classmethod
    def _redirects(cls, status: int) -> int:
        if status not in (301, 302, 303, 307, 308):
            raise refuse(f"{status} does not redirect; write 301, 302, 303, 307 or 308", "rule")
        return status

    @field_validator("host", mode="after")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        if host is None:
            return None
        try:
            return addresses.host_pattern(host) if not host.startswith("*") else _no_wildcard(host)
        except ValueError as error:
            raise refuse(str(error), "text") from None

    @field_validator("path", mode="after")
    @classmethod
    def _path(cls, path: str | None) -> str | None:
        try:
            return None if path is None else patterns.path_or_template(path)
        except ValueError as error:
            raise refuse(str(error), "text") from None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Redirect:
        parts = [part for part in ("scheme", "host", "port", "path") if getattr(self, part) is not None]
        if self.location is None and not parts:
            raise refuse(
                "leads to itself; write `location`, or one of `scheme`, `host`, `port`, `path`", "rule"
            )
        if self.location is not None and parts:
            raise refuse(f"`location` is the whole; leave `{parts[0]}` out", "rule")
        return self


def _no_wildcard(host: str) -> str:
    raise ValueError(f"`{host}` is no host")


class Respond(Model):
    """An answer of the gateway's own. A number alone is the status."""

    type: Literal["respond"] = "respond"
    """Which kind of target it is."""
    short_forms: ClassVar[tuple[Any, ...]] = (
        {"type": "integer", "minimum": 200, "maximum": 599},
        {"type": "string"},
    )

    status: Annotated[int, Field(ge=200, le=599, strict=True)] = 200
    """200 to 599."""
    headers: Headers = Field(default_factory=list)
    """Fields of the answer."""
    body: FileContent = ""
    """Its body, sent as UTF-8."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"status": value}
        return {"body": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _may_have_body(self) -> Respond:
        if self.body and self.status in (204, 304):
            raise refuse(f"a {self.status} has no body; leave `body` out", "rule")
        return self


class Internal(Model):
    """A page of tidegate itself, on the admin listener."""

    type: Literal["internal"] = "internal"
    """Which kind of target it is."""
    page: InternalPage
    """Which page."""


def target(value: Any) -> Any:
    """Reads every form of `to` into one with a `type`."""
    if isinstance(value, str | WeightedBackend):
        return {"type": "forward", "backends": [value]}
    if isinstance(value, list):
        return {"type": "forward", "backends": value}
    if isinstance(value, Model):
        return value
    if not isinstance(value, dict):
        raise refuse(
            "must be a URL, a backend's name, a weighted list, "
            "or one of `redirect`, `respond`, `files`, `function`"
        )
    if value.get("type") in ("forward", "redirect", "respond", "files"):
        return value
    keys = list(value)
    if "function" in value or "backend" in value:
        return {"type": "forward", "backends": [value]}
    if len(keys) == 1 and keys[0] in _TAGGED:
        return _tagged(keys[0], value[keys[0]])
    for key in keys:
        if key in _INSTEAD:
            raise refuse(f"`{key}` is no target; {_INSTEAD[key]}")
        if key in _NOT_YET:
            raise refuse(
                f"`{key}` does not exist yet in this version; "
                "there are `redirect`, `respond`, `files` and `function`"
            )
    unknown = next((str(key) for key in keys if key not in _FORMS), None)
    if unknown is not None:
        raise refuse(f"no such target `{unknown}`{did_you_mean(unknown, _FORMS)}")
    raise refuse("must have exactly one of `redirect`, `respond`, `files` and `function`")


_TAGGED: dict[str, tuple[type[Model], str]] = {
    "redirect": (Redirect, "location"),
    "respond": (Respond, "body"),
    "files": (Files, "root"),
}
"""Targets with a key of their own, and what a text alone stands for."""


def _tagged(kind: str, value: Any) -> Any:
    model, text = _TAGGED[kind]
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = {("status" if isinstance(value, int) else text): value}
    if isinstance(value, dict):
        return {**value, "type": kind}
    if isinstance(value, model):
        return value
    raise refuse(f"`{kind}` must be a mapping")


Target = Annotated[
    Annotated[Forward | Redirect | Respond | Files | Internal, Field(discriminator="type")],
    Reads(
        target,
        WeightedBackend,
        {"type": "array", "items": WeightedBackend, "minItems": 1},
        one_key("redirect", Redirect),
        one_key("respond", Respond),
        one_key("files", Files),
        only=True,
    ),
]
