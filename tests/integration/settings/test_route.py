# SPDX-License-Identifier: Apache-2.0
import contextlib
import threading
from http.client import HTTPConnection

import pytest

from tests.ports import free_port
from tidegate import Gateway, Listener, Match, Route
from tidegate.testing import FakeEndpoint, Reply, RunningGateway, Wire, endpoint, gateway

from .kit import ask, error, shows, small

_OTHER = "  - { name: other, path: /other, to: { respond: { status: 204 } } }"


@shows("Route.listeners")
def test_a_route_is_only_on_its_listeners() -> None:
    text = """
listeners: { one: { port: 0 }, two: { port: 0 } }
routes: [{ listeners: [two], path: /, to: { respond: { status: 204 } } }]
"""
    with gateway(text, threads=1) as running:
        assert ask(running, port=running.ports["one"]).status == 404
        assert ask(running, port=running.ports["two"]).status == 204


@shows("Route.hosts")
def test_a_route_is_only_for_its_hosts() -> None:
    with endpoint() as upstream, small(upstream, route='hosts: [shop.test, "*.api.test"]') as running:
        statuses = [
            ask(running, headers=[f"Host: {host}"]).status for host in ("shop.test", "a.api.test", "b.test")
        ]
        assert statuses == [200, 200, 404]


@shows(
    "Route.match",
    "Match.path",
    "Match.methods",
    "Match.headers",
    "Match.query",
    "Match.cookies",
    "Match.clients",
    "PathMatch.kind",
    "PathMatch.value",
    "FieldMatch.name",
    "FieldMatch.kind",
    "FieldMatch.value",
)
@pytest.mark.parametrize(
    ("match", "taken", "left"),
    [
        ("path: /a", ["GET /a", "GET /a/b"], ["GET /ab", "GET /"]),
        ("path: { exact: /a }", ["GET /a"], ["GET /a/b"]),
        ("path: '/u/{id}'", ["GET /u/1"], ["GET /u", "GET /u/1/2"]),
        ("path: { regex: '/v[0-9]+' }", ["GET /v12"], ["GET /v", "GET /v1/x"]),
        ("path: /, methods: [POST]", ["POST /"], ["GET /"]),
        ("path: /, headers: { X-A: '1' }", ["GET / X-A: 1"], ["GET /", "GET / X-A: 2"]),
        ("path: /, headers: { X-A: { present: true } }", ["GET / X-A: 9"], ["GET /"]),
        ("path: /, query: { q: { regex: '[a-c]' } }", ["GET /?q=b"], ["GET /?q=d", "GET /"]),
        ("path: /, cookies: { c: '1' }", ["GET / Cookie: c=1"], ["GET / Cookie: c=2"]),
        ("path: /, clients: [127.0.0.0/8]", ["GET /"], []),
        ("path: /, clients: [192.0.2.0/24]", [], ["GET /"]),
    ],
)
def test_a_match_takes_what_it_says(match: str, taken: list[str], left: list[str]) -> None:
    text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes: [{{ match: {{ {match} }}, to: {{ respond: {{ status: 204 }} }} }}]
"""
    with gateway(text, threads=1) as running:
        for request, status in [*((one, 204) for one in taken), *((one, 404) for one in left)]:
            method, target, *header = request.split(" ", 2)
            assert ask(running, target, method=method, headers=header).status == status, request


_ONE, _TWO, _SIX = "127.0.0.1", "127.0.0.2", "::1"


@shows("Match.local_addresses")
def test_a_match_tells_the_addresses_of_a_listener_apart_that_has_all() -> None:
    def gateway_of(*routes: tuple[list[str], str]) -> Gateway:
        return Gateway(
            listeners={"all": Listener(port=ports[0]), "four": Listener(address="0.0.0.0", port=ports[1])},
            routes=[
                Route(name=text, match=Match(local_addresses=networks), to={"respond": text})
                for networks, text in routes
            ],
        )

    def ask_each() -> list[str]:
        told = []
        for wire in wires:
            wire.request("GET", "/")
            told.append(wire.getresponse().read().decode())
        return told

    ports = [free_port(), free_port()]
    dialled = [(_ONE, 0), (_TWO, 0), (_SIX, 0), (_ONE, 1), (_TWO, 1)]
    with gateway_of(([], "any")).running(threads=1) as running, contextlib.ExitStack() as open_ones:
        wires = [
            open_ones.enter_context(contextlib.closing(HTTPConnection(host, ports[index], timeout=30)))
            for host, index in dialled
        ]
        assert ask_each() == ["any"] * 5
        running.reload(gateway_of((["127.0.0.0/8"], "four"), ([_TWO], "never"), ([_SIX], "six")))
        # In the order of the file; connections that were there before are judged alike.
        assert ask_each() == ["four", "four", "six", "four", "four"]
        running.reload(gateway_of(([_TWO], "two"), (["127.0.0.0/8"], "four"), ([], "any")))
        assert ask_each() == ["four", "two", "any", "four", "two"]
        for (host, index), body in zip(dialled, ask_each(), strict=True):
            listener = ["all", "four"][index]
            asked = {"method": "GET", "url": "http://h/", "listener": listener, "local_address": host}
            told = running.explain(asked)
            assert (told["local_address"], told["route"]) == (host, body), told


@shows("Route.policies")
def test_a_routes_policy_is_that_routes_alone() -> None:
    policy = "policies: [{ type: response_headers, set: { X-R: r } }]"
    with endpoint() as upstream, small(upstream, route=policy, more=_OTHER) as running:
        assert ask(running).get("x-r") == "r"
        assert ask(running, "/other").get("x-r") is None


@shows("Route.to", "Forward.backends", "WeightedBackend.backend", "WeightedBackend.weight")
def test_requests_are_split_by_weight() -> None:
    with endpoint(Reply(body=b"one")) as one, endpoint(Reply(body=b"two")) as two:
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ a: {{ endpoints: ["{one.address}"] }}, b: {{ endpoints: ["{two.address}"] }} }}
routes: [{{ path: /, to: [{{ backend: a, weight: 3 }}, {{ backend: b, weight: 1 }}] }}]
"""
        with gateway(text, threads=1) as running:
            for _ in range(200):
                ask(running)
        # Four standard errors around 150 of 200.
        assert 125 <= len(one.messages) <= 175 and len(one.messages) + len(two.messages) == 200


@shows(
    "Redirect.status", "Redirect.location", "Redirect.scheme", "Redirect.host", "Redirect.port",
    "Redirect.path", "Respond.status", "Respond.headers", "Respond.body", "Internal.page",
)  # fmt: skip
@pytest.mark.parametrize(
    ("to", "status", "location", "body"),
    [
        ("{ redirect: { scheme: https } }", 302, "https://a.test/p?q=1", b""),
        ("{ redirect: { status: 308, host: b.test, port: 8443 } }", 308, "http://b.test:8443/p?q=1", b""),
        ("{ redirect: { path: /new } }", 302, "http://a.test/new?q=1", b""),
        ("{ redirect: { location: 'https://c.test/x' } }", 302, "https://c.test/x", b""),
        ("{ respond: { status: 418, body: tea, headers: { X-Pot: '1' } } }", 418, None, b"tea"),
    ],
)
def test_a_route_may_answer_by_itself(to: str, status: int, location: str | None, body: bytes) -> None:
    with gateway(
        f"listeners: {{ web: {{ port: 0 }} }}\nroutes: [{{ path: /, to: {to} }}]", threads=1
    ) as running:
        response = ask(running, "/p?q=1")
        assert (response.status, response.get("location"), response.body) == (status, location, body)
        assert response.get("x-pot") == ("1" if status == 418 else None)


@shows("Route.rewrite", "Rewrite.prefix", "Rewrite.path", "Rewrite.host")
def test_a_rewrite_changes_what_is_sent_and_maps_the_answer_back() -> None:
    reply = Reply(
        302, headers=[("Location", "http://inner.test/in/next"), ("Set-Cookie", "a=b; Path=/in")], body=b""
    )
    rewrite = "rewrite: { prefix: /in, host: inner.test }"
    with endpoint(reply) as upstream:
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes:
  - {{ path: /app, to: "{upstream.url}", {rewrite} }}
  - {{ path: "/u/{{id}}", to: "{upstream.url}", rewrite: {{ path: "/by/{{id}}" }} }}
"""
        with gateway(text, threads=1) as running:
            response = ask(running, "/app/x?q=1")
            message = upstream.messages[0]
            assert (message.target, message.get("host")) == ("/in/x?q=1", "inner.test")
            assert message.get("x-forwarded-prefix") == "/app"
            assert message.get("x-forwarded-host") == "a.test"
            assert response.get("location") == "http://a.test/app/next"
            assert response.get("set-cookie") == "a=b; Path=/app"
            ask(running, "/u/42")
            assert upstream.messages[1].target == "/by/42"


@shows("Route.timeouts", "RouteTimeouts.request", "RouteTimeouts.first_byte")
@pytest.mark.parametrize(
    ("timeout", "kind"),
    [("request: 200ms", "request_deadline"), ("first_byte: 200ms", "http_response_timeout")],
)
def test_an_exchange_takes_no_longer_than_its_route_allows(timeout: str, kind: str) -> None:
    with endpoint(fail="silent") as upstream, small(upstream, route=f"timeouts: {{ {timeout} }}") as running:
        response = ask(running, method="POST", body=b"x")
        assert (response.status, error(response)) == (504, kind)


_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
_ASK = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"


def _upgraded(running: RunningGateway) -> Wire:
    wire = Wire(("127.0.0.1", running.port))
    wire.send(_ASK, "GET")
    assert wire.wait_final(1) and wire.final_responses[0].status == 101
    return wire


@shows("RouteTimeouts.upgraded_idle")
def test_an_upgraded_connection_may_not_rest_for_ever() -> None:
    route = "timeouts: { upgraded_idle: 300ms }"
    with endpoint(_SWITCH) as upstream, small(upstream, route=route) as running, _upgraded(running) as wire:
        wire.send(b"frame")
        assert upstream.wait(lambda one: bytes(one.connections[0].upgraded) == b"frame")
        assert wire.wait_closed()


@shows("RouteTimeouts.upgraded_life")
def test_an_upgraded_connection_ends_after_its_life_however_busy() -> None:
    route = "timeouts: { upgraded_life: 300ms }"
    with endpoint(_SWITCH) as upstream, small(upstream, route=route) as running, _upgraded(running) as wire:
        while not wire.wait_closed(0.02):
            wire.send(b"frame")
        assert wire.closed is not None


def _flaky() -> FakeEndpoint:
    return endpoint(reset=True, cut_at=0)


@shows("Route.retries", "Retries.attempts", "Retries.methods")
@pytest.mark.parametrize(
    ("retries", "method", "expected"),
    [
        ("attempts: 1", "GET", {200}),
        ("attempts: 0", "GET", {200, 502}),
        ("attempts: 1", "POST", {200, 502}),
        ("attempts: 1, methods: [POST]", "POST", {200}),
    ],
)
def test_a_request_is_tried_again_where_that_is_safe(retries: str, method: str, expected: set[int]) -> None:
    backend = "balancing: round_robin, passive_health: { enabled: false }"
    with (
        endpoint() as well,
        _flaky() as flaky,
        small(well, flaky, backend=backend, route=f"retries: {{ {retries} }}") as running,
    ):
        statuses = [
            ask(running, method=method, body=b"x" if method == "POST" else b"").status for _ in range(6)
        ]
        assert set(statuses) == expected
        answered = [message.get("x-request-id") for message in well.messages]
        failed = [message.get("x-request-id") for message in flaky.messages]
        assert len(set(answered)) == len(answered) and len(set(failed)) == len(failed) > 0
        assert set(failed) <= set(answered) if expected == {200} else not set(failed) & set(answered)


@shows("Retries.statuses")
def test_a_status_may_be_a_reason_to_try_again() -> None:
    backend = "balancing: round_robin, passive_health: { enabled: false }"
    with endpoint() as well, endpoint(503) as busy:
        with small(well, busy, backend=backend, route="retries: { statuses: [503] }") as running:
            assert {ask(running).status for _ in range(4)} == {200}
        with small(well, busy, backend=backend) as running:
            assert {ask(running).status for _ in range(4)} == {200, 503}


@shows("Route.body_size")
def test_a_route_may_take_more_or_less_than_its_listener() -> None:
    limit = "limits: { body_size: 5B }"
    with endpoint() as upstream, small(upstream, listener=limit, route="body_size: 10B") as running:
        assert ask(running, method="POST", body=b"x" * 10).status == 200
        assert ask(running, method="POST", body=b"x" * 11).status == 413


def test_a_held_response_does_not_hold_its_neighbours() -> None:
    held = threading.Event()
    with (
        endpoint(delay=held) as slow,
        small(slow, more=_OTHER) as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        slow.wait_for(1)
        assert ask(running, "/other").status == 204
        held.set()
        assert wire.wait_final(1)
