# SPDX-License-Identifier: Apache-2.0
"""A forward proxy: who may use it, and where it goes."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, field_validator, model_validator

from tidegate.config import addresses
from tidegate.config.base import Model, refuse
from tidegate.config.clients import CertificateName, one_or_several
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.passwords import is_hash
from tidegate.config.types import (
    BackendRef,
    ByteSize,
    ControlOnly,
    Duration,
    FileContent,
    Flag,
    Name,
    Network,
    PathText,
    Port,
    SecretText,
)

_WITH_PORT = re.compile(r"(.*[^:\]]|\[.*\]):([0-9]{1,5})")
LEAST_RATE: Final = 1024


def proxied_host(text: str) -> str:
    """A host that a proxy is asked for: `*`, a name, `*.name` (what is below it), `.name` (it as well).

    Raises:
        ValueError: It is none.
    """
    if text == "*":
        return text
    if text.startswith("."):
        return "." + addresses.host_name(text[1:])
    found = addresses.host_pattern(text)
    if found.startswith("[") or found[-1:].isdigit():
        raise ValueError(f"`{text}` is an address; write it in `addresses`")
    return found


def server(text: str) -> str:
    """A DNS server's address and port; 53 if it says none.

    Raises:
        ValueError: It is none.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        found = addresses.endpoint_address(text)
        if found.startswith("unix:") or not (found.startswith("[") or found.rpartition(":")[0][-1].isdigit()):
            raise ValueError(f"`{text}` is no address of a DNS server; write `192.0.2.53`") from None
        return found
    return f"[{address}]:53" if address.version == 6 else f"{address}:53"


def _user_name(text: str) -> str:
    if not text or ":" in text or not text.isprintable():
        raise ValueError("a user's name has a character, and no `:`")
    return text


ProxiedHost = Annotated[str, Rule(proxied_host, "`*`, host, `*.host` (below it), `.host` (it as well)")]
DnsServer = Annotated[str, Rule(server, "`IP` or `IP:port`")]


def _rule(text: str) -> dict[str, Any]:
    """A rule of one text: a host, an address or a network, with or without a port."""
    rule: dict[str, Any] = {}
    with_port = _WITH_PORT.fullmatch(text)
    host = text
    if with_port and (text.startswith("[") or text.count(":") == 1):
        host = with_port[1]
        rule["ports"] = [int(with_port[2])]
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_address = "/" in bare or ":" in bare or re.fullmatch(r"[0-9.]+", bare)
    return {**rule, "addresses": [bare]} if is_address else {**rule, "hosts": [host]}


class ForwardRule(Model):
    """Hosts, addresses and ports: all that is given must fit. A text alone is a host, an address or a
    network, with or without a port."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    hosts: Annotated[list[ProxiedHost], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts as clients name them; any without it."""
    addresses: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks of the very address that is connected to; any of the internet without it. In `allow` it opens
    what is closed by itself, such as `10.0.0.0/8`; metadata services must be named by their whole address."""
    ports: Annotated[list[Port], Reads(one_or_several, "item")] = Field(default_factory=list)
    """Ports; in `allow` they are open besides those of the listener."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return _rule(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something(self) -> ForwardRule:
        if not (self.hosts or self.addresses or self.ports):
            raise refuse("says nothing; write a host, an address or a port, or `*` for every host", "rule")
        return self


class ForwardLimits(Model):
    """What one user may take."""

    connections: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """Tunnels and requests at a time, on the whole node; more get a 429. Without it as many as come."""
    rate: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """Tunnels and requests a second that may begin; more get a 429. Without it as many as come."""
    burst: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 100
    """How many may begin at once under a `rate`."""
    idle: Duration | None = None
    """How long nothing may move in a tunnel; without it what the listener says."""
    life: Duration | None = None
    """How long a tunnel may live; without it what the listener says."""
    upload: ByteSize | None = None
    """Bytes a second that the user's tunnels and requests send, all together on the node; more waits. As fast
    as it goes without it."""
    download: ByteSize | None = None
    """The same for what they receive."""

    elsewhere: ClassVar[dict[str, str]] = {
        "bandwidth": "write `upload` and `download`, bytes a second: `download: 10MiB`",
        "delay_pools": "write `upload` and `download`, bytes a second: `download: 10MiB`",
    }

    @field_validator("upload", "download", mode="after")
    @classmethod
    def _moves_on(cls, rate: ByteSize | None) -> ByteSize | None:
        if rate is not None and rate < LEAST_RATE:
            raise refuse("is too slow for anything to come through; write at least `1KiB` a second", "rule")
        return rate


Rules = Annotated[
    list[ForwardRule], Field(max_length=10_000), Reads(one_or_several, ForwardRule, {"type": "string"})
]


class ForwardUser(Model):
    """Who may use the proxy: all of `password`, `certificate` and `clients` that is given must hold."""

    name: Name
    """In the log, in metrics, and in the credentials of those who have a password."""
    password: SecretText | None = None
    """The password's hash, as `tidegate hash-password` prints it: `${env:ANNA}` or `${file:anna.hash}`."""
    certificate: Annotated[list[CertificateName], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Names of which the client's certificate has one; the listener's `tls` says whose are believed."""
    clients: Annotated[list[Network], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Networks, one of which holds the client's address."""
    allow: Rules = Field(default_factory=list)
    """Where the user may go, in place of the listener's `allow`; that one without it."""
    deny: Rules = Field(default_factory=list)
    """Where not, besides the listener's `deny`."""
    limits: ForwardLimits = ForwardLimits()
    """What the user may take."""

    @model_validator(mode="after")
    def _is_told_apart(self) -> ForwardUser:
        if self.password is None and not self.certificate and not self.clients:
            says = (
                "write a `password`, the names in a `certificate`, or `clients`, the networks they come from"
            )
            raise refuse(f"nothing tells who this is; {says}", "rule")
        if self.password is not None:
            text = self.password if isinstance(self.password, str) else self.password.reveal()
            if not is_hash(text.strip()):
                raise refuse(
                    "`password` is no hash of one; write what `tidegate hash-password` prints", "rule"
                )
        return self


class ForwardDns(Model):
    """How names are looked up."""

    resolvers: Annotated[list[DnsServer], Field(max_length=8), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Those that are asked; without any `/etc/hosts`, then the servers in `/etc/resolv.conf`."""
    timeout: Duration = Duration("5s")
    """For one look-up; then a 502."""
    max_ttl: Duration = Duration("5m")
    """How long an answer is remembered, if its TTL is not shorter; at least whole seconds."""

    elsewhere: ClassVar[dict[str, str]] = {"servers": "write `resolvers`", "ttl": "write `max_ttl`"}


class ForwardTimeouts(Model):
    """How long other servers are waited for."""

    connect: Duration = Duration("3s")
    """For a connection to one address; with more than one address the others get their turn after 1 s."""
    first_byte: Duration = Duration("30s")
    """From the end of a request to the first byte of the response; then a 504."""
    stall: Duration = Duration("30s")
    """Between two pieces of a response, or of a request's body that the server takes."""
    idle: Duration = Duration("1h")
    """How long nothing may move in a tunnel; then it is ended."""
    life: Duration | None = None
    """How long a tunnel may live; without it as long as both sides want."""


class ForwardPac(Model):
    """A file that tells browsers when to use the proxy (PAC). It is served to everybody who asks for its
    path on this listener."""

    path: PathText = "/proxy.pac"
    """Where it is."""
    proxy: Annotated[str, Rule(addresses.endpoint_address, "`host:port`")] | None = None
    """The proxy as browsers reach it; the file is made of it and `direct`."""
    direct: Annotated[list[ProxiedHost], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts that browsers go to by themselves; names without dots always are."""
    file: FileContent | None = None
    """The whole file instead: `${file:proxy.pac}`."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> ForwardPac:
        if (self.proxy is None) == (self.file is None):
            raise refuse("needs either `proxy: host:port`, or `file: ${file:proxy.pac}`", "rule")
        if self.file is not None and self.direct:
            raise refuse("`direct` is for a file that is made here; leave it out with `file`", "rule")
        return self

    def text(self, is_secured: bool) -> str:
        """What is served."""
        if self.file is not None:
            return self.file
        lines = ["function FindProxyForURL(url, host) {", "  if (isPlainHostName(host)) return 'DIRECT';"]
        for host in self.direct:
            name = host.lstrip("*.")
            below = f"dnsDomainIs(host, '.{name}')"
            is_it = f"host === '{name}'"
            test = {"*.": below, ".": f"{is_it} || {below}"}.get(host.removesuffix(name), is_it)
            lines.append(f"  if ({'true' if host == '*' else test}) return 'DIRECT';")
        kind = "HTTPS" if is_secured else "PROXY"
        return "\n".join([*lines, f"  return '{kind} {self.proxy}';", "}", ""])


class ForwardParent(Model):
    """Another proxy that is asked for some hosts, or that none is."""

    hosts: Annotated[list[ProxiedHost], Reads(one_or_more, "item")] = Field(default_factory=list)
    """The hosts; all without it. The first entry that fits goes."""
    backend: BackendRef | None = None
    """The backend whose endpoints are proxies; without it servers are asked themselves."""
    user: Annotated[str, Rule(_user_name, "text without `:`")] | None = None
    """Who we are there."""
    password: SecretText | None = None
    """The password there: `${env:NAME}` or `${file:path}`."""

    @model_validator(mode="after")
    def _is_whole(self) -> ForwardParent:
        if self.backend is not None and addresses.is_url(self.backend):
            raise refuse("write the proxies' addresses in section `backends`, and the name here", "rule")
        if (self.user is None) != (self.password is None):
            raise refuse("`user` and `password` go together; write both, or none", "rule")
        if self.user is not None and self.backend is None:
            raise refuse("credentials are for other proxies; write `backend`, or leave them out", "rule")
        return self


class ForwardProxy(Model):
    """Who may use a forward proxy, and where it goes."""

    users: Annotated[list[ForwardUser], Field(max_length=10_000)] = Field(default_factory=list)
    """Who may use it. Without any, everybody who reaches the listener, which must be on loopback then."""
    allow: Rules = Field(default_factory=list)
    """Where it goes; all of the internet without it. Private, loopback, link-local and reserved addresses are
    closed unless a rule names them by `addresses`."""
    deny: Rules = Field(default_factory=list)
    """Where it does not go, whatever is allowed."""
    ports: Annotated[list[Port], Field(min_length=1)] = Field(default_factory=lambda: [80, 443])
    """Ports of `http://` URLs."""
    connect_ports: Annotated[list[Port], Field(min_length=1)] = Field(default_factory=lambda: [443])
    """Ports of CONNECT."""
    via: Flag = True
    """Whether servers are told in `Via` that there is a proxy."""
    pseudonym: Name | None = None
    """What it is called there, which should name neither host nor client; made up at random without it."""
    dns: ForwardDns = ForwardDns()
    """How names are looked up."""
    timeouts: ForwardTimeouts = ForwardTimeouts()
    """How long other servers are waited for."""
    parents: Annotated[list[ForwardParent], Field(max_length=1_000)] = Field(default_factory=list)
    """Other proxies that are asked, by host; the first that fits. Names are looked up by them, so that
    `addresses` of rules are for hosts that are addresses."""
    pac: Annotated[ForwardPac | None, ControlOnly()] = None
    """A file that tells browsers when to use the proxy; none without it."""

    elsewhere: ClassVar[dict[str, str]] = {
        "acl": "write `allow` and `deny`",
        "auth": "write `users: [{ name: anna, password: ${env:ANNA} }]`",
        "anyone": "write `users: [{ name: anyone, clients: [0.0.0.0/0, ::/0] }]`",
        "whitelist": "write `allow`",
        "blacklist": "write `deny`",
        "resolver": "write `dns: { resolvers: [...] }`",
    }
    not_yet: ClassVar[dict[str, str]] = {"socks": ""}

    @model_validator(mode="after")
    def _names_are_one(self) -> ForwardProxy:
        seen: set[str] = set()
        for user in self.users:
            if user.name in seen:
                raise refuse(f"two users are called `{user.name}`; choose another name", "rule")
            seen.add(user.name)
        return self
