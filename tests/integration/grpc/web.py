# SPDX-License-Identifier: Apache-2.0
"""A client of gRPC-Web, byte by byte, over HTTP/1.1."""

from __future__ import annotations

import base64
import http.client
import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.integration.grpc.calls import message
from tidegate.testing import RunningGateway

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
TIMEOUT = 30.0


@dataclass
class Answer:
    """What came of one call."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    messages: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def told(self) -> tuple[str | None, str | None]:
        """Code and message, from the last frame or from a head that is all."""
        where = self.trailers or {key.lower(): value for key, value in self.headers}
        return where.get("grpc-status"), where.get("grpc-message")


def decoded(body: bytes) -> bytes:
    """The bytes of base64 that may be padded inside."""
    pieces = re.findall(rb"[A-Za-z0-9+/]+=*", body)
    assert b"".join(pieces) == body, body
    return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)


def frames(body: bytes) -> tuple[list[bytes], dict[str, str] | None]:
    """Messages, and the trailers behind them; fails where anything stands after those."""
    messages: list[bytes] = []
    while body:
        flags, length = struct.unpack_from(">BI", body)
        content, body = body[5 : 5 + length], body[5 + length :]
        assert len(content) == length
        if flags == 0x80:
            assert not body
            lines = content.decode().split("\r\n")
            assert lines.pop() == ""
            return messages, dict(line.split(": ", 1) for line in lines)
        assert flags in (0, 1)
        messages.append(content)
    return messages, None


def read(answer: Answer) -> Answer:
    """Takes the content apart by the media type."""
    media_type = answer.get("content-type") or ""
    body = decoded(answer.body) if media_type.startswith("application/grpc-web-text") else answer.body
    if media_type.startswith("application/grpc-web"):
        answer.messages, trailers = frames(body)
        answer.trailers = trailers or {}
    return answer


def encoded(body: bytes, media_type: str = TEXT) -> bytes:
    """The content of a call as its media type wants it."""
    return base64.b64encode(body) if media_type.startswith("application/grpc-web-text") else body


def call(
    running: RunningGateway,
    path: str = "/shop.v1.Cart/Add",
    *,
    media_type: str = BINARY,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
    method: str = "POST",
    chunks: Iterable[bytes] | None = None,
) -> Answer:
    """One call on a connection of its own; `chunks` are sent as such, in the place of a `body`."""
    connected = http.client.HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT)
    sent = encoded(message(b"in"), media_type) if body is None else body
    own = {"Content-Type": media_type, "X-Grpc-Web": "1", "X-User-Agent": "grpc-web-javascript/0.1"}
    # Browsers that ask whether a page may call say none of it.
    fields = own if method == "POST" else {}
    try:
        connected.request(
            method,
            path,
            body=sent if chunks is None else iter(chunks),
            headers={**fields, **dict(headers)},
            encode_chunked=chunks is not None,
        )
        answer = connected.getresponse()
        return read(Answer(answer.status, answer.getheaders(), answer.read()))
    finally:
        connected.close()


def configuration(port: int, web: Any = True, listener: Any = (), route: Any = (), **backend: Any) -> str:
    """One listener for all clients, one backend, `shop`, whose calls pages may make."""
    shop = {"endpoints": [f"127.0.0.1:{port}"], "http2": True, **backend}
    return json.dumps(
        {
            "gateway": {"threads": 1, "admin": {"port": 60_999}},
            "listeners": {"web": {"port": 60_080, "http2": True, **dict(listener)}},
            "backends": {"shop": shop},
            "routes": [{"name": "calls", "type": "grpc", "to": "shop", "web": web, **dict(route)}],
        }
    )
