# SPDX-License-Identifier: Apache-2.0
"""A WebSocket's server side in ASGI's terms (RFC 6455), for those who push and listen little."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping, MutableMapping
from typing import Any

from shop.wire import MalformedError, field_values

MESSAGE_LIMIT = 64 * 1024
"""Octets of a message that a client may send."""
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_NORMAL, _PROTOCOL_ERROR, _NO_STATUS, _GONE, _TOO_BIG = 1000, 1002, 1005, 1006, 1009

Scope = MutableMapping[str, Any]


def is_asked_for(head: Scope) -> bool:
    """Whether a request asks for a WebSocket (§4.2.1), rightly or not."""
    wanted = b",".join(field_values(head, b"upgrade")).lower()
    return head["method"] == "GET" and b"websocket" in [each.strip() for each in wanted.split(b",")]


class Socket:
    """One WebSocket, from its request on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Scope) -> None:
        keys = field_values(head, b"sec-websocket-key")
        if len(keys) != 1 or field_values(head, b"sec-websocket-version") != [b"13"]:
            raise MalformedError(400)
        self._key = keys[0]
        self._reader = reader
        self._writer = writer
        self._is_told = self._is_open = self._is_closed = False
        scheme = {"http": "ws", "https": "wss"}[head["scheme"]]
        self.scope: Scope = {**head, "type": "websocket", "scheme": scheme, "subprotocols": []}

    async def receive(self) -> dict[str, Any]:
        """ASGI's `receive`: the request, then messages, then why it is over."""
        if not self._is_told:
            self._is_told = True
            return {"type": "websocket.connect"}
        try:
            kind, payload = await self._message()
        except (OSError, EOFError):
            return {"type": "websocket.disconnect", "code": _GONE}
        if kind == _CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else _NO_STATUS
            self._close(code if len(payload) >= 2 else _NORMAL)
            return {"type": "websocket.disconnect", "code": code}
        if kind == _TEXT:
            return {"type": "websocket.receive", "text": payload.decode("utf-8", "replace")}
        return {"type": "websocket.receive", "bytes": bytes(payload)}

    async def send(self, message: Mapping[str, Any]) -> None:
        """ASGI's `send`."""
        if message["type"] == "websocket.accept":
            self._accept(message.get("headers", []))
        elif message["type"] == "websocket.send":
            text = message.get("text")
            self._write(
                _BINARY if text is None else _TEXT, message["bytes"] if text is None else text.encode()
            )
        elif not self._is_open:
            # Closed before it was accepted: the request is answered like any other.
            self._writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        else:
            self._close(message.get("code", _NORMAL))
        await self._writer.drain()

    def _accept(self, fields: list[tuple[bytes, bytes]]) -> None:
        digest = base64.b64encode(hashlib.sha1(self._key + _MAGIC).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"upgrade: websocket", b"connection: upgrade"]
        lines += [b"sec-websocket-accept: " + digest, *(name + b": " + value for name, value in fields)]
        self._writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self._is_open = True

    def _close(self, code: int) -> None:
        if not self._is_closed:
            self._write(_CLOSE, code.to_bytes(2, "big"))
            self._is_closed = True

    def _write(self, kind: int, payload: bytes) -> None:
        if self._is_closed:
            return
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | kind, size])
        elif size < 65_536:
            head = bytes([0x80 | kind, 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | kind, 127]) + size.to_bytes(8, "big")
        self._writer.write(head + payload)

    async def _message(self) -> tuple[int, bytes]:
        """The next message of the client; pings on the way are answered."""
        kind, whole = 0, bytearray()
        while True:
            first, payload = await self._frame()
            opcode = first & 0x0F
            if opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE:
                return _CLOSE, payload
            elif opcode != _PONG:
                kind = opcode or kind
                whole += payload
                if len(whole) > MESSAGE_LIMIT:
                    self._close(_TOO_BIG)
                    raise EOFError
                if first & 0x80:
                    return kind, bytes(whole)

    async def _frame(self) -> tuple[int, bytes]:
        """First octet and payload of a frame (§5.2)."""
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        # Clients mask what they send (§5.1), and no extension was agreed on.
        if not second & 0x80 or first & 0x70 or size > MESSAGE_LIMIT:
            self._close(_TOO_BIG if size > MESSAGE_LIMIT else _PROTOCOL_ERROR)
            raise EOFError
        mask = await self._reader.readexactly(4)
        masked = await self._reader.readexactly(size)
        return first, bytes(octet ^ mask[index % 4] for index, octet in enumerate(masked))
