# SPDX-License-Identifier: Apache-2.0
"""What a client over HTTP/3 may cost, how long it is waited for, and how its connection ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.http3.client import Client, client
from tests.integration.http3.test_terms import metric
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import Reply, RunningGateway, endpoint, gateway, wait_until

Web = Callable[..., dict[str, Any]]

REFUSED_RATE = 'tidegate_connections_refused_total{reason="rate"}'
NO_ERROR = 0x100
INTERNAL_ERROR = 0x102
STREAM_CREATION_ERROR = 0x103
CLOSED_CRITICAL_STREAM = 0x104
FRAME_UNEXPECTED = 0x105
FRAME_ERROR = 0x106
EXCESSIVE_LOAD = 0x107
ID_ERROR = 0x108
SETTINGS_ERROR = 0x109
MISSING_SETTINGS = 0x10A
REQUEST_REJECTED = 0x10B
REQUEST_CANCELLED = 0x10C
REQUEST_INCOMPLETE = 0x10D
MESSAGE_ERROR = 0x10E
QPACK_DECOMPRESSION_FAILED = 0x200
QPACK_ENCODER_STREAM_ERROR = 0x201
QPACK_DECODER_STREAM_ERROR = 0x202
GET = bytes([0, 0, 0xD1, 0xD7, 0xC1, 0x50, 1]) + b"a"
"""The section of a request for https://a/, RFC 9204 §4.5."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame, however wrong (RFC 9114 §7.1)."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 64 else (value | 0x80000000).to_bytes(4, "big")

    return number(kind) + number(len(payload)) + payload


def details(running: RunningGateway, count: int = 1) -> list[str]:
    """What the log says of the last failures."""
    return [entry["detail"] for entry in running.log(count) if "detail" in entry]


def test_more_requests_at_a_time_than_the_limit_wait_at_the_client(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = tls.configuration(web(limits={"streams": 3}), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            streams = [connected.send("/") for _ in range(6)]
            upstream.wait_for(3)
            for _ in range(3):
                connected.step(0.1)
            assert len(upstream.messages) == 3
            held.set()
            assert [answer.status for answer in connected.wait(*streams)] == [200] * 6


def test_a_client_that_begins_more_than_it_may_is_cut_off(authority: Authority, web: Web) -> None:
    text = tls.configuration(web(limits={"streams": 3}))
    with gateway(text) as running, client(running, authority) as connected:
        connected.quic._remote_max_streams_bidi = 100
        for _ in range(5):
            connected.raw(frame(1, GET)[:2])
        assert connected.wait_for_end() == 0x4, "STREAM_LIMIT_ERROR of QUIC"


def test_heads_targets_and_bodies_have_the_listeners_limits(authority: Authority, web: Web) -> None:
    limits = {"header_size": "4KiB", "header_fields": 20, "target_size": "1KiB", "body_size": "10KiB"}
    with endpoint() as upstream:
        text = tls.configuration(web(limits=limits), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            assert connected.ask("/", headers=[("x-long", "a" * 3000)]).status == 200
            assert connected.ask("/", headers=[("x-long", "a" * 5000)]).status == 431
            assert connected.ask("/", headers=[("x-long", "a" * 50_000)]).status == 431
            head = connected.ask("/", method="HEAD", headers=[("x-long", "a" * 5000)])
            assert (head.status, bytes(head.body)) == (431, b"")
            many = [(f"x-{number}", "a") for number in range(30)]
            assert connected.ask("/", headers=many).status == 431
            assert connected.ask("/" + "a" * 1100).status == 414
            told = [("content-length", "20000")]
            assert connected.ask("/", method="POST", headers=told, body=b"a" * 20_000).status == 413
            assert connected.ask("/", method="POST", body=b"a" * 20_000).status == 413
            # Nobody else on the connection is worse off.
            assert connected.ask("/").status == 200
            assert all(len(message.body) <= 10_240 for message in upstream.messages)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([("connection", "close")], "a field of HTTP/1.1 connections"),
        ([("transfer-encoding", "chunked")], "a field of HTTP/1.1 connections"),
        ([("X-Upper", "1")], "a name in upper case"),
        ([("te", "gzip")], "te other than trailers"),
        ([("host", "other.test")], ":authority and host differ"),
        ([("content-length", "1"), ("content-length", "2")], "content-length more than once"),
        ([("content-length", "5")], "content shorter than content-length"),
    ],
)
def test_what_is_malformed_is_reset_and_the_log_says_why(
    authority: Authority, web: Web, headers: list[tuple[str, str]], detail: str
) -> None:
    with endpoint() as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            assert connected.ask("/", headers=headers).reset == MESSAGE_ERROR
            assert any(detail in said for said in details(running)), details(running)
            assert connected.ask("/").status == 200
            assert len(upstream.messages) == 1


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (frame(0, b"x"), "request", FRAME_UNEXPECTED),
        (frame(1, GET) + frame(4), "request", FRAME_UNEXPECTED),
        (frame(1, GET) + frame(6), "request", FRAME_UNEXPECTED),
        (frame(1, GET)[:-1], "request", FRAME_ERROR),
        (frame(1, b"\0\0\x80"), "request", QPACK_DECOMPRESSION_FAILED),
        (b"\0" + frame(4), "uni", STREAM_CREATION_ERROR),
        (b"\1\0", "uni", STREAM_CREATION_ERROR),
        (frame(4), "control", FRAME_UNEXPECTED),
        (frame(0, b"x"), "control", FRAME_UNEXPECTED),
        (frame(3, b"\0"), "control", ID_ERROR),
        (b"\x21", "encoder", QPACK_ENCODER_STREAM_ERROR),
        (b"\x81", "decoder", QPACK_DECODER_STREAM_ERROR),
        (b"", "control", CLOSED_CRITICAL_STREAM),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(
    authority: Authority, web: Web, data: bytes, kind: str, code: int
) -> None:
    # aioquic opens these three in this order.
    streams = {"control": 2, "encoder": 6, "decoder": 10}
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        assert connected.ask("/").status == 200
        stream = streams.get(kind)
        connected.raw(data, stream, ends=kind == "request" or not data, uni=kind == "uni")
        assert connected.wait_for_end() == code
        # Nobody else is worse off.
        with client(running, authority) as other:
            assert other.ask("/").status == 200


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0" + frame(0x21), MISSING_SETTINGS),
        (b"\0" + frame(4, b"\2\0"), SETTINGS_ERROR),
        (b"", MISSING_SETTINGS),
    ],
    ids=["another-frame", "of-http2", "nothing"],
)
def test_settings_come_first_and_in_time(authority: Authority, web: Web, data: bytes, code: int) -> None:
    text = tls.configuration(web(timeouts={"handshake": "2s"}))
    with gateway(text) as running:
        connected = Client(running.port, authority)
        while connected.shaken is None:
            assert connected.step()
        if data:
            connected.raw(data, uni=True)
        assert connected.wait_for_end() == code
        connected.close()


def test_requests_that_are_given_up_in_a_row_end_the_connection(authority: Authority, web: Web) -> None:
    with endpoint(delay=threading.Event()) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            for _ in range(200):
                stream = connected.send("/")
                with contextlib.suppress(AssertionError):
                    connected.quic.reset_stream(stream, REQUEST_CANCELLED)
                connected.quic.stop_stream(stream, REQUEST_CANCELLED)
                connected.flush()
                if not connected.step(0):
                    break
            assert connected.wait_for_end() == EXCESSIVE_LOAD
            said = "too many requests given up"
            assert wait_until(lambda: said in details(running), tls.TIMEOUT)


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param((2, frame(0xF0700, b"\0u=1")), id="priority-update"),
        pytest.param((2, frame(0x21)), id="unknown-frames"),
        pytest.param((2, frame(7, b"\0")), id="goaway"),
        pytest.param((10, b"\x40"), id="cancellations"),
    ],
)
def test_a_flood_of_what_is_of_no_use_ends_the_connection(
    authority: Authority, web: Web, flood: tuple[int, bytes]
) -> None:
    stream, data = flood
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        for _ in range(30):
            connected.raw(data * 100, stream)
            if not connected.step(0.02):
                break
        assert connected.wait_for_end() == EXCESSIVE_LOAD
        assert "too much that is of no use" in details(running, 1)


def test_streams_of_unknown_kinds_are_stopped_and_a_flood_of_them_ends_it(
    authority: Authority, web: Web
) -> None:
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        first = connected.raw(b"\x21hello", uni=True)
        while connected.answers[first].stopped is None:
            assert connected.step()
        assert connected.answers[first].stopped == STREAM_CREATION_ERROR
        assert connected.ask("/").status == 200
        for _ in range(300):
            connected.raw(b"\x21", uni=True, ends=True)
            if not connected.step(0.02):
                break
        assert connected.wait_for_end() == EXCESSIVE_LOAD


def test_a_client_that_resets_ends_its_request_at_the_endpoint(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            stream = connected.send("/")
            upstream.wait_for(1)
            connected.quic.stop_stream(stream, REQUEST_CANCELLED)
            connected.flush()
            [entry] = running.log(1)
            assert (entry["status"], entry["error"]) == (499, "client_gone")
            held.set()
            assert upstream.wait(lambda each: each.connections[0].closed, tls.TIMEOUT)
            assert connected.ask("/").status == 200


def test_a_response_that_is_cut_is_reset_and_the_connection_goes_on(authority: Authority, web: Web) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with endpoint(Reply(body=b"whole")) as whole, endpoint(raw=reply) as cut:
        routes = [{"path": "/cut", "to": cut.url}, {"path": "/", "to": whole.url}]
        text = tls.configuration(web(), *routes)
        with gateway(text) as running, client(running, authority) as connected:
            answer = connected.ask("/cut")
            assert (answer.reset, answer.ended) == (INTERNAL_ERROR, False)
            assert connected.ask("/").body == b"whole"


def test_content_that_nobody_reads_is_stopped_without_an_error(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web())) as running, client(running, authority) as connected:
        stream = connected.send("/", method="POST", ends=False)
        [answer] = connected.wait(stream)
        assert (answer.status, bytes(answer.body), answer.ended) == (200, b"here", True)
        while answer.stopped is None:
            assert connected.step()
        assert answer.stopped == NO_ERROR
        assert connected.ask("/").body == b"here"


def test_a_client_that_opens_no_window_holds_up_nobody_and_is_cut_off(authority: Authority, web: Web) -> None:
    body = b"a" * 300_000
    with endpoint(Reply(body=body)) as upstream:
        listener = web(timeouts={"send_stall": "1s"})
        text = tls.configuration(listener, {"path": "/", "to": upstream.url}, tls.HERE | {"path": "/here"})
        with gateway(text) as running, client(running, authority, max_stream_data=10_000) as connected:
            # The client opens no window of this stream again.
            connected.quic._write_stream_limits = lambda **_: None
            stream = connected.send("/")
            while not connected.answers[stream].body:
                assert connected.step()
            assert connected.ask("/here").status == 200
            [answer] = connected.wait(stream)
            assert answer.reset == INTERNAL_ERROR
            assert 0 < len(answer.body) < len(body)
            assert any(entry.get("error") == "client_gone" for entry in running.log(2))


def test_a_body_that_stops_is_given_up(authority: Authority, web: Web) -> None:
    with endpoint() as upstream:
        text = tls.configuration(web(timeouts={"body_stall": "1s"}), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            stream = connected.send("/", method="POST", body=b"half", ends=False)
            assert connected.wait(stream)[0].status == 408
            assert connected.ask("/").status == 200


def test_a_head_that_takes_long_is_given_up_alone(authority: Authority, web: Web) -> None:
    text = tls.configuration(web(timeouts={"header": "1s"}))
    with gateway(text) as running, client(running, authority) as connected:
        stream = connected.raw(frame(1, GET)[:4])
        assert connected.wait(stream)[0].reset == REQUEST_INCOMPLETE
        assert connected.ask("/").status == 200
        assert "a head took too long" in details(running, 2)


def test_an_idle_connection_is_closed_without_an_error(authority: Authority, web: Web) -> None:
    text = tls.configuration(web(timeouts={"idle": "1s"}))
    with gateway(text) as running, client(running, authority) as connected:
        assert connected.ask("/").status == 200
        assert connected.wait_for_end() == NO_ERROR


def test_a_handshake_has_its_time(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web(timeouts={"handshake": "1s"}))) as running:
        silent = Client(running.port, authority)
        assert running.log(1)[0]["error"] == "tls_handshake_error"
        assert tls.failed(running, "timeout") == 1
        silent.socket.close()


def test_packets_of_no_connection_are_looked_at_for_a_while_only(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web(address="127.0.0.1"))) as running:
        with socket.socket(type=socket.SOCK_DGRAM) as flood:
            flood.bind(("127.0.0.5", 0))
            for number in range(20_000):
                packet = bytes([0xC3, 0, 0, 0, 1, 8]) + number.to_bytes(8, "big")
                flood.sendto(packet.ljust(1200, b"x"), ("127.0.0.1", running.port))
                if number % 1000 == 999 and metric(running, REFUSED_RATE) > 0:
                    break
        assert metric(running, REFUSED_RATE) > 0
        with client(running, authority) as connected:
            assert connected.ask("/").body == b"here"


def test_what_a_connection_may_hold_is_bounded(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as late, endpoint() as prompt:
        routes = [{"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url}]
        with (
            gateway(tls.configuration(web(), *routes)) as running,
            client(running, authority) as connected,
            client(running, authority) as other,
        ):
            large = [(f"x-{number}", "a" * 3000) for number in range(9)]
            streams = [connected.send("/late", headers=large) for _ in range(60)]

            def over() -> list[int]:
                return [stream for stream in streams if connected.answers[stream].is_over]

            while len(late.messages) + len(over()) < len(streams):
                assert connected.step(0.1)
            refused = over()
            taken = [stream for stream in streams if stream not in refused]
            assert 5 < len(taken) < 50
            assert {connected.answers[stream].reset for stream in refused} == {REQUEST_REJECTED}
            assert other.ask("/").status == 200
            held.set()
            assert {answer.status for answer in connected.wait(*taken)} == {200}
            assert connected.ask("/", headers=large).status == 200


def test_a_hundred_requests_that_wait_are_taken(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            streams = [connected.send("/") for _ in range(100)]
            while len(upstream.messages) < 100:
                assert connected.step(0.1)
            held.set()
            assert {answer.status for answer in connected.wait(*streams)} == {200}


def test_a_connection_is_counted_by_its_listener(authority: Authority, web: Web) -> None:
    for limits in (
        {"connections": 1},
        {"connections_per_address": 1},
        {"connection_rate": 1, "connection_burst": 1},
    ):
        text = tls.configuration(web(limits=limits))
        with gateway(text) as running, client(running, authority) as connected:
            others = [Client(running.port, authority) for _ in range(4)]
            ends = [other.wait_for_end() for other in others if not shaken(other)]
            for other in others:
                other.close()
            assert set(ends) == {0x2}, "CONNECTION_REFUSED of QUIC"
            assert connected.ask("/").status == 200


def shaken(other: Client) -> bool:
    """Whether a connection came about."""
    while other.shaken is None and other.step():
        pass
    return other.shaken is not None


def test_a_client_that_is_not_taken_gets_no_answer_at_all(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web(clients={"deny": ["127.0.0.2"]}))) as running:
        denied = Client(running.port, authority, source="127.0.0.2")
        denied.step(0.2)
        with client(running, authority) as connected:
            assert connected.ask("/").status == 200
            denied.step(0.2)
            assert (denied.shaken, denied.terminated) == (None, None)
            # Nor does it get on as somebody else who moves there.
            connected.move("127.0.0.2")
            connected.send("/")
            assert connected.wait_for_end() == NO_ERROR
        denied.socket.close()


def test_heads_that_are_not_taken_reset_their_stream(authority: Authority, web: Web) -> None:
    reply = Reply(headers=[("X-Long", "a" * 5000)])
    with endpoint([reply, Reply()]) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running:
            connected = Client(running.port, authority, settings={6: 1000})
            connected.shake()
            assert connected.ask("/").reset == INTERNAL_ERROR
            assert connected.ask("/").status == 200
            connected.close()
