# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - tables read better with one row per line
"""Accepted requests: from the cases, from the corpus, and made by chance."""

from __future__ import annotations

import random

from tests.conformance.http1 import cases, corpus, oracle

_METHODS = ["GET"] * 6 + [
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PROPFIND",
    "QUERY",
    "get",
    "X-ODD",
]
PIECES = [
    "a", "B9", "..x", "x..", ".hidden", "...", ";", ";a=b", "=", "@", ":", "!", "$", "&", "'", "(", ")", "*", "+", ",", "~", "-", "_", ".",
    "%20", "%2F", "%2f", "%41", "%7e", "%c3%a9", "%C3%A9", "%25", "%252e", "%3f", "%23", "%3B", "/", "/", "/", "//", "/./", "/%2e/", "|", "[", "\"",
]  # fmt: skip
_QUERIES = [
    "",
    "",
    "?",
    "?a=b",
    "?a=%2e%2e/..",
    "?q=%",
    "?a?b",
    "?x[]=1&y=|",
    "?//",
    "?a=b;c=d",
    "?%2F=%2f",
    "?" + "q" * 500,
]
_HOSTS = [
    "a.test",
    "A.Test",
    "a.test:8080",
    "a.test.",
    "127.0.0.1",
    "[::1]",
    "[::1]:81",
    "xn--caf-dma.test",
    "my_host",
    "a.test:80",
]
_FIELDS = [
    "Accept: */*", "Cookie: a=b; c=d", "User-Agent: x/1", "X-Odd: \xfc\xff", "X-Empty:", "X-Tab:\ta\t", "Connection: keep-alive", "Connection: close",
    "TE: trailers", "Keep-Alive: timeout=5", "Accept-Encoding: gzip, br", "X-Forwarded-For: 9.9.9.9", "X_Under_Score: x", "Range: bytes=0-1",
    "Expect: 100-continue", "Authorization: Basic eDp5", "If-None-Match: \"a\"", "Content-Type: text/plain", "Proxy-Connection: close",
    "Connection: X-Hop\r\nX-Hop: 1", "Upgrade: h2c", "Via: 1.0 x", "Cache-Control: no-cache", "Referer: http://x.test/?a#b", "X-Long: " + "v" * 2000,
]  # fmt: skip
_BODIES = [
    b"",
    b"x",
    b"hello",
    b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    bytes(range(256)),
    b"y" * 9000,
]


def chance(seed: int, count: int) -> list[bytes]:
    """`count` random requests that the oracle accepts as one message, the same for the same seed."""
    draw, made = random.Random(seed), list[bytes]()
    while len(made) < count:
        data = _one(draw)
        judgement = oracle.judge(data)
        if len(judgement.served) == 1 and judgement.refused is None and not judgement.incomplete:
            made.append(data)
    return made


def _one(draw: random.Random) -> bytes:
    method, version = draw.choice(_METHODS), draw.choice(["HTTP/1.1"] * 9 + ["HTTP/1.0"])
    path = "/" + "".join(draw.choice(PIECES) for _ in range(draw.randrange(8)))
    prefix = "http://a.test" if draw.random() < 0.05 else ""
    fields = [
        *draw.sample(_FIELDS, draw.randrange(6)),
        f"{draw.choice(['Host', 'host', 'HOST'])}: {draw.choice(_HOSTS)}",
    ]
    body = draw.choice(_BODIES)
    framing = (
        draw.choice(["none", "length", "chunked"])
        if version == "HTTP/1.1"
        else draw.choice(["none", "length"])
    )
    encoded = b""
    if framing == "length":
        fields.append(f"Content-Length: {len(body)}")
        encoded = body
    elif framing == "chunked":
        fields.append("Transfer-Encoding: chunked")
        encoded = _chunked(body, draw)
    draw.shuffle(fields)
    head = (
        f"{method} {prefix}{path}{draw.choice(_QUERIES)} {version}\r\n"
        + "".join(f"{one}\r\n" for one in fields)
        + "\r\n"
    )
    return head.encode("latin-1") + encoded


def _chunked(body: bytes, draw: random.Random) -> bytes:
    encoded = b""
    while body:
        size = draw.randint(1, len(body))
        extension = draw.choice([b"", b"", b";a", b";a=b", b';a="b c"'])
        encoded += draw.choice([b"%x", b"%X", b"0%x"]) % size + extension + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailer = draw.choice(
        [b"", b"", b"X-Sum: 1\r\n", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"]
    )
    return encoded + b"0\r\n" + trailer + b"\r\n"


def recorded() -> list[bytes]:
    """The corpus without upgrades, which end in another protocol."""
    return [
        one.raw
        for one in corpus.load()
        if not one.message.lists("connection", "upgrade") or one.message.get("upgrade") == "h2c"
    ]


def accepted_cases() -> list[bytes]:
    """The cases that are one accepted request to a well-behaved endpoint."""
    chosen = []
    for case in cases.load():
        one = (
            case.expect.endpoint is not None
            and len(case.expect.endpoint) == 1
            and case.expect.status == [{200}]
        )
        simple = (
            not case.origin and case.gateway == "default" and all(step.kind == "send" for step in case.send)
        )
        data = b"".join(step.data for step in case.send)
        if one and simple and len(data) < 50_000:
            judgement = oracle.judge(data)
            if len(judgement.served) == 1 and judgement.refused is None and not judgement.incomplete:
                chosen.append(data)
    return chosen
