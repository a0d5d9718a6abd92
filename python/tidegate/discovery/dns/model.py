# SPDX-License-Identifier: Apache-2.0
"""Settings of `dns`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import Choice, Rule
from tidegate.config.types import Duration, Name, Port, Weight


def _name(text: str) -> str:
    """A name to ask for, in lower case, without the dot at its end.

    Raises:
        ValueError: It is none.
    """
    labels = text.lower().removesuffix(".").split(".")
    if len(text) > 254 or not all(1 <= len(label) <= 63 for label in labels):
        raise ValueError(f"`{text}` is no name in the DNS; write one such as `shop.internal`")
    if not all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in "".join(labels)):
        raise ValueError(f"`{text}` has characters that names in the DNS do not have; write it in ASCII")
    return ".".join(labels)


def _resolver(text: str) -> str:
    """`IP`, `IP:port` or `[IPv6]:port`, always with a port afterwards.

    Raises:
        ValueError: It is none of them.
    """
    from ipaddress import ip_address

    host, port = text, "53"
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"`{text}` is no address; write `IP` or `IP:port`") from None
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"`{text}` has no port from 1 to 65535 after the `:`")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


DnsRecord = Annotated[
    Literal["address", "a", "aaaa", "srv"], Choice("DnsRecord", doc="What is asked for in the DNS.")
]


class DnsDiscovery(Model):
    """Endpoints are the addresses of a name in the DNS, asked for again as its TTL says."""

    in_engine: ClassVar[bool] = False

    type: Literal["dns"] = "dns"
    """The room."""
    name: Annotated[str, Rule(_name, "name")]
    """What is asked for, whole: no search list is tried."""
    record: DnsRecord = "address"
    """`address` asks for A and AAAA; `srv` records have ports, weights and priorities."""
    port: Port | None = None
    """The endpoints' port; not for `srv`."""
    weight: Weight = 1
    """The weight of each endpoint; not for `srv`."""
    zone: Name | None = None
    """Where they stand, if that is known."""
    resolvers: list[Annotated[str, Rule(_resolver, "`IP`, `IP:port` or `[IPv6]:port`")]] = Field(
        default_factory=list
    )
    """Who is asked, in this order; those of the system without it."""
    timeout: Duration = Duration("5s")
    """How long a look-up may take in all."""
    min_ttl: Duration = Duration("5s")
    """How long an answer holds at least, whatever its TTL."""
    max_ttl: Duration = Duration("5m")
    """How long it holds at most."""

    @model_validator(mode="after")
    def _fits(self) -> DnsDiscovery:
        if self.record == "srv" and self.port is not None:
            raise refuse("has a `port`, and SRV records have their own; leave it out", "rule")
        if self.record != "srv" and self.port is None:
            raise refuse("needs a `port`, which addresses do not have; or write `record: srv`", "rule")
        if self.min_ttl > self.max_ttl:
            raise refuse("has a `min_ttl` longer than its `max_ttl`; change one of them", "rule")
        return self
