# SPDX-License-Identifier: Apache-2.0
"""What concerns the whole gateway: section `gateway`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tidegate.config.acme import Acme
from tidegate.config.base import Model, refuse
from tidegate.config.otlp import Otlp
from tidegate.config.pages import ErrorPages, Maintenance
from tidegate.config.policy import Policies
from tidegate.config.types import (
    ByteSize,
    Choice,
    ControlOnly,
    Duration,
    FieldName,
    FilePath,
    IpAddress,
    Name,
    Network,
    Port,
    QueryName,
    Text,
)

_CREDENTIAL_QUERY = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "client_secret",
    "code",
    "credential",
    "id_token",
    "key",
    "password",
    "passwd",
    "refresh_token",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
]
_LEAST_MEMORY = 64 << 20
_CREDENTIAL_FIELDS = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
]


AccessLogFormat = Annotated[
    Literal["json", "combined"], Choice("AccessLogFormat", doc="How a line of the access log is written.")
]


class Constant(Model):
    """A text that every line of the access log has."""

    name: Name
    """What it is called."""
    value: Text
    """The text."""


class AccessLog(Model):
    """One line per request. A text alone is the path."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)
    elsewhere: ClassVar[dict[str, str]] = {
        "sampling": "write `one_in: 10` for one request of ten",
        "sample": "write `one_in: 10` for one request of ten",
        "file": "write `path`",
        "filePath": "write `path`",
        "output": "write `path`",
        "headers": "write `fields` for those of requests, `response_fields` for those of responses",
    }

    path: FilePath
    """A file to append to, relative to the file that says so; `-` for standard output, `journald`, or
    `journald:/path` of a journal's socket."""
    format: AccessLogFormat = "json"
    """JSON, or the combined format of web servers, which has no room for what is added below."""
    one_in: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1
    """Of how many requests one is logged, at random; failed and slow ones always are."""
    redact_query: Annotated[list[QueryName], ControlOnly()] = Field(
        default_factory=lambda: list(_CREDENTIAL_QUERY)
    )
    """Query parameters whose values are not logged, whatever their case."""
    redact_fields: Annotated[list[FieldName], ControlOnly()] = Field(
        default_factory=lambda: list(_CREDENTIAL_FIELDS)
    )
    """Fields whose values are not logged even if `fields` names them."""
    fields: list[FieldName] = Field(default_factory=list)
    """Request fields to log besides the ordinary ones."""
    response_fields: list[FieldName] = Field(default_factory=list)
    """Response fields to log, as clients get them; error pages made here have none."""
    constants: list[Constant] = Field(default_factory=list)
    """Texts that every line has, such as a site's name."""

    @field_validator("path", mode="after")
    @classmethod
    def _known_journal(cls, path: str) -> str:
        if path.lower() in ("off", "on", "none", "false", "true", "stdout", "stderr"):
            raise refuse(
                f"`{path}` is no place; write a path or `-` (standard output), or leave `access_log` out",
                "rule",
            )
        if path.startswith("journald:") and not path.startswith("journald:/"):
            raise refuse("write `journald`, or `journald:/path` of the journal's socket", "rule")
        return path

    @model_validator(mode="after")
    def _combined_is_fixed(self) -> Self:
        if self.format == "combined":
            for name, default in (("one_in", 1), ("fields", []), ("response_fields", []), ("constants", [])):
                if getattr(self, name) != default:
                    raise refuse(f"a combined line has no room for `{name}`; use `format: json`", "rule")
        return self

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class Admin(Model):
    """Where `/metrics` and `/healthz` are served; the name `admin` is then taken among listeners."""

    address: IpAddress = "127.0.0.1"
    """An address that clients of the gateway can not reach."""
    port: Port = 9180
    """Its port."""


class GatewaySettings(Model):
    """What concerns the whole gateway."""

    name: Name = "tidegate"
    """How this gateway calls itself in `Via` and `Proxy-Status`."""
    threads: Annotated[int, Field(ge=1, le=1024, strict=True)] | Literal["auto"] = "auto"
    """Threads that serve traffic; `auto` is one per core that the process may use."""
    zone: Name | None = None
    """Where this gateway stands: endpoints with the same `zone` come first."""
    trusted_proxies: list[Network] = Field(default_factory=list)
    """Peers whose `Forwarded` and `X-Forwarded-*` are believed."""
    graceful_stop: Duration = Duration("30s")
    """How long a stopping node waits for requests in flight."""
    access_log: AccessLog | None = None
    """Where requests are logged; nowhere without it."""
    slow_request: Duration | None = None
    """From how long on requests are kept for `tidegate slow`, and logged whatever `one_in` says."""
    otlp: Otlp | None = None
    """Where spans and metrics are sent; nowhere without it."""
    memory: ByteSize | None = None
    """Memory of the node, from 64MiB, near which connections are refused or closed; cgroups count too."""
    admin: Annotated[Admin | None, ControlOnly()] = None
    """Where `/metrics` and `/healthz` are served; nowhere without it."""
    acme: Annotated[Acme | None, ControlOnly()] = None
    """Where listeners with `tls: auto` get their certificates; its terms must be accepted."""
    user: Annotated[Name | None, ControlOnly()] = None
    """Started as root: the user that node and control become."""
    function_user: Annotated[Name | None, ControlOnly()] = None
    """Started as root: the user that function workers become; without it the same as `user`."""
    policies: Annotated[Policies, ControlOnly()] = Field(default_factory=list)
    """Policies of every listener but the admin one, before the listener's own."""
    error_pages: Annotated[ErrorPages, ControlOnly()] = Field(default_factory=list)
    """Pages by status (`404`, `5xx`) on every listener but the admin one."""
    maintenance: Annotated[Maintenance | None, ControlOnly()] = None
    """Whether requests on every listener but the admin one are answered with a 503."""

    @field_validator("memory", mode="after")
    @classmethod
    def _has_room_to_work(cls, memory: ByteSize | None) -> ByteSize | None:
        if memory is not None and memory < _LEAST_MEMORY:
            raise refuse("must be at least 64MiB: a node without connections uses some 30MiB", "rule")
        return memory

    @field_validator("threads", mode="before")
    @classmethod
    def _number_or_auto(cls, threads: Any) -> Any:
        # A union would say of one mistake what each of its sides misses.
        if threads != "auto" and (not isinstance(threads, int) or isinstance(threads, bool)):
            raise refuse("must be a number from 1 to 1024, or `auto`", "number_or_word")
        if isinstance(threads, int) and not 1 <= threads <= 1024:
            raise refuse("must be a number from 1 to 1024, or `auto`", "rule")
        return threads

    not_yet: ClassVar[dict[str, str]] = {
        "tls": "", "region": "", "store": "",
    }  # fmt: skip
    elsewhere: ClassVar[dict[str, str]] = {
        "tracing": "write `otlp: http://localhost:4318`",
        "metrics": "write `admin: { port: 9180 }`, which has `/metrics`",
        "client_max_body_size": "write `limits: { body_size: ... }` on a listener, or `body_size` on a route",
        "error_page": "write `error_pages`",
        "log_format": "write `access_log: { path: ..., format: json }`",
    }
