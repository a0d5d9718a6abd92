# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 messages to and from ASGI's terms (RFC 9112)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, MutableMapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

HEAD_LIMIT = 64 * 1024
"""Octets of a request head; also the buffer of a `StreamReader`, which refuses longer ones."""
PIECE = 64 * 1024
LEFT_LIMIT = 1 << 20
"""Octets of an unread body that are skipped to keep a connection; beyond, closing is cheaper."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?")

Scope = MutableMapping[str, Any]


class MalformedError(Exception):
    """The request breaks the rules; answer with `status` and close."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read_head(reader: asyncio.StreamReader) -> Scope | None:
    """The next request as an ASGI scope; None when the connection ended before it.

    Raises:
        MalformedError: 400 or 431.
    """
    try:
        data = await reader.readuntil(b"\r\n\r\n")
        while data == b"\r\n\r\n":  # Empty lines before a request are tolerated (§2.2).
            data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise MalformedError(400) from error
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedError(431) from error
    lines = data[:-4].removeprefix(b"\r\n").split(b"\r\n")
    first = _REQUEST_LINE.fullmatch(lines[0])
    if first is None:
        raise MalformedError(400)
    fields: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise MalformedError(400)
        fields.append((field[1].lower(), field[2].rstrip(b" \t")))
    method, target, minor = first[1].decode(), first[2], first[3].decode()
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"1.{minor}",
        "method": method,
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": fields,
    }


def field_values(head: Scope, name: bytes) -> list[bytes]:
    """What the fields of that name say, in their order."""
    return [value for field, value in head["headers"] if field == name]


class Body:
    """A request's body, read when the application asks for it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Scope) -> None:
        self._reader = reader
        self._writer = writer
        coding, lengths = field_values(head, b"transfer-encoding"), field_values(head, b"content-length")
        # Both, or two lengths, could be read as two different messages (§6.3).
        if coding and (lengths or [value.lower() for value in coding] != [b"chunked"]):
            raise MalformedError(400)
        if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,15}", lengths[0])):
            raise MalformedError(400)
        self._is_chunked = bool(coding)
        self._left = int(lengths[0]) if lengths else 0
        """Octets still to come: of the body, or of the current chunk."""
        self._is_done = not coding and self._left == 0
        self._is_told = False
        self.answered = asyncio.Event()
        """Set once the answer was sent."""
        waits = b"100-continue" in [value.lower() for value in field_values(head, b"expect")]
        self._continue = waits and not self._is_done

    async def receive(self) -> dict[str, Any]:
        """ASGI's `receive`: pieces of the body, and once all were given, the end of the exchange."""
        if self._is_told:
            await self.answered.wait()
            return {"type": "http.disconnect"}
        if self._is_done:
            self._is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._continue:
            self._continue = False
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        piece = await self._next()
        self._is_told = self._is_done
        return {"type": "http.request", "body": piece, "more_body": not self._is_done}

    async def is_finished(self) -> bool:
        """Reads past what the application left; whether the next request begins here."""
        if self._continue:
            return False  # Never invited, so it may or may not come: the two cannot be told apart.
        skipped = 0
        while not self._is_done and skipped <= LEFT_LIMIT:
            skipped += len(await self._next())
        return self._is_done

    async def _next(self) -> bytes:
        if self._is_chunked and self._left == 0:
            size = _SIZE.fullmatch((await self._line())[:-2])
            if size is None:
                raise MalformedError(400)
            self._left = int(size[1], 16)
            if self._left == 0:
                while await self._line() != b"\r\n":
                    pass  # Trailers have no place in ASGI.
                self._is_done = True
                return b""
        piece = await self._reader.read(min(self._left, PIECE))
        if not piece:
            raise EOFError("the client left in the middle of a body")
        self._left -= len(piece)
        if self._left == 0:
            if self._is_chunked and await self._reader.readexactly(2) != b"\r\n":
                raise MalformedError(400)
            self._is_done = not self._is_chunked
        return piece

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            raise MalformedError(400) from error


class Reply:
    """An answer on its way out."""

    def __init__(self, writer: asyncio.StreamWriter, head: Scope) -> None:
        self._writer = writer
        self._method = head["method"]
        self._is_old = head["http_version"] == "1.0"
        # As talkative as many servers are: a gateway in front does not pass it on (RFC 9110 §10.2.4).
        address, port = writer.get_extra_info("sockname")[:2]
        self._name = f"shop ({address}:{port})"
        said = b",".join(field_values(head, b"connection")).lower()
        options = {option.strip() for option in said.split(b",")}
        self.keeps_alive = b"close" not in options and (not self._is_old or b"keep-alive" in options)
        self.has_begun = False
        self._start: Mapping[str, Any] = {}
        self._is_chunked = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        piece, is_last = message.get("body", b""), not message.get("more_body", False)
        out = b""
        if not self.has_begun:
            self.has_begun = True
            out = self._head(len(piece) if is_last else None)
        if self._method == "HEAD":
            piece = b""
        elif self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            piece += b"0\r\n\r\n" if is_last else b""
        self._writer.write(out + piece)
        await self._writer.drain()

    def _head(self, length: int | None) -> bytes:
        status = self._start["status"]
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        fields = [(name.lower(), value) for name, value in self._start.get("headers", [])]
        if (
            status >= 200
            and status not in (204, 304)
            and not any(name == b"content-length" for name, _ in fields)
        ):
            if length is not None:
                fields.append((b"content-length", b"%d" % length))
            elif self._is_old:
                self.keeps_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends it.
            else:
                self._is_chunked = True
                fields.append((b"transfer-encoding", b"chunked"))
        fields.append((b"server", self._name.encode()))
        fields.append((b"date", formatdate(usegmt=True).encode()))
        fields.append((b"connection", b"keep-alive" if self.keeps_alive else b"close"))
        lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode())]
        lines += [name + b": " + value for name, value in fields]
        return b"\r\n".join(lines) + b"\r\n\r\n"
