# SPDX-License-Identifier: Apache-2.0
"""The topologies as data: which tidegate instances and which services run, and how they are wired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVICE_PORT = 7070
ZONES = {"az-1": 1, "az-2": 2}
PER_ZONE = 2
NUMBERS = {"web": 1, "user": 2, "order": 3, "payment": 4, "cart": 5, "monolith": 6, "stock": 7}
"""Each service's digit in its instances' addresses: 127.0.<zone>.<digit><instance in zone>."""


@dataclass(frozen=True)
class Service:
    """One process of the shop."""

    kind: str
    """The module in `shop`: `user`."""
    name: str
    """The instance: `user-3`."""
    zone: str
    address: str
    """As the topologies' files write it, before it is moved to a demo's own block."""

    @property
    def is_http(self) -> bool:
        """Whether it speaks HTTP; the stock speaks in lines."""
        return self.kind != "stock"


@dataclass(frozen=True)
class Instance:
    """One tidegate."""

    name: str
    file: str
    """Its configuration, in the topology's folder."""
    address: str
    """`IP:port` of its listener, as the file writes it."""
    role: str
    """What it is there for, in a few words."""
    environment: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""
    """`IP:port` where what is inside asks the outermost one, without TLS; "" for others."""


@dataclass(frozen=True)
class Topology:
    """A way to put tidegates in front of the shop."""

    name: str
    title: str
    instances: tuple[Instance, ...]
    """From the outermost inwards."""
    services: tuple[Service, ...]


def services(*kinds: str) -> tuple[Service, ...]:
    """Two instances of each kind in each zone: `user-1`, `user-2` in az-1, `user-3`, `user-4` in az-2."""
    return tuple(
        service(kind, zone, number) for kind in kinds for zone in ZONES for number in range(1, PER_ZONE + 1)
    )


def _stock() -> tuple[Service, ...]:
    """One instance in each zone."""
    return tuple(
        Service("stock", f"stock-{place}", zone, f"127.0.{place}.{NUMBERS['stock']}1")
        for zone, place in ZONES.items()
    )


def service(kind: str, zone: str, number: int) -> Service:
    """The instance `number` (from 1) of `kind` in its zone."""
    place = ZONES[zone]
    if number <= PER_ZONE:
        label = (place - 1) * PER_ZONE + number
    else:
        # Added later: the numbers after those that were there from the start.
        label = len(ZONES) * PER_ZONE + number - PER_ZONE
    return Service(kind, f"{kind}-{label}", zone, f"127.0.{place}.{NUMBERS[kind]}{number}")


def _gateway(number: int) -> Instance:
    address = f"127.0.10.{number}"
    environment = {"GATEWAY": f"gateway-{number}", "GATEWAY_ADDRESS": address}
    return Instance(f"gateway-{number}", "gateway.yaml", f"{address}:7080", "API gateway", environment)


def _balancer(address: str, inside: str = "") -> Instance:
    return Instance("load-balancer", "load_balancer.yaml", address, "load balancer", inside=inside)


PUBLIC = "127.0.0.1:8443"
INSIDE = "127.0.9.1:7080"
_SHOP = services("web", "user", "order", "payment", "cart")

TOPOLOGIES = {
    topology.name: topology
    for topology in (
        Topology(
            "chain",
            "load balancer -> two gateways -> services",
            (_balancer(PUBLIC, INSIDE), _gateway(1), _gateway(2)),
            (*_SHOP, *_stock()),
        ),
        Topology(
            "gateway_first",
            "gateway -> load balancer -> services",
            (
                Instance("gateway", "gateway.yaml", PUBLIC, "API gateway", inside=INSIDE),
                _balancer("127.0.20.1:7080"),
            ),
            _SHOP,
        ),
        Topology(
            "load_balancer",
            "load balancer alone, in front of four equal servers",
            (_balancer(PUBLIC, INSIDE),),
            services("monolith"),
        ),
        Topology(
            "function",
            "gateway -> Python functions, no servers at all",
            (Instance("serverless", "functions.yaml", PUBLIC, "gateway and functions", inside=INSIDE),),
            (),
        ),
    )
}
DEFAULT = "chain"
