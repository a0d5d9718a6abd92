# SPDX-License-Identifier: Apache-2.0
"""What is measured: the same work for every proxy."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    """Key in the results file."""
    title: str
    """As the tables call it."""
    size: int = 128
    """Bytes in each answer's body."""
    sent: int = 0
    """Bytes in each request's body; 0 asks by GET."""
    routes: int = 1
    """Path prefixes configured; above 1 they are asked in turn."""
    close: bool = False
    """A new connection per request."""
    files: bool = False
    """The proxy sends files itself; there is no origin server."""
    tls: bool = False
    """Clients speak TLS 1.3."""
    resume: bool = False
    """Each connection goes on with a session of before; without it each handshake is a full one."""
    streams: int = 0
    """HTTP/2 with so many requests at a time on each connection; 0 for HTTP/1.1."""
    http3: bool = False
    """HTTP/3 instead of HTTP/2."""
    websocket: bool = False
    """Requests and answers are messages on WebSockets that stay open."""
    relay: bool = False
    """The proxy passes bytes on and reads none of them."""
    grpc: bool = False
    """Unary calls of gRPC, messages of `sent` and `size` bytes, to endpoints of HTTP/2 without TLS."""
    datagrams: bool = False
    """Requests and answers are datagrams, which the proxy passes on."""
    churn: bool = False
    """A third endpoint is added and removed, `CHANGES` times a second."""
    connections: int = 64
    """Client connections at once."""
    beside: int = 0
    """Idle connections that are open meanwhile."""
    rate: int = 10_000
    """Requests a second for the latency figures, below what nginx and HAProxy can do."""
    slow_rate: int = 2_000
    """The same for those that cannot hold `rate`."""
    share: float = 0.5
    """Share of the rounds of a run that the case gets."""
    longer: float = 1.0
    """How many times as long as others its turns are: few large answers make a coarse count."""
    is_usual: bool = False
    """Whether it is measured without `--all`."""

    @property
    def is_logged(self) -> bool:
        """Whether each answer has a line in the log."""
        return not (self.websocket or self.relay or self.datagrams)

    @property
    def is_by_bytes(self) -> bool:
        """Whether work is counted in bytes moved: of bodies so large that a window ends within many."""
        return self.size + self.sent >= MEBIBYTE

    def first_path(self, route: str) -> str:
        """A path that must be answered, below the first segment `route` if there are routes."""
        prefix = f"/{route}" if self.routes > 1 else ""
        return f"{prefix}/b/{self.size if self.files else 1}"

    def values(self) -> dict[str, str | float]:
        """What the load tool is told."""
        prefix = "/r{}" if self.routes > 1 else ""
        return {
            "path": f"{prefix}/b/{self.size}",
            "paths": self.routes,
            "size": self.size,
            "sent": self.sent,
            "connections": self.connections,
            "close": int(self.close),
            "beside": int(self.beside > 0),
            # A reload may close a connection just when a request is on its way, and clients know that.
            "retry": int(self.churn),
            "resume": int(self.resume),
            "streams": self.streams,
            "http3": int(self.http3),
            "websocket": int(self.websocket),
            "grpc": int(self.grpc),
            "datagrams": int(self.datagrams),
        }


SMALL = Case("small", "128 B, keep-alive", share=1, is_usual=True)
CASES = [
    SMALL,
    Case("large", "64 KiB, keep-alive", size=65_536, rate=5_000, slow_rate=1_000, is_usual=True),
    Case("routes", "1,000 routes", routes=1_000, is_usual=True),
    Case("connect", "new connection per request", close=True, rate=4_000, slow_rate=1_000, is_usual=True),
    Case("tls", "TLS, HTTP/1.1, keep-alive", tls=True, is_usual=True),
    Case("http2", "TLS, HTTP/2, 10 streams", tls=True, streams=10, connections=8, is_usual=True),
    Case(
        "http3",
        "HTTP/3, 10 streams",
        tls=True,
        streams=10,
        http3=True,
        connections=8,
        rate=5_000,
        slow_rate=1_000,
    ),
    Case(
        "handshake",
        "TLS, full handshake per request",
        tls=True,
        close=True,
        connections=16,
        rate=1_000,
        slow_rate=300,
    ),
    Case(
        "resumed",
        "TLS, resumed handshake per request",
        tls=True,
        close=True,
        resume=True,
        connections=16,
        rate=1_500,
        slow_rate=400,
    ),
    Case("websocket", "WebSocket, messages of 128 B", websocket=True),
    Case(
        "grpc",
        "gRPC over TLS, unary calls of 128 B, 10 streams",
        tls=True,
        streams=10,
        connections=8,
        sent=128,
        grpc=True,
    ),
    Case("tcp", "TCP, 128 B messages", relay=True),
    Case("udp", "UDP, 128 B messages", datagrams=True),
    Case(
        "tcpbulk",
        "TCP, 10 MiB answers",
        relay=True,
        size=10 * MEBIBYTE,
        connections=8,
        rate=20,
        slow_rate=20,
        longer=2,
        share=0.3,
    ),
    Case("routes10k", "10,000 routes", routes=10_000, slow_rate=500),
    Case("body", "4 KiB request bodies", sent=4_096, rate=8_000),
    Case(
        "download",
        "10 MiB answers",
        size=10 * MEBIBYTE,
        connections=8,
        rate=20,
        slow_rate=20,
        longer=2,
        share=0.3,
    ),
    Case(
        "upload",
        "10 MiB request bodies",
        sent=10 * MEBIBYTE,
        connections=8,
        rate=20,
        slow_rate=20,
        longer=2,
        share=0.3,
    ),
    Case("beside", "5,000 idle connections beside 64 busy", beside=5_000, share=0.3),
    Case("file1k", "static file of 1 KiB", size=1_024, files=True),
    Case(
        "file1m", "static file of 1 MiB", size=MEBIBYTE, files=True, connections=16, rate=200, slow_rate=100
    ),
    Case(
        "churn",
        "an endpoint added or removed ten times a second",
        churn=True,
        rate=5_000,
        longer=2,
        share=0.3,
    ),
]
CHANGES = 10
"""Changes of the endpoints a second in a case with `churn`."""
IDLE_CONNECTIONS = 9_000
MOST_CONNECTIONS = 9_600
"""What each proxy is set up for: its limits are raised to this, which 20,000 descriptors allow."""
FEW_CONNECTIONS = 512
"""What it is set up for when its memory without idle connections is read."""
