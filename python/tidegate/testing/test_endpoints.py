# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import threading

import pytest

from tidegate.testing import FakeEndpoint, Reply, Wire, endpoint

GET = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"


def connect(upstream: FakeEndpoint) -> Wire:
    return Wire((upstream.host, upstream.port), timeout=3)


def test_an_endpoint_answers_and_keeps_what_it_was_sent() -> None:
    with endpoint(respond=Reply(201, [("x-a", "b")], b"made")) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_final(1)
        assert (wire.final_responses[0].status, wire.final_responses[0].body) == (201, b"made")
        (message,) = upstream.wait_for(1)
        assert (message.method, message.target, message.get("host"), message.raw) == (
            "GET",
            "/x",
            "a.test",
            GET,
        )
        assert bytes(upstream.connections[0].raw) == GET


def test_responses_may_differ_by_turn_or_by_request() -> None:
    with endpoint(respond=[200, 503]) as upstream, connect(upstream) as wire:
        wire.send(GET * 3, "GET", "GET", "GET")
        assert wire.wait_final(3)
        assert [message.status for message in wire.final_responses] == [200, 503, 503]
    with (
        endpoint(respond=lambda request: Reply(body=request.target.encode())) as upstream,
        connect(upstream) as wire,
    ):
        wire.send(GET, "GET")
        assert wire.wait_final(1)
        assert wire.final_responses[0].body == b"/x"


def test_a_response_is_cut_where_told() -> None:
    with endpoint(respond=Reply(body=b"0123456789"), cut_at=50) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_closed()
        assert (len(wire.received), wire.closed) == (50, "fin")


def test_a_connection_is_reset_when_told() -> None:
    with endpoint(reset=True) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_closed()
        assert wire.closed == "reset"


def test_a_half_closed_endpoint_still_reads() -> None:
    with endpoint(half_close=True) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_closed()
        assert wire.final_responses[0].status == 200
        assert not upstream.connections[0].closed


def test_a_trickled_response_is_whole() -> None:
    with endpoint(trickle=3) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_final(1)
        assert wire.final_responses[0].body == b"ok\n"


def test_raw_bytes_are_sent_as_they_are() -> None:
    with endpoint(raw=b"nonsense") as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_closed()
        assert bytes(wire.received) == b"nonsense"


def test_an_endpoint_refuses_or_stays_silent() -> None:
    with endpoint(fail="refuse") as upstream, pytest.raises(ConnectionRefusedError):
        socket.create_connection((upstream.host, upstream.port), timeout=3)
    with endpoint(fail="silent") as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        upstream.wait_for(1)
        assert not wire.received


def test_a_delay_waits_for_its_event() -> None:
    gate = threading.Event()
    with endpoint(delay=gate) as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        upstream.wait_for(1)
        assert not wire.received
        gate.set()
        assert wire.wait_final(1)


def test_an_early_answer_comes_before_the_body() -> None:
    with endpoint(early=True, respond=Reply(413)) as upstream, connect(upstream) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n", "POST")
        assert wire.wait_final(1)
        assert upstream.messages == []


def test_a_client_that_waits_for_100_gets_it() -> None:
    with endpoint() as upstream, connect(upstream) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "POST"
        )
        assert wire.wait_bytes(b"100 Continue\r\n\r\n")
        wire.send(b"ab")
        assert wire.wait_final(1)
        assert [message.status for message in wire.responses] == [100, 200]


def test_what_is_not_http_is_said_so() -> None:
    with endpoint() as upstream, connect(upstream) as wire:
        wire.send(b"GET / HTTP/1.1\nHost: a.test\r\n\r\n", "GET")
        assert wire.wait_closed()
        assert "bare CR or LF" in str(upstream.connections[0].malformed)


def test_a_new_script_forgets_the_old_requests() -> None:
    with endpoint() as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_final(1)
        upstream.begin(upstream.script)
        assert upstream.messages == []
        with pytest.raises(TimeoutError):
            upstream.wait_for(1, timeout=0.01)


def test_dropped_connections_end() -> None:
    with endpoint() as upstream, connect(upstream) as wire:
        wire.send(GET, "GET")
        assert wire.wait_final(1)
        upstream.drop_connections()
        assert wire.wait_closed()
        assert upstream.wait(lambda one: one.connections[0].closed)
