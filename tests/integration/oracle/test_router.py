# SPDX-License-Identifier: Apache-2.0
"""The engine's router against the model, over configurations in which routes compete."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate import Gateway, _engine
from tidegate.config.compile import compile_gateway

from .router import Asked, find
from .strategies import LISTENERS, requests, rich_requests, rich_routes, routes


def configured(*given: dict[str, Any]) -> Gateway:
    """A gateway of these routes, each answering by itself; `//` stays as it is sent."""
    listeners = {name: {"port": 80 + n, "merge_slashes": False} for n, name in enumerate(LISTENERS)}
    named = [{"name": f"r{n}", "to": {"respond": 204}, **route} for n, route in enumerate(given)]
    return Gateway.model_validate({"listeners": listeners, "routes": named})


def ask(gateway: Gateway, asked: list[Asked]) -> list[dict[str, Any]]:
    questions = [
        {
            "method": one.method,
            "url": one.path + ("?" + one.query if one.query else ""),
            "headers": [("Host", one.host), *one.headers],
            "client": one.client,
            "listener": one.listener,
        }
        for one in asked
    ]
    delta = compile_gateway(gateway, threads=1).delta_json(None)
    told: list[dict[str, Any]] = json.loads(_engine.decide(delta, json.dumps(questions)))
    return told


def compare(gateway: Gateway, asked: list[Asked]) -> None:
    for one, told in zip(asked, ask(gateway, asked), strict=True):
        assert told["outcome"] != "reject", (one, told)
        assert told["path"] == one.path
        wanted = find(gateway.http_routes, one)
        found = told.get("route")
        assert (found, told.get("parameters")) == (
            (None, None) if wanted is None else (f"r{wanted[0]}", wanted[1])
        ), (one, told["considered"])


@given(st.lists(routes, min_size=6, max_size=12), st.lists(requests, min_size=10, max_size=20))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_the_engine_takes_the_route_that_the_model_takes(
    given_routes: list[dict[str, Any]], asked: list[Asked]
) -> None:
    compare(configured(*given_routes), asked)


@given(st.lists(rich_routes, min_size=6, max_size=12), st.lists(rich_requests, min_size=8, max_size=20))
@settings(max_examples=150, deadline=None, print_blob=True)
def test_of_routes_that_all_fit_the_engine_takes_the_one_that_the_model_takes(
    given_routes: list[dict[str, Any]], asked: list[Asked]
) -> None:
    compare(configured(*given_routes), asked)


def one(path: str, **more: Any) -> Asked:
    return Asked(**{"listener": "web", "method": "GET", "host": "h.test", "path": path, "query": "",
                    "headers": (), "client": "127.0.0.1", **more})  # fmt: skip


def taken(gateway: Gateway, asked: Asked) -> str | None:
    compare(gateway, [asked])
    found: str | None = ask(gateway, [asked])[0].get("route")
    return found


def test_a_rest_takes_nothing_but_wants_its_slash() -> None:
    gateway = configured({"path": "/files/{rest*}"})
    assert taken(gateway, one("/files/")) == "r0"
    assert taken(gateway, one("/files")) is None


def test_a_template_outranks_any_prefix_and_a_prefix_may_end_in_a_slash() -> None:
    gateway = configured({"path": "/users/a/long/prefix/"}, {"path": "/users/{rest*}"})
    assert taken(gateway, one("/users/a/long/prefix")) == "r1"
    assert taken(configured({"path": "/x/"}), one("/x")) == "r0"


def test_templates_with_as_many_literals_are_told_apart_by_what_follows() -> None:
    gateway = configured(
        {"path": "/{x}/b"}, {"path": "/a/{x}"}, {"match": {"path": "/{y}/b", "methods": ["GET"]}}
    )
    assert taken(gateway, one("/a/b")) == "r2"
    assert taken(gateway, one("/a/b", method="POST")) == "r0"


def test_a_query_is_compared_decoded() -> None:
    gateway = configured({"match": {"path": "/", "query": {"a b": "c d"}}})
    assert taken(gateway, one("/", query="a+b=c%20d")) == "r0"
    assert taken(gateway, one("/", query="a%2Bb=c%20d")) is None
    assert taken(configured({"match": {"path": "/", "query": {"q": "%zz"}}}), one("/", query="q=%zz")) == "r0"


def test_the_more_specific_wildcard_counts_and_a_mapped_client_is_ipv4() -> None:
    gateway = configured(
        {"path": "/", "hosts": ["*.test", "*.b.test"]},
        {"path": "/x", "hosts": ["*.b.test"]},
        {"match": {"path": "/y", "clients": ["10.0.0.0/8"]}},
    )
    assert taken(gateway, one("/x", host="a.b.test")) == "r1"
    assert taken(gateway, one("/y", host="other", client="::ffff:10.1.2.3")) == "r2"
    cookies = {"a": {"present": True}, "b": {"present": True}}
    gateway = configured(
        {"match": {"path": "/", "cookies": {"a": "1"}}}, {"match": {"path": "/", "cookies": cookies}}
    )
    assert taken(gateway, one("/", headers=(("Cookie", "a=1; b=2"),))) == "r1"


def test_the_best_host_of_a_route_counts_and_a_client_address_breaks_a_tie() -> None:
    gateway = configured(
        {"path": "/", "hosts": ["*.b.test"]},
        {"path": "/", "hosts": ["*.test", "a.b.test"]},
        {"match": {"path": "/x", "clients": ["127.0.0.0/8"]}},
        {"path": "/x"},
        {"match": {"path": "/y"}},
        {"match": {"path": "/y", "clients": ["127.0.0.0/8"]}},
    )
    assert taken(gateway, one("/", host="a.b.test")) == "r1"
    assert taken(gateway, one("/x", host="other")) == "r2"
    assert taken(gateway, one("/y", host="other")) == "r5"


def test_a_value_that_is_there_twice_is_compared_with_nothing() -> None:
    gateway = configured(
        {"match": {"path": "/", "query": {"q": "1"}}},
        {"match": {"path": "/", "query": {"q": {"present": True}}}},
    )
    assert taken(gateway, one("/", query="q=1")) == "r0"
    assert taken(gateway, one("/", query="q=1&q=1")) == "r1"
    assert taken(gateway, one("/", query="%71=%31")) == "r0"
