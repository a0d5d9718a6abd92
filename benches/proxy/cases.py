# SPDX-License-Identifier: Apache-2.0
"""What is measured: the same work for every proxy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    """Key in the results file."""
    title: str
    """As the tables call it."""
    size: int = 128
    """Bytes in each answer's body."""
    routes: int = 1
    """Path prefixes configured; above 1 they are asked in turn."""
    close: bool = False
    """A new connection per request."""
    connections: int = 64
    """Client connections at once."""
    rate: int = 10_000
    """Requests a second for the latency figures, below what nginx and HAProxy can do."""
    slow_rate: int = 2_000
    """The same for the asyncio proxy, which cannot hold `rate`."""

    def values(self) -> dict[str, str | float]:
        """What the load tool is told."""
        prefix = "/r{}" if self.routes > 1 else ""
        return {
            "path": f"{prefix}/b/{self.size}",
            "paths": self.routes,
            "size": self.size,
            "connections": self.connections,
            "close": int(self.close),
        }


CASES = [
    Case("small", "128 B, keep-alive"),
    Case("large", "64 KiB, keep-alive", size=65_536, rate=5_000, slow_rate=1_000),
    Case("routes", "1,000 routes", routes=1_000),
    Case("connect", "new connection per request", close=True, rate=4_000, slow_rate=1_000),
]
IDLE_CONNECTIONS = 9_000
MOST_CONNECTIONS = 9_600
"""What each proxy is set up for: its limits are raised to this, which 20,000 descriptors allow."""
FEW_CONNECTIONS = 512
"""What it is set up for when its memory without idle connections is read."""
