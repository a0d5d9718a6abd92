# SPDX-License-Identifier: Apache-2.0
"""What of a request decides which endpoint takes it: a backend's `hash`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import one_key
from tidegate.config.names import field_name, token
from tidegate.config.suggest import did_you_mean
from tidegate.config.types import Choice, Text

HashKind = Annotated[
    Literal["client", "header", "cookie", "query", "claim", "path", "host"],
    Choice("HashKind", doc="What is hashed."),
]
_NAMED = ("header", "cookie", "query", "claim")
_BARE = ("client", "path", "host")
_FORMS = (
    "write `client`, `path`, `host`, `{ header: X-User }`, `{ cookie: session }`, `{ query: id }` or "
    "`{ claim: sub }`"
)


class HashPart(Model):
    """A part of the key: `client`, `path`, `host`, or a `header`, `cookie`, `query` or `claim` by name."""

    short_forms: ClassVar[tuple[Any, ...]] = (
        {"enum": list(_BARE)},
        *(one_key(kind, {"type": "string"}) for kind in _NAMED),
    )
    is_short_only: ClassVar[bool] = True

    kind: HashKind
    """The client's address, or a part of the request as the endpoint gets it: after policies and rewrites.
    `claim` is read from the JSON Web Token of `Authorization: Bearer`, and not verified."""
    name: Text = ""
    """Of the field, cookie, query parameter or claim; empty for the others."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value in _NAMED:
                raise refuse(f"`{value}` needs a name; write `{{ {value}: name }}`")
            if value not in _BARE:
                raise refuse(f"`{value}` is nothing to hash{did_you_mean(value, _BARE)}; {_FORMS}")
            return {"kind": value}
        if isinstance(value, dict) and "kind" not in value:
            if len(value) != 1 or not set(_NAMED) >= set(value):
                raise refuse(f"is nothing to hash; {_FORMS}")
            [(kind, name)] = value.items()
            return {"kind": kind, "name": _name(kind, name)}
        if not isinstance(value, dict | HashPart):
            raise refuse(f"is nothing to hash; {_FORMS}")
        return value


def _name(kind: str, name: Any) -> str:
    if not isinstance(name, str):
        raise refuse(f"`{name}` is no name; put it in quotes")
    try:
        if kind == "header":
            if field_name(name) == "host":
                raise refuse("`host` is not hashed as a header; write `host`")
            return field_name(name)
        if kind == "cookie":
            return token(name)
    except ValueError as error:
        raise refuse(f"`{name}`: {error}", "text") from None
    if not name or len(name) > 256:
        what = "query parameter" if kind == "query" else "claim"
        raise refuse(f"the name of a {what} has 1 to 256 characters")
    return name


def hash_parts(value: Any) -> Any:
    """One part alone stands for a list of one."""
    return [value] if isinstance(value, str | dict | HashPart) else value
