# SPDX-License-Identifier: Apache-2.0
"""Calls of gRPC through the gateway: routes by service and method, refusals, deadlines, streams."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from tests.integration.grpc.calls import CALL, CONTENT, call, message, reply, status
from tests.integration.http2.client import client
from tests.integration.http2.server import Asked, Connection, fetch, origin
from tests.ports import free_port
from tidegate import ConfigError
from tidegate.testing import gateway

TIMEOUT = 30.0


def configuration(
    port: int, *routes: dict[str, Any], listener: dict[str, Any] | None = None, **backend: Any
) -> str:
    """One listener for all clients, one backend, `shop`."""
    shop = {"endpoints": [f"127.0.0.1:{port}"], "http2": True, **backend}
    return json.dumps(
        {
            "gateway": {"threads": 1, "admin": {"port": 60_999}},
            "listeners": {"web": {"port": 60_080, "http2": True, **(listener or {})}},
            "backends": {"shop": shop},
            "routes": list(routes) or [{"type": "grpc", "to": "shop"}],
        }
    )


def test_a_call_goes_through_and_the_log_has_its_status() -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            answer = call(connected, body=message(b"hello"))
        assert status(answer) == (200, "0", "")
        assert bytes(answer.body) == message(b"hello")
        [asked] = upstream.asked
        assert (asked.get(":path"), asked.get("te")) == ("/shop.v1.Cart/Add", "trailers")
        [entry] = running.log(1)
        assert (entry["status"], entry["grpc_status"], entry["protocol"]) == (200, 0, "HTTP/2")
        assert entry["route"] == "grpc */*"


def test_messages_stream_both_ways_as_they_come() -> None:
    turns: list[threading.Event] = [threading.Event() for _ in range(4)]

    def begun(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT])
        for number, turn in enumerate(turns):
            assert turn.wait(TIMEOUT)
            connection.data(asked, message(b"%d" % number))

    def whole(connection: Connection, asked: Asked) -> None:
        connection.trailers(asked, [("grpc-status", "0")])

    with origin(whole, begun) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            stream = connected.send("/a.B/C", method="POST", headers=CALL, ends=False, body=message(b"x"))
            answer = connected.answers[stream]
            for number, turn in enumerate(turns):
                turn.set()
                while not bytes(answer.body).endswith(message(b"%d" % number)):
                    assert connected.step()
                connected.upload(stream, message(b"y"), ends=False)
            connected.upload(stream, message(b"z"))
            connected.wait(stream)
            assert status(answer) == (200, "0", None)
        assert bytes(upstream.wait_for(1)[0].body) == message(b"x") + message(b"y") * 4 + message(b"z")


ROUTES: list[tuple[Any, list[str], list[str]]] = [
    ("shop.v1.Cart/Add", ["/shop.v1.Cart/Add"], ["/shop.v1.Cart/Remove", "/shop.v1.Cart", "/v1.Cart/Add"]),
    ("shop.v1.Cart", ["/shop.v1.Cart/Add", "/shop.v1.Cart/Remove"], ["/shop.v1.Cart2/Add", "/shop.v1/Add"]),
    ({"method": "Add"}, ["/a.B/Add", "/C/Add"], ["/a.B/Adds", "/a.B/c/Add"]),
    ({"service": {"regex": "shop\\..*"}}, ["/shop.v1.Cart/Add"], ["/a.shop.B/Add", "/shop/Add"]),
    (
        {"service": "a.B", "method": {"regex": "Get.*"}},
        ["/a.B/GetAll", "/a.B/Get"],
        ["/a.B/Forget", "/a.C/Get", "/aXB/Get"],
    ),
    ({}, ["/a.B/C"], []),
]


@pytest.mark.parametrize(("match", "taken", "others"), ROUTES)
def test_calls_are_told_apart_by_service_and_method(match: Any, taken: list[str], others: list[str]) -> None:
    route = {"type": "grpc", "match": match, "to": "shop"}
    with origin(reply) as upstream:
        text = configuration(upstream.port, route)
        with gateway(text) as running, client(running) as connected:
            assert [status(call(connected, path))[1] for path in taken] == ["0"] * len(taken)
            assert [status(call(connected, path))[1] for path in others] == ["12"] * len(others)
            # What is no call is no business of such a route.
            assert connected.ask(taken[0], method="POST", body=b"x").status == 404
            assert connected.ask(taken[0], headers=CALL).status in (200, 404)


def test_calls_are_told_apart_by_their_metadata_and_stand_beside_other_requests() -> None:
    beta = {"type": "grpc", "match": {"service": "a.B", "headers": {"x-version": "beta"}}, "to": "shop"}
    rest = {"path": "/", "to": {"respond": {"status": 200, "body": "web"}}}
    with origin(reply) as upstream, gateway(configuration(upstream.port, beta, rest)) as running:
        with client(running) as connected:
            assert status(call(connected, "/a.B/C", [("x-version", "beta")]))[1] == "0"
            assert bytes(call(connected, "/a.B/C").body) == b"web"
        assert fetch(running, "/a.B/C", method="POST") == (200, b"web")


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ({"path": "/a"}, "a call has no `path`"),
        ({"service": "a-b"}, "`a-b` is no name that gRPC has"),
        ({"method": "a.b"}, "`a.b` is no name that gRPC has"),
        ({"service": {"regex": "("}}, "no regular expression"),
        ({"service": 1}, "is no name"),
    ],
)
def test_what_is_no_name_is_refused(match: Any, says: str) -> None:
    route = {"type": "grpc", "match": match, "to": "shop"}
    with pytest.raises(ConfigError, match=says), gateway(configuration(60_001, route)):
        pass


def test_what_the_gateway_refuses_is_told_as_grpc_tells_it() -> None:
    denied = {"type": "grpc", "match": "deny.All", "clients": {"allow": ["192.0.2.0/24"]}, "to": "shop"}
    fixed = {"status": 429, "body": "50 % zu viel für dich\n"}
    routes: list[dict[str, Any]] = [
        denied,
        {"type": "grpc", "match": "gone.Away", "to": "shop"},
        {"type": "grpc", "match": "fixed.Answer", "to": {"respond": fixed}},
        {"type": "grpc", "match": "closed.Shop", "to": "shop", "maintenance": True},
        {"type": "grpc", "match": "large.Body", "to": "shop", "body_size": "10B"},
    ]
    with gateway(configuration(free_port(), *routes)) as running, client(running) as connected:
        for path, code, words in [
            ("/no.Route/Is", "12", "Not Found"),
            ("/deny.All/Calls", "7", "Forbidden"),
            ("/gone.Away/Now", "14", "Bad Gateway"),
            ("/fixed.Answer/Now", "14", "50 %25 zu viel f%C3%BCr dich"),
            ("/closed.Shop/Now", "14", "503 Service Unavailable"),
            ("/large.Body/Now", "8", "Content Too Large"),
        ]:
            answer = call(connected, path, body=message(bytes(20)))
            assert status(answer) == (200, code, words), path
            assert answer.get("content-type") == "application/grpc"
            assert (answer.get("content-length"), bytes(answer.body), answer.trailers) == (None, b"", [])
        entries = running.log(6)
    assert [entry["grpc_status"] for entry in entries] == [12, 7, 14, 14, 14, 8]
    assert [entry.get("error") for entry in entries][:3] == [
        "destination_not_found",
        "http_request_denied",
        "connection_refused",
    ]


def test_a_deadline_is_kept_and_passed_on() -> None:
    def silent(connection: Connection, asked: Asked) -> None:
        if asked.get(":path") == "/a.B/Begin":
            connection.head(asked, 200, [CONTENT])
            connection.data(asked, message(b"begun"))

    with origin(silent) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            began = time.monotonic()
            answer = call(connected, "/a.B/Wait", [("grpc-timeout", "400m")])
            assert status(answer) == (200, "4", "Gateway Timeout")
            assert 0.3 < time.monotonic() - began < 20
            answer = call(connected, "/a.B/Begin", [("grpc-timeout", "400000u")])
            assert bytes(answer.body) == message(b"begun")
            assert status(answer)[1] == "4"
        for asked in upstream.asked:
            told = asked.get("grpc-timeout") or ""
            assert told.endswith("u") and 0 < int(told[:-1]) <= 400_000
        entries = running.log(2)
        assert [(entry["grpc_status"], entry["error"]) for entry in entries] == [(4, "request_deadline")] * 2


def test_a_deadline_is_no_longer_than_the_routes_own() -> None:
    route = {"type": "grpc", "to": "shop", "timeouts": {"request": "400ms"}}
    with origin(None) as upstream, gateway(configuration(upstream.port, route)) as running:
        with client(running) as connected:
            assert status(call(connected, more=[("grpc-timeout", "1H")]))[1] == "4"
            assert status(call(connected))[1] == "4"
        told = [asked.get("grpc-timeout") for asked in upstream.asked]
        assert told[0] is not None and int(told[0][:-1]) <= 400_000
        assert told[1] is None


@pytest.mark.parametrize("value", ["", "1", "S", "1s", "-1S", "123456789S", "1 S", "1S, 2S"])
def test_a_malformed_deadline_is_refused(value: str) -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            assert status(call(connected, more=[("grpc-timeout", value)]))[:2] == (200, "13")
            # Where there is no call it is a field like any other.
        assert not upstream.asked


def test_a_connection_that_breaks_in_a_call_is_told_in_trailers() -> None:
    def whole(connection: Connection, asked: Asked) -> None:
        connection.head(asked, 200, [CONTENT])
        connection.data(asked, message(b"half"))
        connection.close()

    with origin(whole) as upstream, gateway(configuration(upstream.port)) as running:
        with client(running) as connected:
            answer = call(connected)
            assert bytes(answer.body) == message(b"half")
            assert status(answer) == (200, "14", "Bad Gateway")
        [entry] = running.log(1)
        assert (entry["error"], entry["grpc_status"]) == ("http_response_incomplete", 14)
