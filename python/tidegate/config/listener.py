# SPDX-License-Identifier: Apache-2.0
"""Where connections are accepted: section `listeners`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tidegate.config.admission import Admission
from tidegate.config.base import Model, refuse
from tidegate.config.forward_proxy import ForwardProxy
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.pages import ErrorPages, Maintenance
from tidegate.config.policy import Policies
from tidegate.config.secure import ListenerRedirect
from tidegate.config.tls import ListenerTls
from tidegate.config.types import ByteSize, Choice, Duration, Flag, ListenerAddress, Network

_NOT_YET_PROTOCOLS = frozenset({"dns"})

_HTTP3 = "write `http3: true` at a listener with `tls`; it speaks the other versions as well"
_HTTP2 = "write `protocol: http` and `http2: true`; with `tls` HTTP/2 is on by itself"

ListenerProtocol = Annotated[
    Literal["http", "https", "tcp", "tls", "mixed", "forward", "udp"],
    Choice(
        "ListenerProtocol",
        not_yet=_NOT_YET_PROTOCOLS,
        instead=(
            ("http2", _HTTP2),
            ("h2", _HTTP2),
            ("h2c", _HTTP2),
            ("http3", _HTTP3),
            ("h3", _HTTP3),
            ("quic", _HTTP3),
        ),
        doc="What is spoken on a listener.",
    ),
]


_HTTP_ONLY = {
    "limits": ("header_size", "header_fields", "target_size", "body_size"),
    "timeouts": ("header", "body_stall", "body_rate", "send_stall", "idle"),
}
"""What says nothing of connections without requests, besides the settings of `_HTTP_SETTINGS`."""
_HTTP_SETTINGS = (
    "redirect",
    "http2",
    "http3",
    "proxy_status",
    "merge_slashes",
    "policies",
    "error_pages",
    "maintenance",
)


class ListenerLimits(Model):
    """What one client may cost."""

    header_size: ByteSize = ByteSize("32KiB")
    """Request line and fields together; more is a 431."""
    header_fields: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 100
    """Fields of a request, and of its trailers; more is a 431."""
    target_size: ByteSize = ByteSize("8KiB")
    """The request target; more is a 414."""
    body_size: ByteSize = ByteSize("10MiB")
    """A request's body; more is a 413. Upgraded connections and event streams are not counted."""
    streams: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 100
    """Requests at a time on one connection of HTTP/2 or HTTP/3; more are refused, and may be sent again."""
    connections: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 10_000
    """Connections at a time, with `protocol: udp` sessions."""
    connections_per_address: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 1_000
    """Connections or sessions at a time from one address (IPv6: from one /64); trusted proxies are exempt."""
    connection_rate: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """New connections or sessions a second; more are refused. Without it as many as come."""
    connection_burst: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 100
    """New connections that may come at once under a `connection_rate`."""


class ProxyProtocol(Model):
    """Proxies in front that say whose connection it is, by the PROXY protocol, version 1 or 2."""

    short_forms: ClassVar[tuple[Any, ...]] = (
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    )

    sources: Annotated[list[Network], Field(min_length=1), Reads(one_or_more, "item")]
    """Their networks and addresses: every connection from there begins with the head, and others do not."""
    timeout: Duration = Duration("5s")
    """How long the head may take; then the connection is reset."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"sources": value} if isinstance(value, str | list) else value


class Http3(Model):
    """HTTP/3, and how clients of the other versions are told of it. `true` is all of the defaults."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "boolean"},)

    advertise: Flag = True
    """Whether responses over the other versions say by `Alt-Svc` (RFC 7838) that it is spoken; those of
    endpoints that say `Alt-Svc` themselves stay as they are."""
    max_age: Duration = Duration("24h")
    """How long clients may remember that, in whole seconds."""
    port: Annotated[int, Field(ge=1, le=65535, strict=True)] | None = None
    """The port clients are told of, where something in between has another than the listener."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {} if value is True else value

    @model_validator(mode="after")
    def _whole_seconds(self) -> Http3:
        if int(self.max_age) % 1000:
            raise refuse("`max_age` is in whole seconds", "rule")
        if not self.advertise and self.model_fields_set & {"max_age", "port"}:
            raise refuse(
                "nothing is said of it with `advertise: false`; leave `max_age` and `port` out", "rule"
            )
        return self


class ListenerTimeouts(Model):
    """How long a client is waited for."""

    first_bytes: Duration = Duration("3s")
    """With `protocol: mixed`, how long the first bytes are waited for that tell what is spoken; then the
    connection is one of TCP, whose server may be the one who speaks first."""
    handshake: Duration = Duration("10s")
    """From a connection's begin to the end of its TLS handshake; then it is closed."""
    header: Duration = Duration("10s")
    """From a request's first byte to the end of its header; then a 408."""
    body_stall: Duration = Duration("30s")
    """Between two pieces of a request's body; then a 408."""
    body_rate: ByteSize = ByteSize("240B")
    """Bytes per second a request's body has to reach over `body_stall`; then a 408."""
    send_stall: Duration = Duration("30s")
    """Between two pieces of a response that the client takes; then the connection is closed."""
    idle: Duration = Duration("60s")
    """Between two requests on a connection."""


class Listener(Model):
    """Address, port and protocol where connections are accepted."""

    address: ListenerAddress = "::"
    """An IP address (`::` is all of IPv6 and IPv4), or `unix:/path`."""
    port: Annotated[int, Field(ge=0, le=65535, strict=True)] = 0
    """The port, from 1; 0, which is the default, with a Unix socket."""
    protocol: ListenerProtocol = "http"
    """What is spoken; `https` where there is `tls`. `tcp` passes on what comes, out of its TLS where there is
    `tls`; `tls` passes TLS on, by the host that the client asks for; `mixed` is all of these, told apart by
    a connection's first bytes. `udp` passes datagrams on. `forward` is a forward proxy, over TLS
    where there is `tls`."""
    tls: ListenerTls | None = None
    """How TLS is spoken."""
    forward: ForwardProxy | None = None
    """With `protocol: forward`: who may use the proxy, and where it goes."""
    redirect: ListenerRedirect | None = None
    """Whether clients are sent to HTTPS. Only routes that name the listener are served on it then."""
    http2: Flag | None = None
    """Whether HTTP/2 is spoken: with `tls`, with whoever offers it, unless `false`; without `tls` only
    if `true`, with whoever begins with it (prior knowledge)."""
    http3: Http3 | None = None
    """Whether HTTP/3 is spoken too, on the same port of UDP. It has to be asked for: firewalls and whatever
    else is in front must let UDP through, and the port must be free there as well."""
    limits: ListenerLimits = ListenerLimits()
    """What one client may cost."""
    timeouts: ListenerTimeouts = ListenerTimeouts()
    """How long a client is waited for."""
    clients: Admission = Admission()
    """Whose connections are taken, by the address at their other end; others are closed unread."""
    proxy_protocol: ProxyProtocol | None = None
    """Who says by the PROXY protocol whose its connections are; `clients` judges those then."""
    proxy_status: Flag = False
    """Whether responses tell in `Proxy-Status` (RFC 9209) what went wrong."""
    merge_slashes: Flag = True
    """Whether `//` in a path is one `/`."""
    policies: Policies = Field(default_factory=list)
    """What happens to every message, before the route's own policies."""
    error_pages: ErrorPages = Field(default_factory=list)
    """Pages by status (`404`, `5xx`), before those of the gateway."""
    maintenance: Maintenance | None = None
    """Whether requests are answered with a 503; without it, what the gateway says."""

    elsewhere: ClassVar[dict[str, str]] = {
        "hosts": "write `hosts` on the routes",
        "hostname": "write `hosts` on the routes",
        "server_name": "write `hosts` on the routes",
        "listen": "write `address` and `port`",
        "bind": "write `address` and `port`",
        "mode": "write `protocol`",
        "ssl": "write `tls: { certificates: [{ cert: site.pem, key: site.key }] }`",
        "certificates": "write `tls: { certificates: [{ cert: site.pem, key: site.key }] }`",
        "maxconn": "write `limits: { connections: ... }`",
        "default_backend": "write a route: `{ path: /, to: name }` in section `routes`",
        "routes": "write them in section `routes`",
        "hsts": "write it in `tls`: `tls: { certificates: [...], hsts: 365d }`",
        "quic": "write `http3: true`",
        "alt_svc": "write `http3: true`, which says it; or `http3: { advertise: true, max_age: 24h }`",
        "redirect_to": "write `redirect: https`",
        "https_redirect": "write `redirect: https`",
    }

    @model_validator(mode="before")
    @classmethod
    def _no_port_alone(cls, value: Any) -> Any:
        port = str(value).removeprefix(":") if isinstance(value, int | str) else ""
        if port.isdecimal():
            raise refuse(f"must be a mapping; write `{{ port: {port} }}`")
        if isinstance(value, dict) and value.get("http3") is False:
            value = {**value, "http3": None}
        if isinstance(value, dict) and value.get("tls") is not None and "protocol" not in value:
            return {**value, "protocol": "forward" if "forward" in value else "https"}
        if isinstance(value, dict) and value.get("forward") is not None and "protocol" not in value:
            return {**value, "protocol": "forward"}
        return value

    @model_validator(mode="after")
    def _is_secured(self) -> Listener:
        if self.protocol == "https" and self.tls is None:
            example = "`tls: { certificates: [{ cert: site.pem, key: site.key }] }`"
            raise refuse(f"`protocol: https` needs certificates; write {example}, or `tls: auto`", "rule")
        if self.protocol == "udp":
            for key in ("tls", "proxy_protocol"):
                if getattr(self, key) is not None:
                    raise refuse(f"`protocol: udp` passes datagrams on unread; leave `{key}` out", "rule")
            if "handshake" in self.timeouts.model_fields_set:
                raise refuse("datagrams have no handshake; leave `timeouts.handshake` out", "rule")
            if self.address.startswith("unix:"):
                raise refuse("datagrams come to a port; write an IP address and a `port`", "rule")
        if self.protocol == "tls" and self.tls is not None:
            says = "`protocol: tls` passes TLS on unread; leave `tls` out, or write `protocol: tcp`"
            raise refuse(says, "rule")
        if self.tls is not None and self.tls.alpn and self.protocol != "tcp":
            says = "`alpn` is for other protocols than HTTP, which announces its own; leave it out"
            raise refuse(f"{says}, or write `protocol: tcp`", "rule")
        if self.protocol != "mixed" and "first_bytes" in self.timeouts.model_fields_set:
            raise refuse("`timeouts.first_bytes` is for `protocol: mixed`; leave it out", "rule")
        if self.is_l4 and self.tls is not None and self.tls.hsts is not None:
            raise refuse("`hsts` is for HTTP; leave it out with `protocol: tcp`", "rule")
        # Nobody looks later which host is meant: a client would name the one that asks for less.
        if self.is_l4 and self.tls is not None and any(each.hosts for each in self.tls.client_certificates):
            says = "`client_certificates` by `hosts` need requests that name them; leave `hosts` out"
            raise refuse(f"{says} with `protocol: tcp`", "rule")
        if self.protocol == "http" and self.tls is not None:
            raise refuse("with `tls` it is `protocol: https`; write that, or leave `tls` out", "rule")
        if self.protocol == "http" and self.http3 is not None:
            raise refuse("HTTP/3 is always secured; write `tls`, or leave `http3` out", "rule")
        if self.protocol != "https" and self.http3 is not None:
            raise refuse(f"`http3` is for `protocol: https`; leave it out with `{self.protocol}`", "rule")
        if self.redirect is not None and self.tls is not None:
            raise refuse("it speaks https already; write `redirect` at the listener that does not", "rule")
        return self

    @model_validator(mode="after")
    def _is_no_open_proxy(self) -> Listener:
        if self.protocol != "forward":
            if self.forward is not None:
                raise refuse("`forward` is for `protocol: forward`; write that, or leave it out", "rule")
            return self
        for key in ("redirect", "merge_slashes"):
            if key in self.model_fields_set:
                raise refuse(f"`{key}` is for routes; leave it out with `protocol: forward`", "rule")
        if self.tls is not None and self.tls.hsts is not None:
            raise refuse("`hsts` would be told of other people's sites; leave it out here", "rule")
        own = self.forward or ForwardProxy()
        has_addresses = not self.address.startswith("unix:")
        if not own.users and has_addresses and not ipaddress.ip_address(self.address).is_loopback:
            users = "`forward: { users: [{ name: staff, clients: 10.0.0.0/8 }] }`"
            says = f"everybody who reaches it could use it; write who may, such as {users}"
            raise refuse(f"{says}, or `address: 127.0.0.1`", "rule")
        for user in own.users:
            if user.certificate and not (self.tls and self.tls.client_certificates):
                says = f"user `{user.name}` is told by a certificate, and nobody is asked for one"
                raise refuse(f"{says}; write `tls: {{ client_certificates: {{ ca: ca.pem }} }}`", "rule")
            if user.clients and not has_addresses:
                raise refuse("clients of a Unix socket have no addresses; leave `clients` out", "rule")
        return self

    @property
    def is_l4(self) -> bool:
        """Whether it takes connections as they are, and knows of no requests."""
        return self.protocol in ("tcp", "tls", "udp")

    @property
    def scheme(self) -> str:
        """What an address of it begins with: `http`, `https`, `tcp` or `tls`."""
        if self.protocol == "mixed":
            return "http" if self.tls is None else "https"
        return self.protocol

    @property
    def is_secured_http(self) -> bool:
        """Whether it takes requests inside of TLS."""
        return self.tls is not None and not self.is_l4

    @model_validator(mode="after")
    def _speaks_no_http(self) -> Listener:
        if not self.is_l4:
            return self
        for key in _HTTP_SETTINGS:
            if key in self.model_fields_set:
                raise refuse(f"`{key}` is for HTTP; leave it out with `protocol: {self.protocol}`", "rule")
        for section, keys in _HTTP_ONLY.items():
            for key in keys:
                if key in getattr(self, section).model_fields_set:
                    instead = "; write it on the route: `timeouts: { idle: ... }`" if key == "idle" else ""
                    says = f"`{section}.{key}` is for HTTP; leave it out with `protocol: {self.protocol}`"
                    raise refuse(says + instead, "rule")
        return self

    @model_validator(mode="after")
    def _has_place(self) -> Listener:
        if self.address.startswith("unix:"):
            if self.port:
                raise refuse("a Unix socket has no port; leave `port` out", "rule")
            if self.clients != Admission():
                raise refuse("clients of a Unix socket have no addresses; leave `clients` out", "rule")
            if self.http3 is not None:
                raise refuse("HTTP/3 needs a port; leave `http3` out", "rule")
            if self.proxy_protocol is not None:
                says = "clients of a Unix socket have no addresses; leave `proxy_protocol` out"
                raise refuse(says, "rule")
        elif not self.port:
            raise refuse("needs a `port` from 1 to 65535", "rule")
        return self
