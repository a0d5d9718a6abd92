# SPDX-License-Identifier: Apache-2.0
"""Hosts, matches, policies and where they lead: section `routes`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tidegate.config import addresses, patterns
from tidegate.config.admission import Admission
from tidegate.config.base import Model, refuse
from tidegate.config.files import Files
from tidegate.config.grpc_web import GrpcWeb, read_web
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.match import Match, PathMatch
from tidegate.config.mirror import Mirror
from tidegate.config.pages import ErrorPages, Maintenance
from tidegate.config.policy import Policies
from tidegate.config.target import Target
from tidegate.config.types import (
    ByteSize,
    Choice,
    ControlOnly,
    Duration,
    HostPattern,
    ListenerRef,
    MediaType,
    MethodName,
    PathText,
    RouteName,
    Text,
)
from tidegate.config.websocket import WebSocket

_Codes = Literal[
    "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
    "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range",
    "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
]  # fmt: skip
GrpcStatus = Annotated[
    _Codes,
    Choice(
        "GrpcStatus",
        # As gRPC's own documents write them, and as Envoy does.
        instead=tuple(
            (other, f"write `{code}`")
            for code in get_args(_Codes)
            for other in sorted({code.upper(), code.replace("_", "-")} - {code})
        ),
        doc="How a call of gRPC ended that did not end well: its codes in their order, from 1.",
    ),
]
RouteType = Annotated[Literal["http"], Choice("RouteType", not_yet=frozenset({"websocket"}))]


class Rewrite(Model):
    """What an endpoint sees instead of what the client asked for; answers are mapped back."""

    prefix: PathText | None = None
    """In the place of what the prefix match took; `/` strips it."""
    path: Text | None = None
    """In the place of the whole path; `{name}` is a parameter of the route's template."""
    host: Text | None = None
    """In the place of the host (`name`, `name:port`)."""

    not_yet: ClassVar[dict[str, str]] = {"regex": "", "query": "", "method": "", "replace": ""}

    @field_validator("path", mode="after")
    @classmethod
    def _path(cls, path: str | None) -> str | None:
        try:
            return None if path is None else patterns.path_or_template(path)
        except ValueError as error:
            raise refuse(str(error), "text") from None

    @field_validator("host", mode="after")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        try:
            return None if host is None else addresses.authority(host)
        except ValueError as error:
            raise refuse(str(error), "text") from None

    @model_validator(mode="after")
    def _some(self) -> Rewrite:
        if self.prefix is None and self.path is None and self.host is None:
            raise refuse("changes nothing; write `prefix`, `path` or `host`", "rule")
        if self.prefix is not None and self.path is not None:
            raise refuse("`prefix` and `path` exclude each other; leave one out", "rule")
        return self


class RouteTimeouts(Model):
    """How long this route's requests may take."""

    request: Duration | None = None
    """For the whole exchange, retries included; without it only stalls end one."""
    first_byte: Duration | None = None
    """In the place of the backend's `first_byte`."""
    upgraded_idle: Duration = Duration("1h")
    """How long a WebSocket, another upgraded connection or an event stream may be silent."""
    upgraded_life: Duration | None = None
    """How long one may live."""


class Retries(Model):
    """When a failed request is sent again, to another endpoint; in another zone if there is one."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "integer", "minimum": 0, "maximum": 10},)

    attempts: Annotated[int, Field(ge=0, le=10, strict=True)] = 1
    """Times besides the first; connects that failed are not counted."""
    methods: list[MethodName] = Field(default_factory=lambda: ["GET", "HEAD", "OPTIONS"])
    """Methods that may be sent again. Naming an unsafe one (`POST`) says that a repeat does no harm."""
    statuses: list[Annotated[int, Field(ge=400, le=599, strict=True)]] = Field(default_factory=list)
    """Responses that count as failures besides connections that broke."""
    grpc_statuses: list[GrpcStatus] = Field(default_factory=list)
    """What calls of gRPC end with to be made again, `unavailable` for instance, whatever `methods` says:
    naming one says that a repeat does no harm. Only before a message of the answer has come, and while those
    that were sent are held."""

    elsewhere: ClassVar[dict[str, str]] = {
        "retry_on": "write `statuses`, or `grpc_statuses` for calls of gRPC",
        "retryable_status_codes": "write `statuses`, or `grpc_statuses` for calls of gRPC",
        "num_retries": "write `attempts`",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"attempts": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Route(Model):
    """Which requests it takes, what happens to them, and where they go."""

    name: Annotated[RouteName | None, ControlOnly()] = None
    """Its name in logs and metrics; without one it is named from listeners, hosts and match."""
    type: Annotated[RouteType, ControlOnly()] = "http"
    """What it carries."""
    path: Annotated[PathMatch | None, ControlOnly()] = None
    """The short form of `match: { path: ... }`."""
    listeners: Annotated[list[ListenerRef], Reads(one_or_more, "item")] = Field(default_factory=list)
    """The listeners it serves; all but the admin one if left out."""
    hosts: Annotated[list[HostPattern], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts it serves, `*.` for any labels in front; every host if left out."""
    match: Match = Match()
    """What a request must look like."""
    policies: Policies = Field(default_factory=list)
    """What happens to its messages, in this order; responses pass backwards."""
    to: Target
    """A URL, a backend's name, a weighted list, or one of `redirect`, `respond`, `files`, `function`."""
    try_files: Files | None = None
    """A folder whose files go first: `to` gets what names none of them, and all but GET and HEAD."""
    rewrite: Rewrite | None = None
    """What an endpoint sees instead."""
    timeouts: RouteTimeouts = RouteTimeouts()
    """How long its requests may take."""
    retries: Retries = Retries()
    """When a failed request is sent again."""
    body_size: ByteSize | None = None
    """In the place of the listener's `limits.body_size`."""
    media_types: Annotated[list[MediaType], Reads(one_or_more, "item")] = Field(default_factory=list)
    """What a request's body may be: `application/json`, `image/*`; anything else is a 415."""
    buffer_request: ByteSize | None = None
    """Reads a body of at most this size whole before an endpoint is asked; a larger one is a 413."""
    websocket: WebSocket | None = None
    """What is asked of WebSockets."""
    web: Annotated[GrpcWeb | None, Reads(read_web, {"type": "boolean"})] = None
    """Whether pages in browsers may make its calls, by gRPC-Web; for routes of `type: grpc`."""
    mirror: Mirror | None = None
    """Where copies of its requests go besides."""
    clients: Admission = Admission()
    """Whose requests are answered, by the client's address; others get a 403."""
    error_pages: ErrorPages = Field(default_factory=list)
    """Pages by status (`404`, `5xx`), before those of the listener."""
    maintenance: Maintenance | None = None
    """Whether it answers with a 503; without it, what the listener says."""

    not_yet: ClassVar[dict[str, str]] = {
        "cache": "", "session": "", "tls": "",
        "api": "",
        "rate_limit": "", "auth": "", "cors": "", "compress": "", "hash": "",
        "waf": "",
    }  # fmt: skip

    elsewhere: ClassVar[dict[str, str]] = {
        "host": "write `hosts`",
        "hostnames": "write `hosts`",
        "server_name": "write `hosts`",
        "matches": "write `match`, and a route for each",
        "location": "write `path`",
        "prefix": "write `path`; with `rewrite: { prefix: / }` it is stripped",
        "proxy_pass": "write `to`",
        "upstream": "write `to`",
        "service": "write `to`",
        "backendRefs": "write `to: [{ backend: name, weight: 1 }]`",
        "filters": "write `policies`",
        "middlewares": "write `policies`",
        "rule": "write `hosts`, `path` or `match`",
        "strip_prefix": "write `rewrite: { prefix: / }`",
        "timeout": "write `timeouts: { request: ... }`",
        "sticky": "write `affinity: cookie` on the backend",
        "methods": "write `match: { methods: ... }`",
        "headers": "write `match: { headers: ... }`, or the policy `request_headers` to change them",
        "backend": "write `to`",
        "redirect": "write `to: { redirect: ... }`",
        "respond": "write `to: { respond: ... }`",
        "files": "write `to: { files: ... }`",
        "root": "write `to: { files: ... }`",
        "priority": "the more precise match wins, then the first in the file",
    }

    @model_validator(mode="before")
    @classmethod
    def _short_path(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "path" not in value or value["path"] is None:
            return value
        match = value.get("match")
        if isinstance(match, Match):
            match = {key: getattr(match, key) for key in match.model_fields_set}
        if match is not None and (not isinstance(match, dict) or "path" in match):
            raise refuse("`path` is the short form of `match: { path: ... }`; write one of them", "rule")
        rest = {key: item for key, item in value.items() if key != "path"}
        return {**rest, "match": {**(match or {}), "path": value["path"]}}

    def question(self, name: str) -> Route | None:
        """The route by which browsers ask whether a page of another site may ask; none if none may."""
        return None

    @model_validator(mode="after")
    def _fits_together(self) -> Route:
        rewrite, path = self.rewrite, self.match.path
        if rewrite is not None:
            if self.to.type != "forward":
                raise refuse(
                    f"`rewrite` changes what a backend sees, but this route is a `{self.to.type}`", "rule"
                )
            if rewrite.prefix is not None and path.kind != "prefix":
                raise refuse(
                    f"`rewrite: {{ prefix }}` needs a prefix match, not `{path.kind}`; write `path`", "rule"
                )
            if rewrite.path is not None:
                self._parameters(rewrite.path, "rewrite")
        if self.web is not None and self.type == "http":
            raise refuse("`web` lets pages make calls of gRPC, but this route is of `type: http`", "rule")
        if self.mirror is not None and self.to.type != "forward":
            raise refuse(f"`mirror` copies what a backend gets, but this route is a `{self.to.type}`", "rule")
        if self.websocket is not None and self.to.type != "forward":
            raise refuse(
                f"`websocket` is for what a backend answers, but this route is a `{self.to.type}`", "rule"
            )
        if self.try_files is not None:
            self._before_a_backend(self.try_files)
        if self.to.type == "redirect" and self.to.path is not None:
            self._parameters(self.to.path, "redirect")
        return self

    def _before_a_backend(self, files: Files) -> None:
        if self.to.type != "forward":
            raise refuse(f"`try_files` goes before a backend, but this route is a `{self.to.type}`", "rule")
        for key in ("fallback", "listing"):
            if getattr(files, key):
                raise refuse(f"`{key}` would leave nothing to `to`; leave it out of `try_files`", "rule")

    def _parameters(self, text: str, where: str) -> None:
        if "{" not in text:
            return
        known = (
            patterns.template(self.match.path.value).parameters if self.match.path.kind == "template" else ()
        )
        for parameter in patterns.template(text).parameters:
            if parameter not in known:
                raise refuse(f"`{{{parameter}}}` in `{where}` is no parameter of the route's path", "rule")
