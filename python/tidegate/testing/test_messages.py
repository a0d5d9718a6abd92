# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tidegate.testing import Malformed, Reader, read_requests

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n"


def test_messages_are_split_whatever_pieces_they_come_in() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + CHUNKED + b"PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok"
    whole = read_requests(data)
    reader = Reader("request")
    for byte in data:
        reader.feed(bytes([byte]))
    assert reader.messages == whole
    assert [(m.method, m.framing, m.body, m.trailers) for m in whole] == [
        ("GET", "none", b"", ()),
        ("POST", "chunked", b"abc", ((b"T", b"u"),)),
        ("PUT", "length", b"ok", ()),
    ]
    assert b"".join(message.raw for message in whole) == data


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        CHUNKED.replace(b"3;", b"+3;"),
        CHUNKED.replace(b"3;x=y\r\n", b"3;\r\n"),
        CHUNKED.replace(b"abc\r\n", b"abcd\r\n"),
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
    ],
)
def test_what_is_not_exactly_messages_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_requests(data)


def test_responses_are_framed_by_their_requests() -> None:
    reader = Reader("response")
    for method in ("HEAD", "GET", "GET", "GET"):
        reader.expect(method)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    reader.feed(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n")
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\nto the end")
    reader.end()
    assert [(message.status, message.body) for message in reader.messages] == [
        (200, b""), (103, b""), (304, b""), (200, b"ok"), (200, b"to the end"),
    ]  # fmt: skip


def test_a_response_that_nobody_asked_for_is_malformed() -> None:
    with pytest.raises(Malformed, match="nobody asked"):
        Reader("response").feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_after_101_bytes_are_no_messages() -> None:
    reader = Reader("response")
    reader.expect("GET")
    reader.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00\x01")
    assert (reader.upgraded, reader.rest) == (True, b"\x00\x01")
