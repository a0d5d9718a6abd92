# SPDX-License-Identifier: Apache-2.0
"""Routes of gRPC: calls by service and method."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tidegate.config import patterns
from tidegate.config.base import Model, refuse
from tidegate.config.marks import one_key
from tidegate.config.match import FieldMatch, Match, read_headers
from tidegate.config.route import Route
from tidegate.config.target import Respond
from tidegate.config.types import Choice, ControlOnly, Text

_SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CALLS = {"name": "content-type", "kind": "regex", "value": "(?i:application/grpc)(?:[+; ].*)?"}
"""What makes a request a call."""
_QUESTION = (
    {"name": "access-control-request-method", "kind": "exact", "value": "POST"},
    {"name": "origin", "kind": "present", "value": ""},
)
_WEB_CALLS = {**_CALLS, "value": "(?i:application/grpc(?:-web(?:-text)?)?)(?:[+; ].*)?"}
"""The same where pages may call."""
_OF_HTTP = ("path", "methods", "query", "cookies")

CallPartKind = Annotated[Literal["exact", "regex"], Choice("CallPartKind", doc="How a name is compared.")]


class CallPart(Model):
    """How the name of a service or method must look. A text is the whole name."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"}, one_key("regex", {"type": "string"}))
    is_short_only: ClassVar[bool] = True

    kind: CallPartKind
    """`exact` and `regex` compare the whole name."""
    value: Text
    """The name or the expression."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": "exact", "value": value}
        if isinstance(value, dict) and set(value) == {"regex"}:
            return {"kind": "regex", "value": value["regex"]}
        if isinstance(value, dict) and set(value) == {"kind", "value"}:
            return value
        raise refuse("is no name; write a text or `{ regex: '...' }`")

    def judged(self, whole: re.Pattern[str], example: str) -> str:
        """What stands for it in an expression for paths.

        Raises:
            ValueError: It is no such name, or no expression.
        """
        if self.kind == "regex":
            return f"(?:{patterns.regex(self.value)})"
        if not whole.fullmatch(self.value):
            raise ValueError(f"`{self.value}` is no name that gRPC has; write one such as `{example}`")
        return re.escape(self.value)


class GrpcMatch(Match):
    """What a call must look like: all of it must fit; what is left out always fits."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    service: CallPart | None = Field(default=None, exclude=True)
    """The service with its package, such as `shop.v1.Cart`, or `{ regex: ... }`."""
    method: CallPart | None = Field(default=None, exclude=True)
    """The method, such as `AddItem`, or `{ regex: ... }`."""

    elsewhere: ClassVar[dict[str, str]] = {
        **{key: value for key, value in Match.elsewhere.items() if key != "method"},
        "metadata": "write `headers`",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            first, _, second = value.strip("/").partition("/")
            value = {"service": first, **({"method": second} if second else {})}
        if not isinstance(value, dict):
            return value
        for key in _OF_HTTP:
            if key in value:
                raise refuse(
                    f"a call has no `{key}`; write `service` and `method`, or a route of `type: http`"
                )
        service, method = (_part(value.get(key)) for key in ("service", "method"))
        headers = read_headers(value.get("headers", {}))
        return {
            **value,
            "service": service,
            "method": method,
            "path": _path(service, method),
            "methods": ["POST"],
            "headers": [_CALLS, *headers],
        }

    @property
    def call(self) -> str:
        """Service and method in one text, for names."""
        parts = []
        for part in (self.service, self.method):
            parts.append("*" if part is None else f"~{part.value}" if part.kind == "regex" else part.value)
        return "/".join(parts)


def _part(value: Any) -> CallPart | None:
    return None if value is None else CallPart.model_validate(value)


def _path(service: CallPart | None, method: CallPart | None) -> dict[str, str]:
    try:
        first = None if service is None else service.judged(_SERVICE, "shop.v1.Cart")
        second = None if method is None else method.judged(_METHOD, "AddItem")
    except ValueError as error:
        raise refuse(str(error), "text") from None
    is_exact = [part is not None and part.kind == "exact" for part in (service, method)]
    if service is not None and method is not None and all(is_exact):
        return {"exact": f"/{service.value}/{method.value}"}
    if service is not None and method is None and is_exact[0]:
        return {"prefix": f"/{service.value}"}
    if service is None and method is None:
        return {"prefix": "/"}
    return {"regex": f"/{first or '[^/]+'}/{second or '[^/]+'}"}


class GrpcRoute(Route):
    """Which calls of gRPC it takes, what happens to them, and where they go."""

    tag: ClassVar[str | None] = "grpc"

    type: Annotated[Literal["grpc"], ControlOnly()] = "grpc"  # type: ignore[assignment]
    """What it carries: requests whose content is `application/grpc`."""
    match: GrpcMatch = GrpcMatch()
    """What a call must look like: `service/method`, or `service`, `method`, `headers` and so on."""

    @model_validator(mode="after")
    def _takes_pages(self) -> GrpcRoute:
        if self.web is not None:
            headers = [FieldMatch.model_validate(_WEB_CALLS), *self.match.headers[1:]]
            object.__setattr__(self, "match", self.match.model_copy(update={"headers": headers}))
        return self

    def question(self, name: str) -> Route | None:
        """As every route's: none unless pages of other sites may call."""
        if self.web is None or self.web.cors is None:
            return None
        # It carries no metadata.
        update = {"methods": ["OPTIONS"], "headers": [FieldMatch.model_validate(each) for each in _QUESTION]}
        rest = {"name": name, "match": self.match.model_copy(update=update), "to": Respond(status=204)}
        defaults = ("policies", "rewrite", "mirror", "try_files", "buffer_request")
        fields = type(self).model_fields
        return self.model_copy(
            update={**{key: fields[key].get_default(call_default_factory=True) for key in defaults}, **rest}
        )

    @model_validator(mode="before")
    @classmethod
    def _short_path(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("path") is not None:
            raise refuse("a call has no `path`; write `match: { service: ..., method: ... }`")
        return value
