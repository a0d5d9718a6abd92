# SPDX-License-Identifier: Apache-2.0
"""A slow, literal reader of HTTP/1.1 messages (RFC 9112), the reference that tests judge bytes by.

It is stricter than any server and written for the reader: no leniency of RFC 9112 §2.2 is taken, because
what tidegate sends must never need it. It is not for production. Start with `Reader`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Fields = tuple[tuple[bytes, bytes], ...]
Framing = Literal["none", "length", "chunked", "close"]

_State = Literal["head", "length", "size", "chunk", "trailers", "close"]
_FIRST_STATE: dict[Framing, _State] = {
    "none": "head",
    "length": "length",
    "chunked": "size",
    "close": "close",
}

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"([^ ]+) ([^ ]+) (HTTP/1\.[01])")
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_WORD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?)*" % (_WORD, _WORD, _QUOTED))


class Malformed(ValueError):
    """The bytes are not one unambiguous HTTP/1.1 message."""


@dataclass(frozen=True)
class Message:
    """One whole request or response as it was on the wire.

    `line` is the start line without its CRLF; `fields` and `trailers` keep order, case and surrounding bytes
    (optional white space removed); `body` is decoded from its framing; `raw` is everything including framing.
    """

    line: bytes
    fields: Fields
    framing: Framing = "none"
    body: bytes = b""
    trailers: Fields = ()
    raw: bytes = b""

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.line.split(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        """The request target exactly as sent."""
        return self.line.split(b" ")[1].decode("latin-1")

    @property
    def version(self) -> str:
        """`HTTP/1.1` or `HTTP/1.0`."""
        parts = self.line.split(b" ")
        return (parts[0] if self.line.startswith(b"HTTP/") else parts[2]).decode("latin-1")

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line.split(b" ")[1])

    def all(self, name: str) -> list[str]:
        """The values of every field called `name` (any case), in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == wanted]

    def get(self, name: str) -> str | None:
        """The values of the fields called `name` joined by `, `, or None when there is none."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def lists(self, name: str, element: str) -> bool:
        """Whether the comma-separated field `name` has `element`, in any case."""
        return element.lower() in [part.strip().lower() for part in (self.get(name) or "").split(",")]


def parse_fields(block: bytes) -> Fields:
    """Reads field lines, each ended by CRLF.

    Raises:
        Malformed: for a bare CR or LF, a name that is no token, space before the colon, obs-fold, a control.
    """
    fields = []
    for line in block.split(b"\r\n")[:-1] if block else []:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise Malformed(f"field line {line[:80]!r}")
        if not _VALUE.fullmatch(value):
            raise Malformed(f"field value {value[:80]!r}")
        fields.append((name, value.strip(b" \t")))
    return tuple(fields)


def parse_head(head: bytes, kind: Literal["request", "response"]) -> Message:
    """Reads a whole head, CRLF CRLF included, into a message without a body.

    Raises:
        Malformed: when the start line or a field line breaks the grammar of RFC 9112 §2 to §5.
    """
    line, _, rest = head.partition(b"\r\n")
    found = (_REQUEST_LINE if kind == "request" else _STATUS_LINE).fullmatch(line)
    if found is None:
        raise Malformed(f"start line {line[:80]!r}")
    if kind == "request" and not (_TOKEN.fullmatch(found[1]) and _TARGET.fullmatch(found[2])):
        raise Malformed(f"request line {line[:80]!r}")
    return Message(line, parse_fields(rest[:-2]), raw=head)


def framing_of(head: Message) -> tuple[Framing, int]:
    """The one framing that a head's own fields name, and the length where it has one. RFC 9112 §6.3.

    Raises:
        Malformed: for both Content-Length and Transfer-Encoding, two of either, or any odd value of them.
    """
    lengths, codings = head.all("content-length"), head.all("transfer-encoding")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != "chunked" or head.version == "HTTP/1.0":
            raise Malformed(f"transfer-encoding {codings} content-length {lengths} {head.version}")
        return "chunked", 0
    if not lengths:
        return "none", 0
    if len(lengths) > 1 or not re.fullmatch("[0-9]{1,19}", lengths[0]) or int(lengths[0]) >= 1 << 63:
        raise Malformed(f"content-length {lengths}")
    return "length", int(lengths[0])


@dataclass
class Reader:
    """Splits one direction of one connection into messages, as bytes arrive.

    For responses the method of each awaited request must be told by `expect` in order; HEAD, 1xx, 204 and 304
    have no body whatever their fields say. After 101, and once `stop` was called, everything is `rest`.
    """

    kind: Literal["request", "response"] = "request"
    messages: list[Message] = field(default_factory=list)
    head: Message | None = None
    """The message whose body is still arriving."""
    upgraded: bool = False
    most: int | None = None
    """Stop after that many messages; what follows stays in `rest`."""
    _buffer: bytearray = field(default_factory=bytearray)
    _raw: bytearray = field(default_factory=bytearray)
    _body: bytearray = field(default_factory=bytearray)
    _methods: list[str] = field(default_factory=list)
    _state: _State = "head"
    _left: int = 0
    _framing: Framing = "none"
    _trailers_from: int = 0

    @property
    def rest(self) -> bytes:
        """Bytes that arrived and belong to no finished message."""
        return bytes(self._raw + self._buffer)

    @property
    def is_idle(self) -> bool:
        """Whether every byte so far belongs to a finished message."""
        return not self._raw and not self._buffer

    def expect(self, method: str) -> None:
        """Tells that a request with `method` was sent whose response will follow."""
        self._methods.append(method)

    def feed(self, data: bytes) -> list[Message]:
        """Takes bytes and returns the messages they completed.

        Raises:
            Malformed: as soon as the bytes can no longer be one unambiguous message.
        """
        self._buffer += data
        first = len(self.messages)
        while not self.upgraded and len(self.messages) != self.most and self._step():
            pass
        return self.messages[first:]

    def end(self) -> None:
        """Tells that the peer closed: completes a response that only the close delimits.

        Raises:
            Malformed: when the peer closed inside a message.
        """
        if self._state == "close":
            self._finish()
        if not self.is_idle and not self.upgraded:
            raise Malformed(f"closed inside a message after {self.rest[:80]!r}")

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._raw += taken
        return taken

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        bare = self._buffer.find(b"\n")
        if bare >= 0 and (end < 0 or bare < end):
            raise Malformed("bare LF in chunked framing")
        if end < 0:
            if len(self._buffer) > 65536:
                raise Malformed("endless line in chunked framing")
            return None
        return self._take(end + 2)[:-2]

    def _step(self) -> bool:
        if self._state == "head":
            return self._read_head()
        if self._state == "close":
            self._body += self._take(len(self._buffer))
            return False
        if self._state in ("length", "chunk"):
            return self._read_data()
        line = self._line()
        if line is None:
            return False
        if self._state == "size":
            found = _CHUNK_LINE.fullmatch(line)
            if found is None:
                raise Malformed(f"chunk size {line[:40]!r}")
            self._left = int(found[1], 16)
            self._state = "chunk" if self._left else "trailers"
            self._trailers_from = len(self._raw)
        elif not line:
            self._finish(parse_fields(bytes(self._raw[self._trailers_from : -2])))
        return True

    def _read_data(self) -> bool:
        if self._state == "length" and not self._left:
            self._finish()
            return True
        if not self._buffer:
            return False
        if self._left:
            taken = self._take(min(self._left, len(self._buffer)))
            self._body += taken
            self._left -= len(taken)
            return True
        if len(self._buffer) < 2:
            return False
        if self._take(2) != b"\r\n":
            raise Malformed("no CRLF after a chunk")
        self._state = "size"
        return True

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        limit = len(self._buffer) if end < 0 else end
        if re.search(rb"(?<!\r)\n|\r(?!\n|$)", bytes(self._buffer[:limit])):
            raise Malformed(f"bare CR or LF in a head: {bytes(self._buffer[:80])!r}")
        if end < 0:
            return False
        self.head = parse_head(self._take(end + 4), self.kind)
        framing, self._left = framing_of(self.head)
        if self.kind == "response":
            framing = self._response_framing(self.head, framing)
        self._state = _FIRST_STATE[framing]
        self._framing = framing
        if framing == "none":
            self._finish()
        return True

    def _response_framing(self, head: Message, framing: Framing) -> Framing:
        if 100 <= head.status < 200:
            self.upgraded = head.status == 101
            return "none"
        if not self._methods:
            raise Malformed("a response that nobody asked for")
        method = self._methods.pop(0)
        if method == "HEAD" or head.status in (204, 304):
            return "none"
        return "close" if framing == "none" else framing

    def _finish(self, trailers: Fields = ()) -> None:
        assert self.head is not None
        self.messages.append(
            Message(
                self.head.line, self.head.fields, self._framing, bytes(self._body), trailers, bytes(self._raw)
            )
        )
        self.head = None
        self._state = "head"
        self._raw.clear()
        self._body.clear()


def read_requests(data: bytes) -> list[Message]:
    """The requests that `data` is made of, all of them whole.

    Raises:
        Malformed: when a byte is left over or the grammar is broken.
    """
    reader = Reader("request")
    reader.feed(data)
    reader.end()
    return reader.messages
