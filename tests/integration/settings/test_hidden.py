# SPDX-License-Identifier: Apache-2.0
"""Where endpoints are, and what they run on, is nobody's business outside."""

from collections.abc import Callable
from typing import Literal

import pytest

from tidegate.testing import FakeEndpoint, Message, Reply, endpoint, gateway

from .kit import ask, shows, small


def _answer(field: Callable[[str], tuple[str, str]], route: str = "path: /", to: str = "") -> Message:
    """The gateway's answer where the endpoint answers with what `field` makes of its own address."""
    with endpoint() as upstream:
        name, value = field(upstream.address)
        with endpoint(Reply(302, headers=[(name, value)], body=b"")) as real:
            text = f"""
listeners: {{ web: {{ port: 0 }} }}
backends:
  b: {{ endpoints: ["{upstream.address}", "{real.address}"], balancing: round_robin }}
routes: [{{ {route}, to: b }}]
"""
            with gateway(text, threads=1) as running:
                answers = [ask(running, "/app/x", headers=["Host: shop.test:81"]) for _ in range(2)]
    [found] = [answer for answer in answers if answer.status == 302]
    return found


@pytest.mark.parametrize(
    ("name", "value", "outside"),
    [
        ("Location", "http://{}/login?next=/a", "http://shop.test:81/login?next=/a"),
        ("Location", "http://{}", "http://shop.test:81/"),
        ("Location", "HTTP://{}/x", "http://shop.test:81/x"),
        ("Location", "//{}/x", "//shop.test:81/x"),
        ("Location", "http://user@{}/x", "http://shop.test:81/x"),
        ("Location", "http://elsewhere.test/x", "http://elsewhere.test/x"),
        ("Content-Location", "http://{}/x", "http://shop.test:81/x"),
        ("Refresh", "5; url=http://{}/x", "5; url=http://shop.test:81/x"),
        ("Refresh", "0;URL='http://{}/x'", "0;URL=http://shop.test:81/x"),
        (
            "Link",
            "<http://{}/a>; rel=next, </b>; rel=prev",
            "<http://shop.test:81/a>; rel=next, </b>; rel=prev",
        ),
        ("Via", "1.0 {} (inner/1), 1.1 cache", "1.0 hidden, 1.1 cache"),
        ("Set-Cookie", "a=b; Domain={host}; Path=/", "a=b; Domain=shop.test; Path=/"),
    ],
)
def test_no_field_names_an_endpoint_even_without_a_rewrite(name: str, value: str, outside: str) -> None:
    answer = _answer(lambda address: (name, value.format(address, host=address.split(":")[0])))
    found = [told for key, told in answer.fields if key.lower() == name.lower().encode()]
    assert found[0].decode() == outside
    assert b"127.0.0.1" not in answer.raw


@pytest.mark.parametrize(
    ("name", "value", "outside"),
    [
        ("Location", "/login", "/app/login"),
        ("Location", "/app/login", "/app/login"),
        ("Location", "/application", "/app/application"),
        ("Location", "/", "/app/"),
        ("Location", "login", "login"),
        ("Location", "http://{}/login", "http://shop.test:81/app/login"),
        ("Refresh", "0; url=/login", "0; url=/app/login"),
        ("Link", "</s.css>; rel=preload", "</app/s.css>; rel=preload"),
        ("Set-Cookie", "a=b; Path=/", "a=b; Path=/app"),
        ("Set-Cookie", "a=b; Path=/app", "a=b; Path=/app"),
        ("Set-Cookie", "__Host-a=b; Path=/", "__Host-a=b; Path=/"),
        ("Set-Cookie", "a=b", "a=b"),
    ],
)
def test_a_stripped_prefix_comes_back_once(name: str, value: str, outside: str) -> None:
    answer = _answer(lambda address: (name, value.format(address)), "path: /app, rewrite: { prefix: / }")
    assert answer.get(name) == outside


def _boasting() -> FakeEndpoint:
    return endpoint(Reply(200, headers=[("Server", "Boast/1.0"), ("X-Powered-By", "Pride/2")], body=b"x"))


@shows("Backend.pass_server")
def test_what_endpoints_run_on_is_told_only_if_asked_for() -> None:
    with _boasting() as upstream, small(upstream) as running:
        answer = ask(running)
        assert (answer.get("server"), answer.get("x-powered-by")) == (None, None)
    with _boasting() as upstream, small(upstream, backend="pass_server: true") as running:
        answer = ask(running)
        assert (answer.get("server"), answer.get("x-powered-by")) == ("Boast/1.0", "Pride/2")


@pytest.mark.parametrize("fail", ["refused", "silent", "garbage"])
def test_no_error_says_where_the_endpoint_is(fail: str) -> None:
    backend = "timeouts: { first_byte: 200ms }"
    raw = b"garbage\r\n\r\n" if fail == "garbage" else None
    silent: Literal["silent"] | None = "silent" if fail == "silent" else None
    with endpoint(raw=raw, fail=silent) as upstream, small(upstream, backend=backend) as running:
        if fail == "refused":
            upstream.close()
        answer = ask(running)
        assert answer.status >= 500
        host, _, port = upstream.address.rpartition(":")
        assert host.encode() not in answer.raw and port.encode() not in answer.raw
