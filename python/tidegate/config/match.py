# SPDX-License-Identifier: Apache-2.0
"""What a request must look like for a route to take it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tidegate.config import patterns
from tidegate.config.base import Model, refuse
from tidegate.config.marks import Reads, one_key, one_or_more
from tidegate.config.names import field_name, token
from tidegate.config.secret import Secret
from tidegate.config.types import Choice, MethodName, Network, SecretText, Text

PathKind = Annotated[
    Literal["prefix", "exact", "template", "regex"], Choice("PathKind", doc="How a path is compared.")
]
FieldMatchKind = Annotated[
    Literal["exact", "present", "regex"], Choice("FieldMatchKind", doc="How a value is compared.")
]

_PATH_FORMS = "write `/prefix`, `/users/{id}`, `{ exact: /x }` or `{ regex: '/x[0-9]+' }`"
_FIELD_FORMS = "write `value`, `{ regex: '...' }` or `{ present: true }`"
_FIELDS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "string"},
            one_key("regex", {"type": "string"}),
            one_key("present", {"const": True}),
        ]
    },
}


def _wildcard(path: str) -> str:
    """What to write instead of a `path` with `*`, as many other proxies have it."""
    below = path.removesuffix("*").removesuffix("/") or "/"
    if "*" in below or not path.endswith("/*"):
        meant = "a template such as `/users/{id}` or `{ regex: '/x.*' }`"
    else:
        meant = f"`{below}`, which takes all that is below it, too"
    return f"has a `*`, which stands for itself; write {meant}, or `{{ prefix: '{path}' }}` if it is meant"


class PathMatch(Model):
    """How the path must look. A text is a prefix by segment, or a template if it has braces."""

    short_forms: ClassVar[tuple[Any, ...]] = (
        {"type": "string", "pattern": "^/"},
        *(one_key(kind, {"type": "string"}) for kind in ("exact", "regex", "prefix", "template")),
    )
    is_short_only: ClassVar[bool] = True

    kind: PathKind
    """`prefix` takes `/x` and `/x/...`; `exact` and `regex` the whole path; `template` has parameters."""
    value: Text
    """The path in canonical form, the template, or the expression."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if "{" in value or "}" in value:
                return {"kind": "template", "value": value}
            if "*" in value:
                raise refuse(_wildcard(value))
            return {"kind": "prefix", "value": value}
        if isinstance(value, dict) and "kind" not in value:
            if len(value) != 1 or not {"exact", "regex", "prefix", "template"} >= set(value):
                raise refuse(f"is no path; {_PATH_FORMS}")
            [(kind, text)] = value.items()
            return {"kind": kind, "value": text}
        if not isinstance(value, dict | PathMatch):
            raise refuse(f"is no path; {_PATH_FORMS}")
        return value

    @model_validator(mode="after")
    def _canonical(self) -> PathMatch:
        try:
            if self.kind == "regex":
                text = patterns.regex(self.value)
            elif self.kind == "template":
                text = patterns.template(self.value).text
            else:
                text = patterns.path(self.value)
                if self.kind == "prefix" and text != "/":
                    text = text.rstrip("/")
        except ValueError as error:
            raise refuse(str(error), "text") from None
        # The one place that settles a frozen model: the canonical spelling is part of reading it.
        self.__dict__["value"] = text
        return self


class FieldMatch(Model):
    """How a field, query parameter or cookie must look. One that is there twice is only ever `present`."""

    name: Text
    """Its name; fields in lower case."""
    kind: FieldMatchKind
    """`exact` compares the whole value, `regex` too, `present` takes any."""
    value: SecretText
    """The value or expression; empty with `present`."""


class _Fields:
    """Reads `{name: value}`, `{name: {regex: ...}}`, `{name: {present: true}}` into field matches."""

    def __init__(self, noun: str) -> None:
        self.noun = noun

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(item, FieldMatch | dict) for item in value):
            return value
        if not isinstance(value, dict):
            raise refuse(f"must be a mapping from names to values; {_FIELD_FORMS}")
        return [self._one(name, wanted) for name, wanted in value.items()]

    def _one(self, name: Any, wanted: Any) -> dict[str, str | Secret]:
        if not isinstance(name, str):
            raise refuse(f"`{name}` is no name; put it in quotes")
        try:
            if self.noun == "header":
                name = field_name(name)
                if name == "host":
                    raise refuse("`host` is matched by the route's `hosts`; write it there")
            elif self.noun == "cookie":
                name = token(name)
            elif not name or len(name) > 256:
                raise refuse("the name of a query parameter has 1 to 256 characters")
            if isinstance(wanted, str | Secret):
                return {"name": name, "kind": "exact", "value": wanted}
            if isinstance(wanted, dict) and set(wanted) == {"regex"} and isinstance(wanted["regex"], str):
                return {"name": name, "kind": "regex", "value": str(patterns.regex(wanted["regex"]))}
        except ValueError as error:
            raise refuse(f"`{name}`: {error}", "text") from None
        if isinstance(wanted, dict) and set(wanted) == {"present"} and wanted["present"] is True:
            return {"name": name, "kind": "present", "value": ""}
        if isinstance(wanted, bool | int | float):
            raise refuse(f"`{name}`: a value is a text; put `{str(wanted).lower()}` in quotes")
        raise refuse(f"`{name}`: {_FIELD_FORMS}")


read_headers = _Fields("header")


class Match(Model):
    """What a request must look like: all of it must fit; what is left out always fits."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string", "pattern": "^/"},)

    path: PathMatch = Field(default_factory=lambda: PathMatch(kind="prefix", value="/"))
    """How the path must look."""
    methods: Annotated[list[MethodName], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Methods, one of which must be the request's."""
    headers: Annotated[list[FieldMatch], Reads(read_headers, _FIELDS_SCHEMA, only=True)] = Field(
        default_factory=list
    )
    """Fields by name."""
    query: Annotated[list[FieldMatch], Reads(_Fields("query"), _FIELDS_SCHEMA, only=True)] = Field(
        default_factory=list
    )
    """Query parameters by name."""
    cookies: Annotated[list[FieldMatch], Reads(_Fields("cookie"), _FIELDS_SCHEMA, only=True)] = Field(
        default_factory=list
    )
    """Cookies by name."""
    clients: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks, one of which must hold the client's address."""
    local_addresses: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks, one of which must hold the address of this machine that the client dialled."""

    not_yet: ClassVar[dict[str, str]] = {
        "body": "", "version": "", "jwt": "", "claims": "", "expression": "", "graphql": "", "grpc": "",
        "scheme": "",
    }  # fmt: skip

    elsewhere: ClassVar[dict[str, str]] = {
        "host": "write `hosts` on the route",
        "hosts": "write `hosts` on the route",
        "method": "write `methods`",
        "client": "write `clients`",
        "source": "write `clients`",
        "src": "write `clients`",
        "port": "write `listeners: [...]` on the route; a listener is an address and a port",
        "local_address": "write `local_addresses`",
        "destination": "write `local_addresses`",
        "listener": "write `listeners` on the route",
        "listeners": "write `listeners` on the route",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value
