# SPDX-License-Identifier: Apache-2.0
"""A client of WebSockets (RFC 6455) that listens and says nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from tidegate.demo.client import NAME

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE = 1, 8


@dataclass
class Pushed:
    """What came.

    Attributes:
        status: 101 when the WebSocket was opened; 0 when there was no answer.
        texts: Each message, and how many seconds after the request it came.
        code: Why the server ended it (RFC 6455 §7.4.1); 0 when it did not.
    """

    status: int = 0
    texts: list[tuple[float, str]] = field(default_factory=list)
    code: int = 0
    failure: str = ""


def listen(
    address: str, path: str, trust: ssl.SSLContext, fields: Mapping[str, str], patience: float = 20.0
) -> Pushed:
    """Opens a WebSocket over TLS to `IP:port` and returns what comes until it ends. Never raises.

    Args:
        address: `IP:port`.
        path: Path and query.
        trust: Whose certificates are believed; it must be one for `localhost`.
        fields: Header fields, besides those of a WebSocket.
        patience: Seconds to wait for each message.
    """
    heard = Pushed()
    host, _, port = address.rpartition(":")
    key = base64.b64encode(os.urandom(16))
    sent = {
        "host": f"{NAME}:{port}", "connection": "Upgrade", "upgrade": "websocket",
        "sec-websocket-version": "13", "sec-websocket-key": key.decode(), **fields,
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    begin = time.monotonic()
    try:
        with (
            socket.create_connection((host, int(port)), patience) as bare,
            trust.wrap_socket(bare, server_hostname=NAME) as connection,
            connection.makefile("rb") as stream,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
            heard.status = int(stream.readline().split()[1])
            got = dict(_fields(iter(stream.readline, b"\r\n")))
            digest = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
            if heard.status == 101 and got.get(b"sec-websocket-accept") != digest:
                heard.failure = "the answer is not to our key"
            elif heard.status == 101:
                _read(stream, heard, begin)
    except (OSError, ValueError, IndexError) as error:
        heard.failure = f"{type(error).__name__} {error}".strip()
    return heard


def _fields(lines: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        if not line:
            raise ValueError("the answer ends within its head")
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip()


def _read(stream: BinaryIO, heard: Pushed, begin: float) -> None:
    """Reads frames of a server, which masks nothing (§5.1), until it ends."""
    while True:
        first, size = stream.read(2)  # a ValueError at the end of the stream
        if size >= 126:
            size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
        payload = stream.read(size)
        if first & 0x0F == _CLOSE:
            heard.code = int.from_bytes(payload[:2], "big")
            return
        if first & 0x0F == _TEXT:
            heard.texts.append((time.monotonic() - begin, payload.decode()))
