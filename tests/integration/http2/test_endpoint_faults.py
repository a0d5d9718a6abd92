# SPDX-License-Identifier: Apache-2.0
"""Endpoints that speak HTTP/2 badly, refuse, or leave: what is safe is sent again, the rest told in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.integration.http2.client import client
from tests.integration.http2.server import Asked, Connection, fetch, origin, plain, to_http2
from tidegate.testing import RunningGateway, gateway, wait_until

TIMEOUT = 30.0
BODY: dict[str, Any] = {"method": "POST", "body": b"data"}


def goaway(connection: Connection, last: int, code: int = 0) -> None:
    connection.raw(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())


def head(stream: int, fields: list[tuple[str, str]], *flags: str) -> bytes:
    """HEADERS that a connection has not compressed anything before."""
    block = Encoder().encode(fields)
    return HeadersFrame(stream, block, flags=["END_HEADERS", *flags]).serialize()


def data(stream: int, content: bytes, *flags: str) -> bytes:
    return DataFrame(stream, content, flags=list(flags)).serialize()


def error(running: RunningGateway, count: int = 1) -> str:
    """What the log says of the last of so many requests."""
    return str(running.log(count)[-1]["error"])


@pytest.mark.parametrize("more", [{}, BODY])
def test_what_a_goaway_leaves_out_is_sent_again_elsewhere(more: dict[str, Any]) -> None:
    turn = iter(range(100))

    def whole(connection: Connection, asked: Asked) -> None:
        if next(turn) == 0:
            goaway(connection, 0)
            connection.close()
        else:
            connection.answer(asked, body=bytes(asked.body) + b"ok\n")

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, **more) == (200, more.get("body", b"") + b"ok\n")
        assert len(upstream.connections) == 2
        [entry] = running.log(1)
        assert entry["status"] == 200
        assert "error" not in entry


def test_a_connection_that_is_being_ended_finishes_what_it_has_and_gets_nothing_new() -> None:
    gate = threading.Event()

    def whole(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/slow":
            goaway(connection, asked.stream)
            assert gate.wait(TIMEOUT)
        connection.answer(asked, body=b"ok\n")

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running, client(running) as connected:
        slow = connected.send("/slow")
        wait_until(lambda: len(upstream.asked) == 1, TIMEOUT)
        wait_until(lambda: fetch(running) == (200, b"ok\n") and len(upstream.connections) == 2, TIMEOUT)
        gate.set()
        assert bytes(connected.wait(slow)[0].body) == b"ok\n"
        wait_until(lambda: upstream.connections[0].ended, TIMEOUT)
        assert fetch(running) == (200, b"ok\n")
        assert len(upstream.connections) == 2


def test_a_goaway_before_any_request_costs_none() -> None:
    def begun(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, body=b"ok\n")
        goaway(connection, asked.stream)
        connection.close()

    with origin(None, begun) as upstream, gateway(to_http2(upstream.port)) as running:
        for _ in range(5):
            assert fetch(running) == (200, b"ok\n")
        assert upstream.accepted == 5


def test_a_closed_idle_connection_is_replaced_without_a_word() -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, body=b"ok\n")
        if asked.get("x-close"):
            connection.close()

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        for _ in range(3):
            assert fetch(running, headers={"X-Close": "1"}) == (200, b"ok\n")
            assert fetch(running) == (200, b"ok\n")
        assert all("error" not in entry for entry in running.log(6))


@pytest.mark.parametrize("how", ["goaway", "refused"])
def test_an_endpoint_that_refuses_for_ever_is_given_up(how: str) -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        if how == "goaway":
            goaway(connection, 0)
        else:
            connection.raw(RstStreamFrame(asked.stream, ErrorCodes.REFUSED_STREAM).serialize())

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, **BODY)[0] == 502
        assert error(running) == "connection_terminated"
        assert 2 <= len(upstream.asked) <= 6


def test_a_refused_stream_is_sent_again_whatever_its_method() -> None:
    turn = iter(range(100))

    def whole(connection: Connection, asked: Asked) -> None:
        if next(turn) < 2:
            connection.raw(RstStreamFrame(asked.stream, ErrorCodes.REFUSED_STREAM).serialize())
        else:
            connection.answer(asked, body=bytes(asked.body))

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, **BODY) == (200, b"data")
        assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    "code", [ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.HTTP_1_1_REQUIRED]
)
def test_a_reset_before_the_response_is_a_failure_that_may_be_tried_elsewhere(code: int) -> None:
    def reset(connection: Connection, asked: Asked) -> None:
        connection.raw(RstStreamFrame(asked.stream, code).serialize())

    with origin(reset) as bad, origin() as good:
        with gateway(to_http2(bad.port)) as running:
            assert fetch(running, **BODY)[0] == 502
            assert error(running) == "connection_terminated"
            assert len(bad.asked) == 1
        both = [f"127.0.0.1:{each.port}" for each in (bad, good)]
        with gateway(to_http2(bad.port, balancing="round_robin", endpoints=both)) as running:
            assert [fetch(running)[0] for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_response_that_breaks_off_is_not_taken_for_whole(version: str) -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        connection.head(asked)
        connection.data(asked, b"the first half")
        if asked.get(":path") == "/reset":
            connection.raw(RstStreamFrame(asked.stream, ErrorCodes.CANCEL).serialize())
        else:
            connection.close()

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        for path in ("/reset", "/close"):
            if version == "2":
                with client(running) as connected:
                    answer = connected.ask(path)
                    assert answer.reset is not None and not answer.ended
            else:
                bare = plain(running)
                bare.request("GET", path)
                with pytest.raises((OSError, HTTPException)):
                    bare.getresponse().read()
                bare.close()
        assert error(running, 2) == "http_response_incomplete"


Reply = Callable[[int], bytes]
OK = [(":status", "200")]
MALFORMED: dict[str, tuple[Reply, str]] = {
    "garbage": (lambda _: b"\x00\xff" * 500, "http_protocol_error"),
    "an odd stream that nobody began": (lambda _: head(99, OK, "END_STREAM"), "http_protocol_error"),
    "an even stream": (lambda _: head(2, OK, "END_STREAM"), "http_protocol_error"),
    "a push": (
        lambda s: PushPromiseFrame(s, 2, b"\x88", flags=["END_HEADERS"]).serialize(),
        "http_protocol_error",
    ),
    "content before the head": (lambda s: data(s, b"x", "END_STREAM"), "http_protocol_error"),
    "no status": (lambda s: head(s, [("x", "1")], "END_STREAM"), "http_protocol_error"),
    "two statuses": (lambda s: head(s, [*OK, *OK], "END_STREAM"), "http_protocol_error"),
    "status 99": (lambda s: head(s, [(":status", "099")], "END_STREAM"), "http_protocol_error"),
    "status 999": (lambda s: head(s, [(":status", "999")], "END_STREAM"), "http_protocol_error"),
    "101": (lambda s: head(s, [(":status", "101")]), "http_protocol_error"),
    "a field of connections": (lambda s: head(s, [*OK, ("connection", "close")]), "http_protocol_error"),
    "a name in upper case": (lambda s: head(s, [*OK, ("X-A", "1")]), "http_protocol_error"),
    "no HPACK": (
        lambda s: HeadersFrame(s, b"\xff" * 20, flags=["END_HEADERS"]).serialize(),
        "http_protocol_error",
    ),
    "two lengths": (
        lambda s: head(s, [*OK, ("content-length", "1"), ("content-length", "2")]),
        "http_protocol_error",
    ),
    "a length and no content": (
        lambda s: head(s, [*OK, ("content-length", "7")], "END_STREAM"),
        "http_protocol_error",
    ),
    "a large head": (
        lambda s: b"".join(head_in_parts(s, [("x-" + "a" * 20 + str(n), "b" * 900) for n in range(40)])),
        "http_response_header_section_size",
    ),
    "too many fields": (
        lambda s: b"".join(head_in_parts(s, [(f"x{n}", "1") for n in range(150)])),
        "http_response_header_section_size",
    ),
    "CONTINUATION without end": (
        lambda s: HeadersFrame(s, b"").serialize() + ContinuationFrame(s, b"").serialize() * 1000,
        "http_protocol_error",
    ),
    "interim responses without end": (
        lambda s: head(s, [(":status", "100")]) * 20,
        "http_response_header_section_size",
    ),
    "PING without end": (lambda _: PingFrame(0, b"12345678").serialize() * 30_000, "http_protocol_error"),
    "SETTINGS without end": (lambda _: SettingsFrame(0).serialize() * 30_000, "http_protocol_error"),
    "a window by nothing": (
        lambda _: WindowUpdateFrame(0, 1).serialize()[:-1] + b"\0",
        "http_protocol_error",
    ),
    "a frame that is too large": (
        lambda s: b"\x01\x00\x00\x00\x00\x00\x00\x00" + bytes([s]),
        "http_protocol_error",
    ),
}


def head_in_parts(stream: int, fields: list[tuple[str, str]]) -> list[bytes]:
    """A head in frames of 16 KiB."""
    block = Encoder().encode([*OK, *fields])
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    frames: list[Frame] = [HeadersFrame(stream, parts[0])]
    frames += [ContinuationFrame(stream, part) for part in parts[1:]]
    frames[-1].flags.add("END_HEADERS")
    frames[0].flags.add("END_STREAM")
    return [frame.serialize() for frame in frames]


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_response_is_a_502_at_once_and_the_next_request_is_served(what: str) -> None:
    reply, kind = MALFORMED[what]
    turn = iter(range(100))

    def whole(connection: Connection, asked: Asked) -> None:
        if next(turn) == 0:
            connection.raw(reply(asked.stream))
        else:
            connection.answer(asked, body=b"ok\n")

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, **BODY)[0] == 502
        assert error(running) == kind
        assert fetch(running) == (200, b"ok\n")


SPOILED: dict[str, Reply] = {
    "shorter than told": lambda s: (
        head(s, [*OK, ("content-length", "9")]) + data(s, b"12345678", "END_STREAM")
    ),
    "longer than told": lambda s: head(s, [*OK, ("content-length", "4")]) + data(s, b"123") + data(s, b"45"),
    "a pseudo field among trailers": lambda s: head(s, OK) + data(s, b"1") + head(s, OK, "END_STREAM"),
    "trailers that do not end it": lambda s: head(s, OK) + data(s, b"1") + head(s, [("x", "1")]),
    "garbage in between": lambda s: head(s, OK) + data(s, b"1") + b"\x00\xff" * 50,
}


@pytest.mark.parametrize("what", SPOILED)
def test_content_that_is_spoiled_is_cut(what: str) -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        connection.raw(SPOILED[what](asked.stream))

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running, client(running) as connected:
        answer = connected.ask("/")
        assert answer.reset is not None or answer.status == 502
        assert not (answer.status == 200 and answer.ended)


def _silent(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connected.recv(65_536):
            pass


def _old(connected: socket.socket) -> None:
    connected.recv(65_536)
    connected.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    _silent(connected)


def test_an_endpoint_of_http1_is_named_as_such() -> None:
    with origin(script=_old) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running)[0] == 502
        [entry] = running.log(1)
        assert (entry["error"], entry["detail"]) == (
            "http_protocol_error",
            "the endpoint answered in HTTP/1.1",
        )


def test_an_endpoint_that_says_nothing_is_not_waited_for_any_longer_than_configured() -> None:
    with origin(script=_silent) as upstream:
        with gateway(to_http2(upstream.port, timeouts={"connect": "300ms"})) as running:
            statuses: list[int] = []
            asking = [
                threading.Thread(target=lambda: statuses.append(fetch(running, **BODY)[0])) for _ in range(4)
            ]
            for each in asking:
                each.start()
            for each in asking:
                each.join(TIMEOUT)
            assert statuses == [504] * 4
            assert {entry["error"] for entry in running.log(4)} == {"connection_timeout"}
        with gateway(to_http2(upstream.port, timeouts={"first_byte": "300ms"})) as running:
            assert fetch(running)[0] == 504
            assert error(running) == "http_response_timeout"


def test_an_endpoint_that_closes_at_once_is_a_502() -> None:
    with origin(script=lambda _: None) as upstream, gateway(to_http2(upstream.port)) as running:
        assert fetch(running, **BODY)[0] == 502
        assert error(running) == "connection_terminated"


def test_a_window_that_stays_shut_ends_the_upload_and_nothing_else() -> None:
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
    stalls = {"stall": "300ms"}
    with (
        origin(settings=settings) as upstream,
        gateway(to_http2(upstream.port, timeouts=stalls)) as running,
    ):
        assert fetch(running)[0] == 200
        assert fetch(running, **BODY)[0] == 504
        assert error(running, 2) == "connection_write_timeout"


def test_a_connection_on_which_nothing_comes_gets_no_more_requests() -> None:
    first: list[Connection] = []

    def begun(connection: Connection, asked: Asked) -> None:
        first.append(connection)

    with origin(None, begun) as upstream:
        text = to_http2(upstream.port, timeouts={"first_byte": "300ms", "connect": "300ms"})
        with gateway(text) as running:
            assert fetch(running, **BODY)[0] == 504
            # It answers the PING that asks whether it is still there, and is used again.
            wait_until(lambda: first[0].pings == 1, TIMEOUT)
            assert len(upstream.connections) == 1
            assert not upstream.connections[0].ended


def test_clients_that_take_nothing_hold_up_nobody_else() -> None:
    gate = threading.Event()

    def whole(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/large":
            connection.head(asked)
            connection.data(asked, bytes(1 << 20), ends=True)
            gate.wait(TIMEOUT)
        else:
            connection.answer(asked, body=bytes(200_000))

    with origin(whole) as upstream, gateway(to_http2(upstream.port)) as running:
        with client(running, reads=False) as connected:
            for _ in range(60):
                connected.send("/large")
            while connected.machine.inbound_flow_control_window > 0:
                assert connected.step()
            for _ in range(3):
                assert fetch(running) == (200, bytes(200_000))
        gate.set()
        assert len(upstream.connections) == 1
