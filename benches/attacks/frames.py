# SPDX-License-Identifier: Apache-2.0
"""Bytes that attackers play: frames of HTTP/2 and WebSockets, datagrams of QUIC, beginnings of TLS."""

from __future__ import annotations

import contextlib
import random
import ssl
import struct
import time

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

HOST = b"bench.example"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PING, WINDOW_UPDATE, CONTINUATION = 6, 8, 9
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 4
CANCEL = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, however wrong (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def begin(**settings: int) -> bytes:
    """What a connection begins with; `window` is the window of each stream."""
    window = settings.get("window")
    told = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    return PREFACE + frame(SETTINGS, 0, 0, told) + frame(SETTINGS, ACK, 0)


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A field by its name, and whether it goes into the table (RFC 7541 §6.2)."""
    return (b"\x40" if indexed else b"\x00") + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, coded = len(text) - 127, bytearray([127])
    while rest >= 128:
        coded.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*coded, rest]) + text


def block(path: bytes, method: bytes = b"GET", more: bytes = b"") -> bytes:
    """The fields of a request; nothing goes into the table unless `more` says so."""
    methods = {b"GET": b"\x82", b"POST": b"\x83"}
    return methods[method] + b"\x87" + b"\x04" + _text(path) + b"\x01" + _text(HOST) + more


def get(stream: int, path: bytes, more: bytes = b"") -> bytes:
    """A whole request."""
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(path, more=more))


def post(stream: int, path: bytes, more: bytes = b"") -> bytes:
    """A request whose content is to come."""
    return frame(HEADERS, END_HEADERS, stream, block(path, b"POST", more))


def reset(stream: int) -> bytes:
    """The request is given up."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def window(stream: int, by: int) -> bytes:
    """More may be sent."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))


def moved(frames: bytes, by: int) -> bytes:
    """The same frames on streams whose numbers are higher; those of the connection stay."""
    found = bytearray(frames)
    at = 0
    while at < len(found):
        number = int.from_bytes(found[at + 5 : at + 9], "big")
        if number:
            found[at + 5 : at + 9] = (number + by).to_bytes(4, "big")
        at += 9 + int.from_bytes(found[at : at + 3], "big")
    return bytes(found)


def hello() -> bytes:
    """A ClientHello that a server answers with all it has."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=HOST.decode())
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def fragments(count: int) -> bytes:
    """The rest of a message in so many pieces of a byte each, and none of them the last (RFC 6455 §5.4)."""
    return b"\x00\x81\0\0\0\0x" * count


def pings(count: int) -> bytes:
    """As many PINGs, each as long as can be."""
    return (b"\x89\xfd" + bytes(4) + b"p" * 125) * count


def endless() -> bytes:
    """The head of the next piece of a message, which has 2^63 - 1 bytes."""
    return b"\x00\xff" + struct.pack(">Q", (1 << 63) - 1) + bytes(4)


def initials(count: int) -> bytes:
    """First packets of so many connections, each after its length in two bytes."""
    found = []
    for _ in range(count):
        configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=HOST.decode())
        connection = QuicConnection(configuration=configuration)
        connection.connect(("127.0.0.1", 443), now=time.monotonic())
        found += [data for data, _ in connection.datagrams_to_send(now=time.monotonic())][:1]
    return _listed(found)


def garbage(count: int, draw: random.Random) -> bytes:
    """Datagrams that look like QUIC at their first byte: short heads, long ones, versions that nobody has."""
    found = []
    for number in range(count):
        body = draw.randbytes(draw.choice([30, 200, 1200]))
        first = [b"\x40", b"\xc0\0\0\0\1\x08", b"\xc0\x1a\x2a\x3a\x4a\x08", b"\xf0\0\0\0\1\x14"][number % 4]
        found.append(first + body)
    return _listed(found)


def _listed(datagrams: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(each)) + each for each in datagrams)
