# SPDX-License-Identifier: Apache-2.0
"""Routes of layer 4: connections, not requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetCoreSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from tidegate.config import addresses
from tidegate.config.base import Model, refuse
from tidegate.config.grpc import GrpcRoute
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.route import Route
from tidegate.config.target import check_weights
from tidegate.config.types import (
    BackendRef,
    ControlOnly,
    Duration,
    FirstBytes,
    HostPattern,
    ListenerRef,
    Network,
    ProtocolName,
    RouteName,
    Weight,
)

_NEEDS_HTTP = "that is HTTP; leave it out, or write `type: http` and a listener with `protocol: http`"


class L4Match(Model):
    """Which connections: all of it must fit; what is left out always fits."""

    clients: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks, one of which must hold the client's address."""
    local_addresses: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks, one of which must hold the address of this machine that the client dialled."""

    alpn: Annotated[list[ProtocolName], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Protocols inside of TLS: with `type: tls` the client must offer one of them (`acme-tls/1`), with
    `type: udp` likewise inside of QUIC (`h3`), with `type: tcp` one must have been chosen of the listener's
    `tls.alpn`."""
    quic: bool = False
    """With `type: udp`: only connections of QUIC, versions 1 and 2, as told by their first packets. A route
    with `hosts` or `alpn` takes no others either."""
    begins: Annotated[list[FirstBytes], Field(max_length=64), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """What the client's first bytes must be, one of these (`SSH-`, `hex:0300`); on a listener with
    `protocol: mixed`, with `type: tcp`."""

    elsewhere: ClassVar[dict[str, str]] = {
        "client": "write `clients`",
        "source": "write `clients`",
        "destination": "write `local_addresses`",
        "port": "write `listeners: [...]` on the route; a listener is an address and a port",
    } | dict.fromkeys(("path", "methods", "headers", "query", "cookies"), _NEEDS_HTTP)


class L4Timeouts(Model):
    """How long connections may take."""

    idle: Duration = Duration("1h")
    """How long nothing may come from either side; then the connection is ended."""
    life: Duration | None = None
    """How long a connection may live; without it as long as both sides want."""


class UdpTimeouts(L4Timeouts):
    """How long sessions of UDP may take."""

    rust_name: ClassVar[str] = "L4Timeouts"

    idle: Duration = Duration("60s")
    """How long nothing may come from either side; then the session is over."""
    life: Duration | None = None
    """How long a session may live; without it as long as something comes."""


class L4Backend(Model):
    """A backend and its share of the connections."""

    rust_name: ClassVar[str] = "WeightedBackend"
    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    backend: BackendRef
    """Its name, or an address: `tcp://host:port`, `unix:/path`; for datagrams `udp://host:port`."""
    weight: Weight = 1
    """Its share relative to its neighbours; 0 gets none."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"backend": value} if isinstance(value, str) else value

    @field_validator("backend", mode="after")
    @classmethod
    def _canonical(cls, backend: str) -> str:
        if not addresses.is_url(backend):
            return backend
        try:
            return addresses.tcp_url(backend).name
        except ValueError as error:
            raise refuse(str(error), "text") from None


def _targets(value: Any) -> Any:
    if isinstance(value, dict) and "backend" not in value:
        raise refuse("a connection goes to a backend; write its name, or `tcp://host:port`")
    return [value] if isinstance(value, str | dict | L4Backend) else value


class TcpRoute(Model):
    """Which TCP connections go where."""

    tag: ClassVar[str | None] = "tcp"

    name: Annotated[RouteName | None, ControlOnly()] = None
    """Its name in logs and metrics; without one it is named from listeners and match."""
    type: Annotated[Literal["tcp"], ControlOnly()] = "tcp"
    """What it carries: connections of a listener with `protocol: tcp` or `mixed`."""
    listeners: Annotated[list[ListenerRef], Field(min_length=1), Reads(one_or_more, "item")]
    """The listeners it serves."""
    match: L4Match = L4Match()
    """Which of their connections."""
    to: Annotated[
        list[L4Backend],
        Field(min_length=1, max_length=256),
        Reads(_targets, L4Backend, {"type": "array", "items": L4Backend, "minItems": 1}, only=True),
    ]
    """A backend's name, `tcp://host:port`, or a list of them with weights."""
    timeouts: L4Timeouts = L4Timeouts()
    """How long its connections may take."""

    elsewhere: ClassVar[dict[str, str]] = {
        "hosts": "a TCP connection names no host; write `type: tls` and a listener with `protocol: tls`, "
        "or match by `clients` or `local_addresses`",
        "clients": "write `match: { clients: ... }`, or `clients` on the listener to refuse others",
    } | dict.fromkeys(
        (
            "path", "policies", "rewrite", "mirror", "try_files", "body_size", "media_types",
            "buffer_request", "error_pages", "maintenance", "retries",
        ),
        _NEEDS_HTTP,
    )  # fmt: skip

    @field_validator("to", mode="after")
    @classmethod
    def _some_weight(cls, backends: list[L4Backend]) -> list[L4Backend]:
        check_weights([(backend.backend, backend.weight) for backend in backends])
        return backends

    @model_validator(mode="after")
    def _begins_in_the_clear(self) -> TcpRoute:
        if self.match.begins and self.type != "tcp":
            raise refuse("`begins` is for `type: tcp`; leave it out, or write that", "rule")
        is_udp = type(self).tag == "udp"
        if self.match.quic and not is_udp:
            raise refuse("`quic` is for `type: udp`; leave it out, or write that", "rule")
        for aim in self.to:
            is_url = addresses.is_url(aim.backend)
            if is_url and aim.backend.startswith("udp://") != is_udp:
                right = "udp://" if is_udp else "tcp://"
                raise refuse(
                    f"`{aim.backend}` is for another type of route; write `{right}host:port`", "rule"
                )
        return self


class TlsRoute(TcpRoute):
    """Which TLS connections go where, by the host that the client asks for; what is in them is not read."""

    tag: ClassVar[str | None] = "tls"

    type: Annotated[Literal["tls"], ControlOnly()] = "tls"  # type: ignore[assignment]
    """What it carries: connections of a listener with `protocol: tls` or `mixed`."""
    hosts: Annotated[list[HostPattern], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts, one of which the client must ask for (SNI), `*.` for any labels in front; with or without one if
    left out."""

    elsewhere: ClassVar[dict[str, str]] = {
        key: value for key, value in TcpRoute.elsewhere.items() if key != "hosts"
    }


class UdpRoute(TcpRoute):
    """Which datagrams go where: those between one address and port of a client and one of ours are a session,
    which stays at its endpoint."""

    tag: ClassVar[str | None] = "udp"

    type: Annotated[Literal["udp"], ControlOnly()] = "udp"  # type: ignore[assignment]
    """What it carries: datagrams of a listener with `protocol: udp`."""
    hosts: Annotated[list[HostPattern], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts, one of which a client of QUIC must ask for (SNI), `*.` for any labels in front; any datagrams if
    left out."""
    timeouts: UdpTimeouts = UdpTimeouts()
    """How long its sessions may take."""
    responses: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] | None = None
    """Datagrams by which an endpoint answers each of the client's: once all have come the session is over,
    and the next datagram may go elsewhere; with 0 at once. Without it a session lasts until it is idle."""

    elsewhere: ClassVar[dict[str, str]] = {
        key: value for key, value in TcpRoute.elsewhere.items() if key != "hosts"
    }

    @property
    def reads_quic(self) -> bool:
        """Whether it takes connections of QUIC alone, by what their first packets say."""
        return bool(self.hosts or self.match.alpn or self.match.quic)

    @model_validator(mode="after")
    def _counts_datagrams(self) -> UdpRoute:
        if self.responses is not None and self.reads_quic:
            raise refuse(
                "`responses` counts datagrams; nobody knows how many a connection of QUIC has; leave it out",
                "rule",
            )
        return self


_BY_TYPE: dict[str, type[Route] | type[TcpRoute]] = {
    "tcp": TcpRoute,
    "tls": TlsRoute,
    "udp": UdpRoute,
    "grpc": GrpcRoute,
}


class _Told(Reads):
    """Tells routes apart by their `type`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_route, handler.generate_schema(Route))


def route_model(value: Any) -> type[Route] | type[TcpRoute]:
    """The model that a route's data is meant for."""
    kind = value.get("type") if isinstance(value, dict) else None
    return _BY_TYPE.get(kind, Route) if isinstance(kind, str) else Route


def _route(value: Any, read: Callable[[Any], Route]) -> Route | TcpRoute:
    if isinstance(value, TcpRoute):
        return value
    model = route_model(value)
    return read(value) if model is Route else model.model_validate(value)


def backend_names(route: Route | TcpRoute) -> list[str]:
    """The backends that a route sends to, copies included, by name or URL."""
    if isinstance(route, TcpRoute):
        return [aim.backend for aim in route.to]
    names = [aim.backend for aim in route.to.backends] if route.to.type == "forward" else []
    return [*names, route.mirror.to] if route.mirror is not None else names


_MODELS = (Route, GrpcRoute, TcpRoute, TlsRoute, UdpRoute)
AnyRoute = Annotated[Route | TcpRoute, _Told(lambda value: value, *_MODELS, only=True)]
"""A route of any type."""
