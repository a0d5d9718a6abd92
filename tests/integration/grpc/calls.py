# SPDX-License-Identifier: Apache-2.0
"""Calls of gRPC, byte by byte, and an origin server that answers them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from tests.integration.http2.client import Answer, Client, Field
from tests.integration.http2.server import Asked, Connection

CONTENT = ("content-type", "application/grpc+proto")
CALL = [CONTENT, ("te", "trailers")]


def message(content: bytes) -> bytes:
    """A message as it stands in a stream: not compressed, its length, its bytes."""
    return struct.pack(">BI", 0, len(content)) + content


def call(
    connected: Client, path: str = "/shop.v1.Cart/Add", more: Iterable[Field] = (), **parts: Any
) -> Answer:
    """One unary call and its answer."""
    body = parts.pop("body", message(b"in"))
    return connected.ask(path, method="POST", headers=[*CALL, *more], body=body, **parts)


def status(answer: Answer) -> tuple[int, str | None, str | None]:
    """The status of HTTP, that of gRPC, and its message, from trailers or from a head that is all."""
    told = dict(answer.trailers) or dict(answer.headers)
    return answer.status, told.get("grpc-status"), told.get("grpc-message")


def reply(connection: Connection, asked: Asked) -> None:
    """Answers a call with what it sent."""
    connection.answer(asked, 200, [CONTENT], bytes(asked.body), [("grpc-status", "0"), ("grpc-message", "")])
