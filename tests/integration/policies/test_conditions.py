# SPDX-License-Identifier: Apache-2.0
"""`when`: under which condition a policy takes part."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.settings.kit import ask
from tidegate import ConfigError
from tidegate._engine import condition_problem
from tidegate.testing import Reply, RunningGateway, Wire, decide, endpoint, gateway

TRUE = [
    'request.method == "PUT"',
    'request.path.startsWith("/orders/")',
    'request.host == "shop.test"',
    'request.scheme == "http"',
    'request.query["a"] == "b c" && request.query["none"] == ""',
    'request.query["twice"] == "1"',
    'request.headers["x-tier"] == "gold, silver"',
    'request.headers["X-Tier"].contains("silver")',
    '"x-tier" in request.headers && !("x-none" in request.headers)',
    'request.headers.exists(name, name == "x-tier")',
    'request.cookies["seen"] == "yes" && !("other" in request.cookies)',
    "size(request.id) == 26",
    'cidr("127.0.0.0/8").containsIP(client.address) && client.address == ip("127.0.0.1")',
    "connection.peer.isLoopback() && !client.is_trusted_proxy",
    'connection.listener == "web" && connection.tls_version == ""',
    'route.name == "orders" && route.parameters["id"] == "7"',
    'now > timestamp("2025-01-01T00:00:00Z") && now.getFullYear() < 2200',
    '["PUT", "POST"].exists(each, each == request.method)',
    'request.path.matches("^/orders/[0-9]+$")',
    "int(route.parameters.id) % 2 == 1",
]


ORDER = {"method": "GET", "url": "http://a.test/orders/1", "listener": "web"}


def shop(port: str, *policies: dict[str, Any]) -> str:
    """A gateway with one route, and these policies on it."""
    route = {"name": "orders", "path": "/orders/{id}", "to": "b", "policies": list(policies)}
    text = {
        "gateway": {"admin": {"address": "127.0.0.1", "port": 0}},
        "listeners": {"web": {"port": 0, "proxy_status": True}},
        "backends": {"b": {"endpoints": [port]}},
        "routes": [route],
    }
    return json.dumps(text)


def sets(when: str, name: str = "x-took-part") -> dict[str, Any]:
    return {"type": "request_headers", "set": {name: "1"}, "when": when}


def put(running: RunningGateway) -> int:
    headers = [
        "Host: shop.test:80",
        "X-Tier: gold",
        "X-Other: 1",
        "x-tier: silver",
        "Cookie: a=b; seen=yes; seen=no",
    ]
    return ask(
        running, "/orders/7?a=b+c&twice=1&twice=2", method="PUT", headers=headers, body=b"content"
    ).status


def test_each_name_tells_what_the_request_is() -> None:
    policies = [sets(f"{condition}", f"x-{number}") for number, condition in enumerate(TRUE)]
    policies += [sets(f"!({condition})", f"x-not-{number}") for number, condition in enumerate(TRUE)]
    with endpoint() as upstream, gateway(shop(upstream.address, *policies)) as running:
        assert put(running) == 200
        message = upstream.messages[0]
        assert [TRUE[number] for number in range(len(TRUE)) if message.get(f"x-{number}") != "1"] == []
        assert [TRUE[number] for number in range(len(TRUE)) if message.get(f"x-not-{number}")] == []


def test_a_condition_sees_the_request_as_the_policies_before_it_left_it() -> None:
    removed = {"type": "request_headers", "remove": ["x-tier"]}
    policies = [sets('"x-tier" in request.headers', "x-before"), removed]
    policies.append(sets('"x-tier" in request.headers', "x-after"))
    with endpoint() as upstream, gateway(shop(upstream.address, *policies)) as running:
        assert put(running) == 200
        message = upstream.messages[0]
        assert (message.get("x-before"), message.get("x-after")) == ("1", None)


def test_a_condition_may_ask_about_the_response() -> None:
    def told(name: str, when: str) -> dict[str, Any]:
        return {"type": "response_headers", "set": {name: "1"}, "when": when}

    policies = [
        told("x-missing", "response.status == 404"),
        told("x-fine", "response.status < 400"),
        told("x-json", 'response.headers["content-type"] == "application/json"'),
        told("x-put", 'request.method == "PUT"'),
        told("x-get", 'request.method == "GET"'),
        # It sees the request as it came, whatever was changed since.
        {"type": "request_headers", "remove": ["x-tier"]},
    ]
    policies.insert(0, told("x-tier-came", '"x-tier" in request.headers'))
    reply = Reply(status=404, headers=[("Content-Type", "application/json")], body=b"{}")
    with endpoint(reply) as upstream, gateway(shop(upstream.address, *policies)) as running:
        answer = ask(running, "/orders/7", headers=["X-Tier: gold"])
        names = ("missing", "fine", "json", "put", "get", "tier-came")
        found = {name for name in names if answer.get(f"x-{name}")}
        assert (answer.status, found) == (404, {"missing", "json", "get", "tier-came"})


def test_a_condition_that_can_not_be_told_refuses() -> None:
    policy = sets('int(request.headers["x-age"]) >= 18')
    with endpoint() as upstream, gateway(shop(upstream.address, policy)) as running:
        assert ask(running, "/orders/7", headers=["X-Age: 18"]).status == 200
        for headers in ([], ["X-Age: old"], ["X-Age: 99999999999999999999"]):
            answer = ask(running, "/orders/7", headers=headers)
            assert answer.status == 500
            assert "error=proxy_internal_error" in (answer.get("proxy-status") or "")
        assert upstream.messages[0].get("x-took-part") == "1"
        assert len(upstream.messages) == 1
        details = [entry.get("detail") for entry in running.log(4)]
        assert details.count("the condition of a policy can not be told") == 3
        metrics = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
        assert 'tidegate_policy_failures_total{policy="request_headers",shadow="false"} 3' in metrics


def ages(name: str, **more: Any) -> dict[str, Any]:
    """A policy whose condition can be told of responses alone whose `X-Age` is a number."""
    when = 'int(response.headers["x-age"]) >= 18'
    return {"type": "response_headers", "name": name, "set": {f"x-{name}": "1"}, "when": when, **more}


def of_age(age: str | None) -> Reply:
    return Reply(headers=[("X-Age", age)] if age else [], body=b"inner")


def of_policies(running: RunningGateway) -> set[str]:
    text = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    lines = [line for line in text.splitlines() if line.startswith("tidegate_policy_")]
    return {line for line in lines if not line.endswith(" 0")}


UNTOLD = [None, "old", "99999999999999999999"]


def test_a_condition_on_the_response_that_can_not_be_told_refuses_it() -> None:
    outer = {"type": "response_headers", "name": "outer", "set": {"x-outer": "1"}}
    replies = [of_age(age) for age in (*UNTOLD, "17", "18")]
    with endpoint(replies) as upstream, gateway(shop(upstream.address, outer, ages("grown"))) as running:
        # All on one connection: what is refused leaves nothing behind on it.
        with Wire(("127.0.0.1", running.port)) as wire:
            for number in range(1, len(replies) + 1):
                wire.send(b"GET /orders/7 HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET")
                assert wire.wait_final(number), (wire.closed, bytes(wire.received))
            answers = wire.final_responses
        assert [answer.status for answer in answers] == [500, 500, 500, 200, 200]
        for answer in answers[:3]:
            assert "error=proxy_internal_error" in (answer.get("proxy-status") or "")
            assert b"inner" not in answer.body and answer.get("x-age") is None
        assert [answer.get("x-grown") for answer in answers[3:]] == [None, "1"]
        # Those around it go on with what was answered instead.
        assert {answer.get("x-outer") for answer in answers} == {"1"}
        entries = running.log(5)
        assert [entry["status"] for entry in entries] == [500, 500, 500, 200, 200]
        assert {entry["detail"] for entry in entries[:3]} == {"the condition of a policy can not be told"}
        assert {entry["error"] for entry in entries[:3]} == {"proxy_internal_error"}
        assert of_policies(running) == {'tidegate_policy_failures_total{policy="grown",shadow="false"} 3'}


def test_a_condition_on_the_response_that_can_not_be_told_may_be_gone_on_without() -> None:
    policies = [ages("tried", shadow=True), ages("lenient", on_error="continue")]
    replies = [of_age(age) for age in (*UNTOLD, "18")]
    with endpoint(replies) as upstream, gateway(shop(upstream.address, *policies)) as running:
        for age in (*UNTOLD, "18"):
            answer = ask(running, "/orders/7")
            assert (answer.status, answer.body, answer.get("x-age")) == (200, b"inner", age)
            assert answer.get("x-tried") is None, "what is only tried changes nothing"
            assert answer.get("x-lenient") == ("1" if age == "18" else None)
        entries = running.log(4)
        told = [entry["would_answer"] for entry in entries if "would_answer" in entry]
        assert told == [{"tried": "500"}] * 3
        assert not any("error" in entry for entry in entries)
        assert of_policies(running) == {
            'tidegate_policy_failures_total{policy="tried",shadow="true"} 3',
            'tidegate_policy_failures_total{policy="lenient",shadow="false"} 3',
        }


def test_what_is_answered_here_is_refused_the_same() -> None:
    text = json.loads(shop("127.0.0.1:1", ages("grown")))
    text["routes"][0]["to"] = {"respond": {"status": 200, "body": "inner"}}
    with gateway(json.dumps(text)) as running:
        answer = ask(running, "/orders/7")
        assert (answer.status, b"inner" in answer.body) == (500, False)
        assert "error=proxy_internal_error" in (answer.get("proxy-status") or "")


def test_a_condition_ends_in_time_whatever_it_is_given() -> None:
    long = "each, request.headers.all(other, request.headers.all(third, third != each + other)))"
    policy = sets(f"request.headers.all({long}")
    with endpoint() as upstream, gateway(shop(upstream.address, policy)) as running:
        headers = [f"X-{number}: {number}" for number in range(80)]
        assert ask(running, "/orders/7", headers=headers).status == 500
        assert ask(running, "/orders/7").status == 200
        assert len(upstream.messages) == 1


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("", "is empty; write a condition such as"),
        ('reqest.path == "/"', "at character 1: there is no `reqest.path`; did you mean `request.path`?"),
        ('request.method = "GET"', "at character 16: `=` is no operator; write `==` to compare"),
        ("request.method == GET", "at character 19: there is no `GET`; text is written in quotes"),
        ("request.method", "gives string; a condition is true or false"),
        ('request.host == "a" and true', "at character 21: `and` is no operator; write `&&`"),
        ("response.status == '404'", "`==` does not take int and string; put both in quotes, or neither"),
        ("request", "`request` is no value; write one of request.method"),
        ('request.path.beginsWith("/a")', "there is no function `beginsWith`"),
        ("request.path.startsWith(1)", "does not take string, int; there is string.startsWith(string)"),
        ('request.path.matches("(")', "is no regular expression"),
        ('request.headers["a"].matches(request.path)', "the pattern of `matches` is written out"),
        ('cidr("10.0.0/8").containsIP(client.address)', "at character 1: a text is no network"),
        ("true &", "`&` is no operator; write `&&`"),
        ('"a', "this text has no end"),
    ],
)
def test_mistakes_are_told_with_their_place(when: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decide(shop("127.0.0.1:1", sets(when)), ORDER)
    (problem,) = caught.value.problems
    assert says in problem.message
    assert problem.path.endswith("policies[0].when") or problem.path.endswith("when"), problem.path


def test_a_policy_that_sees_the_request_can_not_wait_for_the_response() -> None:
    with pytest.raises(Exception, match="`when` asks about the response, which is not there yet"):
        decide(shop("127.0.0.1:1", sets("response.status == 200")), ORDER)


def test_explain_tells_what_a_condition_leaves_out() -> None:
    policies = [
        {**sets('request.method == "PUT"'), "name": "only-put"},
        {**sets('request.method == "GET"'), "name": "only-get"},
        {"type": "response_headers", "set": {"x": "1"}, "when": "response.status == 404"},
        sets('int(request.headers["x-age"]) >= 18'),
    ]
    told = decide(shop("127.0.0.1:1", *policies), ORDER)
    assert [each.pop("place") for each in told["policies"]] == [
        f"route orders {number}" for number in range(4)
    ]
    assert told["policies"] == [
        {"kind": "request_headers", "name": "only-put", "effect": "left out by its condition"},
        {"kind": "request_headers", "name": "only-get", "effect": "applied"},
        {"kind": "response_headers", "name": "response_headers", "effect": "depends on the response"},
        {"kind": "request_headers", "name": "request_headers", "effect": "its condition can not be told"},
    ]
    assert (told["outcome"], told["status"]) == ("respond", 500)


def test_the_page_names_all_that_there_is() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guides" / "policies.md").read_text(encoding="utf-8")
    named = re.findall(
        r"^\| `((?:request|client|connection|route|response)\.[a-z_]+|now)` \|", page, re.MULTILINE
    )
    assert all(condition_problem(f"type({name}) == type({name})") is None for name in named)
    known = {"now"}
    for prefix in ("request", "client", "connection", "route", "response"):
        problem = condition_problem(prefix) or ""
        known |= set(problem.rpartition("write one of ")[2].split(", "))
    assert set(named) == known
    text, *_ = page.partition("| types |")
    functions = set(re.findall(r"`([a-z]+[A-Z]\w+|ip\.isCanonical)", text.partition("Functions:")[2]))
    unknown = [
        name for name in functions if "there is no function" in (condition_problem(f'"".{name}()') or "")
    ]
    assert unknown in ([], ["ip.isCanonical"])


def test_conditions_stand_wherever_policies_do() -> None:
    def of(place: str) -> dict[str, Any]:
        return {**sets(f'request.query["at"] == "{place}"', f"x-{place}"), "name": place}

    places = ["gateway", "listener", "set", "route", "backend"]
    with endpoint() as upstream:
        text = json.loads(shop(upstream.address, of("route")))
        text["gateway"]["policies"] = [of("gateway")]
        text["listeners"]["web"]["policies"] = [of("listener")]
        text["policies"] = {"around": [of("set")]}
        text["routes"][0]["policies"].insert(0, "around")
        text["backends"]["b"] = {"endpoints": [upstream.address], "policies": [of("backend")]}
        with gateway(json.dumps(text)) as running:
            for place in places:
                assert ask(running, f"/orders/1?at={place}").status == 200
        for message in upstream.messages:
            found = [each for each in places if message.get(f"x-{each}")]
            assert message.target.endswith(f"?at={','.join(found)}")
        told = decide(json.dumps(text), ORDER)
        assert [each["name"] for each in told["policies"]] == places
