# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - tables read better with one row per line
"""Mutations of HTTP/1.1 messages: of bytes, as a fuzzer does, and of parts, as a strange client does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_BYTES = b"\x00\x01\t\n\x0b\r \"#%&'(),/:;<=>?@[\\]^`{|}~\x7f\x80\xa0\xff09AZaz.-_*"
_WORDS: Sequence[bytes] = (
    b"chunked", b"identity", b"gzip", b"close", b"keep-alive", b"upgrade", b"100-continue", b"0", b"4", b"-1", b"+4", b"0x4", b"4, 4",
    b"99999999999999999999", b"..", b"%2e%2e", b"%2F", b"%5C", b"%00", b"//", b"\r\n", b"\n", b"\r", b"\r\n ", b"a.test", b"a.test:80", b"[::1]",
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"GET", b"POST", b"HEAD", b"TRACE", b"CONNECT", b"*", b"http://b.test/x", b"websocket", b"h2c",
)  # fmt: skip
_FIELDS: Sequence[bytes] = (
    b"X-Added: yes", b"Accept: */*", b"Cookie: a=b; c=d", b"Connection: close", b"Connection: keep-alive, X-Added", b"X-Forwarded-For: 1.2.3.4",
    b"Forwarded: for=1.2.3.4", b"Via: 1.0 old", b"TE: trailers", b"Expect: 100-continue", b"Upgrade: websocket", b"Host: b.test",
    b"Content-Length: 4", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"X_Forwarded_For: 1.2.3.4", b"Authorization: Basic eDp5",
    b"X-Long: " + b"a" * 5000, b"Range: bytes=0-1", b"Trailer: X-T", b"Content-Type: text/plain",
)  # fmt: skip


def mutate(message: bytes, draw: random.Random) -> bytes:
    """Applies one to three mutations."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        message = draw.choice(_MUTATIONS)(message, draw)
    return message


def _replace_byte(message: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(message) or 1)
    return message[:at] + bytes([draw.choice(_BYTES)]) + message[at + 1 :]


def _insert_byte(message: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(message) + 1)
    return message[:at] + bytes([draw.choice(_BYTES)]) + message[at:]


def _flip_bit(message: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(message) or 1)
    return (
        message[:at]
        + bytes(byte ^ (1 << draw.randrange(8)) for byte in message[at : at + 1])
        + message[at + 1 :]
    )


def _delete_range(message: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(message) or 1)
    return message[:at] + message[at + draw.randint(1, 8) :]


def _insert_word(message: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(message) + 1)
    return message[:at] + draw.choice(_WORDS) + message[at:]


def _lines(message: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def _join(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _add_field(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    lines.insert(draw.randint(1, len(lines)), draw.choice(_FIELDS))
    return _join(lines, body)


def _drop_field(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    if len(lines) > 1:
        del lines[draw.randrange(1, len(lines))]
    return _join(lines, body)


def _double_field(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    lines.insert(draw.randint(1, len(lines)), draw.choice(lines[1:] or lines))
    return _join(lines, body)


def _shuffle_fields(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    rest = lines[1:]
    draw.shuffle(rest)
    return _join([lines[0], *rest], body)


def _change_case(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    at = draw.randrange(len(lines))
    name, colon, value = lines[at].partition(b":")
    lines[at] = draw.choice((name.upper(), name.lower(), name.title(), name.swapcase())) + colon + value
    return _join(lines, body)


def _pad_value(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    at = draw.randrange(len(lines))
    lines[at] = lines[at].replace(b":", b":" + draw.choice((b" ", b"\t", b"   ", b"")), 1) + draw.choice(
        (b"", b" ", b"\t ")
    )
    return _join(lines, body)


def _change_value(message: bytes, draw: random.Random) -> bytes:
    lines, body = _lines(message)
    at = draw.randrange(len(lines))
    name, colon, _ = lines[at].partition(b":")
    lines[at] = name + colon + b" " + draw.choice((*_WORDS, b"", b"a" * draw.randint(1, 300)))
    return _join(lines, body)


def _change_path(message: bytes, draw: random.Random) -> bytes:
    method, space, rest = message.partition(b" ")
    target, other, rest = rest.partition(b" ")
    piece = draw.choice(
        (
            b"/x",
            b"//",
            b"/.",
            b"/..",
            b"/%41",
            b"/%c3%a9",
            b";a=b",
            b"?q=%",
            b"/a%2fb",
            b"|",
            b"/\xc3\xa9",
            b"#f",
        )
    )
    at = draw.randrange(len(target) + 1)
    return method + space + target[:at] + piece + target[at:] + other + rest


def _change_method(message: bytes, draw: random.Random) -> bytes:
    _, space, rest = message.partition(b" ")
    return (
        draw.choice(
            (
                b"GET",
                b"POST",
                b"HEAD",
                b"PUT",
                b"OPTIONS",
                b"get",
                b"X",
                b"M-SEARCH",
                b"TRACE",
                b"CONNECT",
                b"G@T",
            )
        )
        + space
        + rest
    )


def _grow_body(message: bytes, draw: random.Random) -> bytes:
    return message + draw.choice((b"\r\n", b"x", b"0\r\n\r\n", b"GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"))


def _truncate(message: bytes, draw: random.Random) -> bytes:
    return message[: draw.randrange(len(message) + 1)]


_MUTATIONS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    _replace_byte, _insert_byte, _flip_bit, _delete_range, _insert_word,
    _add_field, _drop_field, _double_field, _shuffle_fields, _change_case, _pad_value, _change_value, _change_path, _change_method, _grow_body,
    _truncate,
)  # fmt: skip
