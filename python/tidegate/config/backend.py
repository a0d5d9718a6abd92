# SPDX-License-Identifier: Apache-2.0
"""Named groups of interchangeable endpoints: section `backends`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config import addresses
from tidegate.config.affinity import Affinity
from tidegate.config.backend_tls import BackendTls, read_tls
from tidegate.config.base import Model, refuse
from tidegate.config.hashing import HashPart, hash_parts
from tidegate.config.marks import Reads
from tidegate.config.overload import AdaptiveConcurrency, PassiveHealth
from tidegate.config.policy import Policies
from tidegate.config.processes import Processes
from tidegate.config.registration import Registration
from tidegate.config.rooms import Rooms
from tidegate.config.types import ByteSize, Choice, ControlOnly, Duration, EndpointAddress, Flag, Name, Weight
from tidegate.config.weighing import ComputedWeights, LoadReport, SlowStart

_NOT_YET_PROTOCOLS = frozenset({"http3", "tcp", "tls", "udp"})

_HTTP2 = "write `http2: true` on the backend, with `tls` where it is inside of TLS"

BackendProtocol = Annotated[
    Literal["http", "function"],
    Choice(
        "BackendProtocol",
        not_yet=_NOT_YET_PROTOCOLS,
        instead=(("http2", _HTTP2), ("h2", _HTTP2), ("h2c", _HTTP2), ("grpc", _HTTP2)),
        internal=frozenset({"function"}),
        doc="What is spoken to endpoints.",
    ),
]
ZonePreference = Annotated[
    Literal["local", "none"], Choice("ZonePreference", doc="Which endpoints come first.")
]
HostField = Annotated[Literal["keep", "endpoint"], Choice("HostField", doc="What `Host` an endpoint sees.")]


class Endpoint(Model):
    """One address of one running server. A text alone is the address."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    address: EndpointAddress
    """`IP:port`, `[IPv6]:port`, `name:port` or `unix:/path`."""
    zone: Name | None = None
    """Where it stands, if that is known."""
    priority: Annotated[int, Field(ge=0, le=127, strict=True)] = 0
    """0 is wanted first; the next one takes what those before can not carry, as `failover` says."""
    weight: Weight = 1
    """Its share relative to its neighbours; 0 takes no new requests."""
    draining: Flag = False
    """Whether it finishes what it has and takes nothing new."""

    not_yet: ClassVar[dict[str, str]] = {"region": "", "metadata": ""}
    elsewhere: ClassVar[dict[str, str]] = {
        "tls": "write `tls` on the backend, or `https://host:port` as the endpoint",
        "backup": "write `priority: 1`",
        "down": "write `draining: true`",
        "disabled": "write `draining: true`",
        "max_conns": "write `limits: { connections: ... }` on the backend",
        "maxconn": "write `limits: { connections: ... }` on the backend",
        "max_fails": "write `passive_health: { failures: ... }` on the backend",
        "fail_timeout": "write `passive_health: { exclude_for: ... }` on the backend",
        "slow_start": "write `slow_start` on the backend",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"address": value} if isinstance(value, str) else value


class BackendTimeouts(Model):
    """How long an endpoint is waited for."""

    connect: Duration = Duration("3s")
    """For a connection, name resolution and the TLS handshake included."""
    pending: Duration = Duration("1s")
    """For a free connection or a usable endpoint; then a 503."""
    first_byte: Duration = Duration("30s")
    """From the end of the request to the first byte of the response; then a 504."""
    stall: Duration = Duration("30s")
    """Between two pieces of a response, or of a request's body that the endpoint takes."""

    elsewhere: ClassVar[dict[str, str]] = {
        "queue": "write `pending`",
        "read": "write `first_byte`, or `stall`",
        "server": "write `first_byte`, or `stall`",
        "idle": "write `pool: { idle_time: ... }` on the backend",
    }


class BackendLimits(Model):
    """What one endpoint may be asked, and may answer."""

    connections: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 1_000
    """Connections in use at a time to one endpoint, for the whole node."""
    requests: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None = None
    """Requests at a time to one endpoint; as many as connections without it."""
    total_connections: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None = None
    """Open connections to all endpoints together, idle ones included; no limit without it."""
    total_requests: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None = None
    """Requests at a time to all endpoints together; no limit without it."""
    pending: Annotated[int, Field(ge=0, le=10_000_000, strict=True)] = 1_000
    """Requests that wait for an endpoint with room, in the order they came; more get a 503 at once."""
    header_size: ByteSize = ByteSize("32KiB")
    """Status line and fields of a response; more is a 502."""
    header_fields: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 100
    """Fields of a response; more is a 502."""


class Pool(Model):
    """Idle connections that are kept for later requests."""

    idle: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 100
    """Per endpoint and thread."""
    idle_time: Duration = Duration("4s")
    """How long: below the 5 s at which common servers close; a shorter `Keep-Alive: timeout` is honoured."""
    unsafe_idle_time: Duration = Duration("1s")
    """How long one may have been idle to carry an unsafe method, which can not be sent twice."""


class Zones(Model):
    """How the gateway's own zone, `gateway.zone`, is preferred among endpoints of one priority."""

    prefer: ZonePreference = "local"
    """`local` sends to the own zone what its well endpoints can carry, as `failover` says; `none` looks at no
    zone."""
    spill_at: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """Requests in flight at an endpoint of the own zone, times its weight, from which others are preferred;
    without it others are used when the own ones are at their limits."""


class Failover(Model):
    """When traffic moves to other zones and priorities, and when health is no longer believed."""

    overprovisioning_percent: Annotated[int, Field(ge=100, le=1_000, strict=True)] = 140
    """What well endpoints can carry of their ordinary load: with 140, traffic moves once fewer than 5 of 7
    are well."""
    panic_percent: Annotated[int, Field(ge=0, le=100, strict=True)] = 1
    """Share of well endpoints below which sick ones are used as well: with 1 when none is, with 0 never: then
    a 503."""

    elsewhere: ClassVar[dict[str, str]] = {
        "panic_threshold": "write `panic_percent`",
        "healthy_panic_threshold": "write `panic_percent`",
    }


class RetryBudget(Model):
    """How much of the traffic may be retries, over 10 s, so that retries never break what is already slow."""

    percent: Annotated[int, Field(ge=0, le=100, strict=True)] = 20
    """Of the requests."""
    floor_per_second: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 10
    """Retries that are free, whatever the traffic."""


ProxyVersion = Annotated[Literal["v2", "v1"], Choice("ProxyVersion", doc="A version of the PROXY protocol.")]


class Backend(Model):
    """Endpoints that stand for each other, and how they are used."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "array", "items": Endpoint},)

    endpoints: Annotated[list[Endpoint], ControlOnly()] = Field(default_factory=list)
    """Where they are. They travel apart from the snapshot; an empty list answers 503."""
    discovery: Annotated[Model | None, Rooms("discovery", optional=True), ControlOnly()] = None
    """Where more of them come from; see the rooms of discovery."""
    registration: Annotated[Registration | None, ControlOnly()] = None
    """Whether instances may register themselves, and by which token."""
    processes: Annotated[Processes | None, ControlOnly()] = None
    """Servers of your own that are started, kept alive and replaced one by one, instead of `endpoints`."""
    protocol: BackendProtocol = "http"
    """What is spoken to them."""
    tls: Annotated[BackendTls | None, Reads(read_tls, {"type": "boolean"})] = None
    """How TLS is spoken to them; not at all without it. `true` verifies them by whom the system trusts.
    Endpoints written `https://host:port` have it by themselves."""
    http2: Flag = False
    """Whether HTTP/2 is spoken to them: with `tls` to those that choose it, HTTP/1.1 to the others; without
    `tls` to all (prior knowledge)."""
    balancing: Annotated[Model, Rooms("balancing")] = Field(default="least_request", validate_default=True)
    """How one is picked for a request: a room's name, or `{ type: name, ... }` with its settings."""
    hash: Annotated[list[HashPart], Field(min_length=1, max_length=8), Reads(hash_parts, "item")] = Field(
        default_factory=lambda: [HashPart(kind="client")]
    )
    """What `ring_hash` and `maglev` send to the same endpoint: what is alike in all these parts. A request
    that has none of them goes to an endpoint drawn by weight."""
    slow_start: SlowStart | None = None
    """How endpoints that are new or healthy again come to their full weight; at once without it."""
    load_report: LoadReport | None = None
    """How the load that endpoints report changes their weights; not at all without it."""
    weights: Annotated[ComputedWeights | None, ControlOnly()] = None
    """A Python function by whose numbers the weights are multiplied; none without it."""
    health_check: Annotated[Model | None, Rooms("health", optional=True)] = None
    """How they are probed; not at all without it."""
    passive_health: PassiveHealth = PassiveHealth()
    """How real traffic judges them."""
    timeouts: BackendTimeouts = BackendTimeouts()
    """How long they are waited for."""
    limits: BackendLimits = BackendLimits()
    """What they may be asked and may answer."""
    adaptive_concurrency: AdaptiveConcurrency | None = None
    """A limit of requests that follows the latency; none without it."""
    pool: Pool = Pool()
    """Idle connections that are kept."""
    affinity: Affinity | None = None
    """How requests of one session stay at one endpoint; they do not without it."""
    zones: Zones = Zones()
    """How the gateway's own zone is preferred."""
    failover: Failover = Failover()
    """When traffic moves to other zones and priorities."""
    retry_budget: RetryBudget = RetryBudget()
    """How much of the traffic may be retries."""
    host: HostField = "keep"
    """What `Host` they see: the client's (`keep`), or their own address (`endpoint`)."""
    proxy_protocol: ProxyVersion | None = None
    """Tells endpoints whose connection it is, by the PROXY protocol (`v2`, or `v1`); each request then has a
    connection of its own. Not at all without it."""
    pass_server: Flag = False
    """Whether clients see what endpoints say of their software in `Server` and `X-Powered-By`."""
    policies: Policies = Field(default_factory=list)
    """What happens to every message, after the route's own policies."""

    not_yet: ClassVar[dict[str, str]] = {
        "resolve": "",
        "subset": "",
    }  # fmt: skip

    elsewhere: ClassVar[dict[str, str]] = {
        "h2c": "write `http2: true`",
        "alpn": "write `http2: true`",
        "ssl": "write `tls: true`, or `https://host:port` as endpoints",
        "verify": "certificates of endpoints are verified; write `tls: true`",
        "sni": "write `tls: { server_name: ... }`",
        "server": "write `endpoints`",
        "servers": "write `endpoints`",
        "hosts": "write `endpoints`",
        "targets": "write `endpoints`",
        "url": 'write `endpoints: ["host:port"]`',
        "balance": "write `balancing`",
        "algorithm": "write `balancing`",
        "lb": "write `balancing`",
        "lb_policy": "write `balancing`",
        "check": "write `health_check: { type: tcp }`",
        "httpchk": "write `health_check: { type: http, path: ... }`",
        "cookie": "write `affinity: { by: cookie, name: ... }`",
        "sticky": "write `affinity: cookie`",
        "session_affinity": "write `affinity: cookie`",
        "keepalive": "write `pool: { idle: ... }`",
        "maxconn": "write `limits: { connections: ... }`",
        "circuit_breaker": "write `passive_health`, or `limits`",
        "outlier_detection": "write `passive_health`",
        "queue": "write `limits: { pending: ... }` and `timeouts: { pending: ... }`",
        "panic_threshold": "write `failover: { panic_percent: ... }`",
        "retries": "write `retries` on the routes",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {"endpoints": value}
        return _secured(value)

    @model_validator(mode="after")
    def _hash_is_used(self) -> Backend:
        if "hash" in self.model_fields_set and not getattr(self.balancing, "uses_hash", False):
            room = getattr(self.balancing, "type", "")
            raise refuse(
                f"`hash` means nothing to `balancing: {room}`; write `balancing: ring_hash` or `maglev`",
                "rule",
            )
        return self

    @model_validator(mode="after")
    def _calls_want_http2(self) -> Backend:
        if getattr(self.health_check, "type", None) == "grpc" and not self.http2:
            raise refuse("`health_check: grpc`: calls of gRPC go over HTTP/2; write `http2: true`", "rule")
        return self

    @model_validator(mode="after")
    def _can_be_asked_for(self) -> Backend:
        if self.tls is not None and self.tls.server_name is None:
            for endpoint in self.endpoints:
                if endpoint.address.startswith("unix:"):
                    raise refuse(
                        f"`{endpoint.address}` has no host to ask for in TLS; write one as "
                        "`tls: { server_name: ... }`",
                        "rule",
                    )
        return self

    @model_validator(mode="after")
    def _processes_alone(self) -> Backend:
        for other in ("endpoints", "discovery", "registration"):
            if self.processes is not None and getattr(self, other):
                raise refuse(
                    f"`processes` are all its endpoints; leave `{other}` out, or make it a backend "
                    "of its own and write both in `to`",
                    "rule",
                )
        return self

    @field_validator("endpoints", mode="after")
    @classmethod
    def _distinct(cls, endpoints: list[Endpoint]) -> list[Endpoint]:
        seen: set[str] = set()
        for endpoint in endpoints:
            if endpoint.address in seen:
                raise refuse(
                    f"`{endpoint.address}` is there twice; give one of them the `weight` of both", "rule"
                )
            seen.add(endpoint.address)
        return endpoints


def _secured(value: Any) -> Any:
    """Reads endpoints written `https://host:port` as `host:port` of a backend with `tls`."""
    if not isinstance(value, dict) or not isinstance(value.get("endpoints"), list):
        return value
    if value.get("protocol") == "https":
        raise refuse("`protocol: https` is written `tls: true`, or `https://host:port` as endpoints", "rule")
    endpoints = [_bare(each) for each in value["endpoints"]]
    secured = [is_secured for _, is_secured in endpoints]
    if not any(secured):
        return value
    if not all(secured):
        raise refuse(
            "some endpoints are `https://` and some are not; write two backends, each with its own kind",
            "rule",
        )
    if value.get("tls", True) is None or value.get("tls") is False:
        raise refuse("`tls: false` contradicts its `https://` endpoints; leave one of the two out", "rule")
    return {"tls": True, **value, "endpoints": [endpoint for endpoint, _ in endpoints]}


def _bare(endpoint: Any) -> tuple[Any, bool]:
    """An endpoint without `https://`, and whether it had it; what is wrong otherwise is told elsewhere."""
    text = endpoint.get("address") if isinstance(endpoint, dict) else endpoint
    if not isinstance(text, str) or not text.startswith("https://"):
        return endpoint, False
    try:
        address = addresses.backend_url(text).address
    except ValueError as error:
        raise refuse(str(error), "text") from None
    return ({**endpoint, "address": address} if isinstance(endpoint, dict) else address), True
