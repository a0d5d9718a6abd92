# SPDX-License-Identifier: Apache-2.0
"""Copies of requests for another backend, which the real ones must never feel."""

import math
import re
import time

import pytest

from tidegate import ConfigError
from tidegate.cli.chain import Chain
from tidegate.testing import FakeEndpoint, RunningGateway, Wire, endpoint, gateway

from .kit import ask, shows, small

_ADMIN = "admin: { port: 0 }"


def _mirrored(
    real: FakeEndpoint, other: FakeEndpoint, settings: str = "", backend: str = "", route: str = ""
) -> RunningGateway:
    text = f"""
gateway: {{ {_ADMIN} }}
listeners: {{ web: {{ port: 0 }} }}
backends:
  b: ["{real.address}"]
  m: {{ endpoints: ["{other.address}"], {backend} }}
routes: [{{ name: r, path: /, to: b, mirror: {{ to: m, {settings} }}, {route} }}]
"""
    return gateway(text, threads=1)


def _count(running: RunningGateway, outcome: str) -> int:
    metrics = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    found = re.search(rf'tidegate_mirrored_total{{route="r",outcome="{outcome}"}} (\d+)', metrics)
    return int(found[1]) if found else 0


def _wait_for(running: RunningGateway, outcome: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while _count(running, outcome) < count:
        assert time.monotonic() < deadline, (outcome, count)
        time.sleep(0.05)
    assert _count(running, outcome) == count


@shows("Route.mirror", "Mirror.to")
def test_a_copy_says_what_the_request_says_and_that_it_is_one() -> None:
    route = "rewrite: { prefix: /in }"
    with endpoint() as real, endpoint(500) as other, _mirrored(real, other, route=route) as running:
        assert ask(running, "/a?q=1", headers=["X-A: 1"]).status == 200
        [first], [copy] = real.wait_for(1), other.wait_for(1)
        assert copy.target == first.target == "/in/a?q=1"
        for name in ("host", "x-a", "x-request-id", "x-forwarded-for", "x-forwarded-host"):
            assert copy.get(name) == first.get(name) is not None
        assert (first.get("x-mirrored-by"), copy.get("x-mirrored-by")) == (None, "tidegate")
        _wait_for(running, "sent", 1)


def test_a_mirror_may_be_a_url_and_sees_its_own_host_if_it_wants_to() -> None:
    with endpoint() as real, endpoint() as other:
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes: [{{ path: /, to: "{real.url}", mirror: {{ to: "{other.url}" }} }}]
"""
        with gateway(text, threads=1) as running:
            ask(running)
            assert other.wait_for(1)[0].get("host") == "a.test"
        with _mirrored(real, other, backend="host: endpoint") as running:
            ask(running)
            assert other.wait_for(2)[1].get("host") == other.address
            assert real.messages[1].get("host") == "a.test"


@shows("Mirror.body_size")
def test_bodies_up_to_the_size_are_copied_however_they_come() -> None:
    settings = "body_size: 1000B"
    with endpoint() as real, endpoint() as other, _mirrored(real, other, settings) as running:
        for size in (1, 999, 1000):
            assert ask(running, method="POST", body=b"x" * size).status == 200
        chunked = ["Transfer-Encoding: chunked"]
        assert ask(running, method="POST", headers=chunked, body=b"3\r\nabc\r\n0\r\n\r\n").status == 200
        for cut in (0, 1, 499):
            with Wire(("127.0.0.1", running.port)) as wire:
                wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + b"y" * cut, "POST")
                wire.send(b"y" * (500 - cut))
                assert wire.wait_final(1)
        copies = [copy.body for copy in other.wait_for(7)]
        assert sorted(copies) == sorted(message.body for message in real.messages)
        assert _count(running, "too_large") == 0
        assert ask(running, method="POST", body=b"x" * 1001).status == 200
        long = b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
        assert ask(running, method="POST", headers=chunked, body=long).status == 200
        _wait_for(running, "too_large", 2)
        assert len(other.messages) == 7 and len(real.messages) == 9


def test_a_body_that_a_policy_or_buffering_holds_is_copied() -> None:
    with (
        endpoint() as real,
        endpoint() as other,
        _mirrored(real, other, route="buffer_request: 1KiB") as running,
    ):
        chunked = ["Transfer-Encoding: chunked"]
        ask(running, method="POST", headers=chunked, body=b"3\r\nabc\r\n0\r\n\r\n")
        assert other.wait_for(1)[0].body == b"abc"


@shows("Mirror.timeout")
def test_a_dead_or_silent_mirror_is_counted_and_never_felt() -> None:
    with endpoint() as real, endpoint(fail="silent") as other:
        with _mirrored(real, other, "timeout: 200ms") as running:
            for _ in range(5):
                assert ask(running, method="POST", body=b"x").status == 200
            _wait_for(running, "failed", 5)
        other.close()
        with _mirrored(real, other) as running:
            for _ in range(5):
                assert ask(running, method="POST", body=b"x").status == 200
            _wait_for(running, "failed", 5)
    assert len(real.messages) == 10


@shows("Mirror.concurrency")
def test_copies_beyond_the_limit_are_not_made() -> None:
    with (
        endpoint() as real,
        endpoint(fail="silent") as other,
        _mirrored(real, other, "concurrency: 2, timeout: 60s") as running,
    ):
        for _ in range(6):
            assert ask(running).status == 200
        _wait_for(running, "limit", 4)
        assert len(other.wait_for(2)) == 2


@shows("Mirror.percent")
def test_the_share_is_within_four_standard_errors() -> None:
    number, share = 600, 0.3
    spread = 4 * math.sqrt(number * share * (1 - share))
    with endpoint() as real, endpoint() as other, _mirrored(real, other, "percent: 30") as running:
        with Wire(("127.0.0.1", running.port)) as wire:
            for _ in range(number):
                wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            assert wire.wait_final(number)
        other.wait_for(int(number * share - spread))
        drawn = sum(_count(running, outcome) for outcome in ("sent", "failed", "limit"))
        assert drawn <= number * share + spread and len(real.messages) == number


def test_explain_says_what_is_copied_where_and_copies_go_there() -> None:
    with (
        endpoint() as real,
        endpoint() as other,
        _mirrored(real, other, "percent: 30, body_size: 7B") as running,
    ):
        told = running.explain({"method": "GET", "url": "http://a.test/", "listener": "web"})
        assert told["mirror"] == {"backend": "m", "percent": 30, "body_size": 7}
        assert "mirror     m  30 % of requests, bodies up to 7 bytes" in "\n".join(
            Chain(told, _nowhere).lines()
        )
        fields = [("Upgrade", "websocket"), ("Connection", "upgrade")]
        upgrade = {"method": "GET", "url": "http://a.test/", "headers": fields, "listener": "web"}
        assert running.explain(upgrade)["mirror"] is None
    with endpoint() as real, endpoint() as other, _mirrored(real, other) as running:
        told = running.explain({"method": "GET", "url": "http://a.test/1", "listener": "web"})
        assert (told["mirror"]["backend"], told["mirror"]["percent"]) == ("m", 100)
        ask(running, "/1")
        assert [copy.target for copy in other.wait_for(1)] == ["/1"]


def _nowhere(_kind: str, _name: str) -> str:
    return ""


def test_upgrades_are_not_copied() -> None:
    with endpoint() as real, endpoint() as other, _mirrored(real, other) as running:
        ask(running, headers=["Upgrade: websocket", "Connection: upgrade"])
        ask(running, "/after")
        assert [copy.target for copy in other.wait_for(1)] == ["/after"]


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("mirror: { to: nowhere }", "nowhere"),
        ("mirror: { to: b, percent: 0 }", "percent"),
        ("mirror: { to: b, percent: 101 }", "percent"),
        ("mirror: { percent: 10 }", "to"),
        ("mirror: { to: 'function:f' }", "not to a function"),
    ],
)
def test_a_mirror_that_makes_no_sense_is_refused(route: str, says: str) -> None:
    with endpoint() as upstream, pytest.raises(ConfigError) as refused:
        small(upstream, route=route)
    assert says in str(refused.value)


def test_only_what_a_backend_gets_can_be_copied() -> None:
    text = "routes: [{ path: /, to: { respond: 200 }, mirror: { to: 'http://a:80' } }]"
    with pytest.raises(ConfigError, match="this route is a `respond`"):
        gateway(text)
