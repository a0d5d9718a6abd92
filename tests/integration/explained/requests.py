# SPDX-License-Identifier: Apache-2.0
"""Random requests: most ordinary, some with spellings that a gateway must read in one way only."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from tidegate import Gateway

from .configurations import HOSTS, METHODS, SEGMENTS, random_path

_ODD_HOSTS = ["SHOP.test", "shop.test.", "x.shop.test", "unknown.test", "shop.test:8080"]
_ODD_PATHS = [
    "//users",
    "/users//v1",
    "/./users",
    "/%75sers",
    "/users%2Fv1",
    "/a;p=1/b",
    "/users/../v1",
    "/a%zz",
]

_CHAINS = [
    "192.0.2.7",
    "203.0.113.9, 127.0.0.2",
    "192.0.2.7, 203.0.113.9",
    "203.0.113.9, 192.0.2.7",
    "nonsense",
]
_PARAMETER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Asked:
    """One request, as `explain` is asked about it and as it is sent."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def wire(self) -> bytes:
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def question(self) -> dict[str, object]:
        return {"method": self.method, "url": self.target, "headers": self.headers}


def _path(draw: random.Random, gateway: Gateway) -> str:
    """Mostly one that some route was written for, so that routes compete."""
    kind = draw.random()
    if kind < 0.1:
        return draw.choice(_ODD_PATHS)
    wanted = draw.choice(gateway.http_routes).match.path if gateway.http_routes else None
    if kind < 0.4 or wanted is None or wanted.kind == "regex":
        return random_path(draw, 4)
    path = _PARAMETER.sub(lambda _: draw.choice(SEGMENTS), wanted.value)
    if wanted.kind == "prefix" and draw.random() < 0.5:
        path = path.rstrip("/") + random_path(draw, 2)
    return path


def random_request(draw: random.Random, gateway: Gateway) -> Asked:
    """A request that `gateway` may take, or not."""
    host = draw.choice(_ODD_HOSTS) if draw.random() < 0.15 else draw.choice(HOSTS)
    path = _path(draw, gateway)
    if draw.random() < 0.1:
        path = path.rstrip("/") + "/"
    if draw.random() < 0.3:
        path += "?" + draw.choice(["q=1", "q=22&r=x", "q", "q=x", "r=1&q=1", "%71=1", ""])
    headers = [("Host", host)]
    if draw.random() < 0.3:
        headers.append(("X-Tier", draw.choice(["gold", "goodness", "tin", ""])))
        if draw.random() < 0.1:
            headers.append(("X-Tier", "gold"))
    if draw.random() < 0.2:
        headers.append(("Cookie", draw.choice(["c=1", "b=2; c=3", "c=1; c=2", "d=1"])))
    if draw.random() < 0.3:
        headers.append(("X-Forwarded-For", draw.choice(_CHAINS)))
    if draw.random() < 0.2:
        headers.append((draw.choice(["X-Set", "x_set", "X-Other"]), draw.choice(SEGMENTS)))
    if draw.random() < 0.1:
        headers.append(("Connection", "X-Other"))
    return Asked(draw.choice([*METHODS, "GET", "GET"]), path, headers)
