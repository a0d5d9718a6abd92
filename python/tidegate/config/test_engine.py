# SPDX-License-Identifier: Apache-2.0
"""What the models accept, the engine accepts: both have rules for paths, hosts, fields and networks."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tidegate import _engine
from tidegate.config.compile import compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.route import Route


def refusals(**parts: Any) -> list[Any] | None:
    """What the engine refuses of a gateway; `None` if the models refuse it already."""
    try:
        gateway = Gateway.model_validate({"listeners": {"web": {"port": 80}}, **parts})
    except ValidationError:
        return None
    return list(_engine.check_snapshot(compile_gateway(gateway, threads=1).delta_json(None)))


def pieces(*parts: str, most: int = 6) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts), min_size=1, max_size=most).map("".join)


paths = pieces(*'/a.b~|"<>[]`^é ', "%2f", "%41", "..", ";", "%2e", "//").map("/".__add__)
templates = pieces("a", "/", "{x}", "{y}", "{z*}", "%41", ".", "..", ";", "%2f", "|").map("/".__add__)
hosts = pieces(*"ab.-*_1:[]", "::1", "10.0.0.1", "*.")
values: st.SearchStrategy[Any] = st.one_of(
    pieces(*"ab é\t;="),
    st.just({"present": True}),
    st.sampled_from(["a+", "[a-z]*", "(a|b)"]).map(lambda each: {"regex": each}),
)
fields = st.dictionaries(pieces(*"ab-_X=; é", "host", "Host", most=3), values, min_size=1, max_size=2)
routes = st.one_of(
    st.fixed_dictionaries({"path": st.one_of(paths, templates, paths.map(lambda each: {"exact": each}))}),
    st.fixed_dictionaries({"hosts": st.lists(hosts, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {"match": st.dictionaries(st.sampled_from(["headers", "query", "cookies"]), fields)}
    ),
    st.fixed_dictionaries(
        {"match": st.fixed_dictionaries({"methods": st.lists(pieces(*"ABgé !-", "GET"), max_size=2)})}
    ),
    st.fixed_dictionaries(
        {
            "match": st.fixed_dictionaries(
                {"clients": st.lists(pieces(*"01./:af", "10.0.0.0/8", "::/0"), max_size=2)}
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "match": st.fixed_dictionaries(
                {"local_addresses": st.lists(pieces(*"01./:af", "10.0.0.0/8", "::/0"), max_size=2)}
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "path": st.just("/a/{x}"),
            "rewrite": st.one_of(
                templates.map(lambda each: {"path": each}), hosts.map(lambda each: {"host": each})
            ),
        }
    ),
    st.fixed_dictionaries({"path": st.just("/a"), "rewrite": paths.map(lambda each: {"prefix": each})}),
    st.fixed_dictionaries(
        {
            "to": st.fixed_dictionaries(
                {
                    "redirect": st.one_of(
                        paths.map(lambda each: {"path": each}), hosts.map(lambda each: {"host": each}), paths
                    )
                }
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "to": st.fixed_dictionaries(
                {
                    "respond": st.fixed_dictionaries(
                        {
                            "headers": st.dictionaries(
                                pieces(*"ab-é", "Date", "Connection"), pieces(*"ab é\t\n"), max_size=2
                            )
                        }
                    )
                }
            )
        }
    ),
)


@given(routes)
@settings(max_examples=600, deadline=None)
def test_a_route_that_the_models_accept_is_accepted_by_the_engine(route: dict[str, Any]) -> None:
    assert not refusals(routes=[{"to": "http://h", **route}])


WELL_KNOWN = [
    "Host",
    "connection",
    "Content-Length",
    "content_length",
    "keep-alive",
    "TE",
    "trailer",
    "Transfer.Encoding",
    "upgrade",
    "via",
    "expect",
    "proxy",
    "proxy-authorization",
    "http2-settings",
    "forwarded",
    "x-forwarded-for",
    "X_Forwarded_For",
    "x-forwarded-prefix",
    "x-request-id",
    "max-forwards",
    "x-real-ip",
    "date",
    "server",
    "authorization",
    "cookie",
    "set-cookie",
    "content-type",
    "location",
    "traceparent",
]


@pytest.mark.parametrize("room", ["request_headers", "response_headers"])
@pytest.mark.parametrize("change", ["set", "add", "remove"])
@pytest.mark.parametrize("name", WELL_KNOWN)
def test_the_same_fields_are_off_limits_for_models_and_engine(room: str, change: str, name: str) -> None:
    def refused(settings: dict[str, Any]) -> bool:
        """Asks the engine alone."""
        value = json.dumps({"remove": [], "set": [], "add": [], **settings})
        snapshot = compile_gateway(Gateway(routes=[Route(to="http://h", path="/a")]), threads=1)
        route = snapshot.resources["route", "/a"]
        changed = route.value.replace('"policies":[]', f'"policies":[{{"kind":"{room}","settings":{value}}}]')
        snapshot.resources["route", "/a"] = replace(route, value=changed)
        return bool(_engine.check_snapshot(snapshot.delta_json(None)))

    written = {change: [name] if change == "remove" else {name: "a"}}
    by_models = refusals(policies={"p": [{"type": room, **written}]}) is None
    assert by_models is refused({change: [name] if change == "remove" else [[name, "a"]]})


@pytest.mark.parametrize("room", ["request_headers", "response_headers"])
@given(name=pieces(*"ab-_é="), value=pieces(*"ab é\t"))
@settings(max_examples=100, deadline=None)
def test_a_policy_that_the_models_accept_is_accepted_by_the_engine(room: str, name: str, value: str) -> None:
    policy = {"type": room, "set": {name: value}, "add": {name: value}, "remove": [name]}
    assert not refusals(policies={"p": [policy]}, routes=[{"to": "http://h", "policies": ["p"]}])


@given(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("http")}, optional={"path": paths, "host": hosts}),
        st.fixed_dictionaries(
            {"type": st.just("tcp")}, optional={"interval": st.sampled_from(["1ms", "366d"])}
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_a_health_check_that_the_models_accept_is_accepted_by_the_engine(check: dict[str, Any]) -> None:
    assert not refusals(backends={"b": {"endpoints": ["h:1"], "health_check": check}})


@pytest.mark.parametrize(
    "expression",
    [
        "/x[0-9]+",
        "/(a|b)/.*",
        r"/\d{3}\.html",
        "(?i)/x",
        "(?P<n>x)",
        "(?<n>x)",
        "/[[:alpha:]]+",
        r"/\x{41}",
        "/[^/]+",
        "/[]x]",
        "/a*?",
        "/a{2,3}",
        "(?s-i:a)",
    ],
)
def test_expressions_of_both_are_accepted_by_both(expression: str) -> None:
    assert refusals(routes=[{"to": "http://h", "path": {"regex": expression}}]) == []


@pytest.mark.parametrize("text", ["10.0.0.1:80", "[2001:db8::1]:80", "name.example:80", "unix:/run/a.sock"])
def test_endpoints_of_every_kind_are_accepted(text: str) -> None:
    assert (
        refusals(backends={"b": [text]}, functions={"f": "a:b", "g": {"handler": "a:b", "kind": "policy"}})
        == []
    )


def test_a_gateway_decides_without_sockets() -> None:
    gateway = Gateway.model_validate(
        {
            "listeners": {"web": {"port": 8080}},
            "routes": [
                {"name": "a", "path": "/a", "to": {"respond": 204}},
                {
                    "name": "b",
                    "match": {"path": "/b", "headers": {"x": "1"}, "clients": "10.0.0.0/8"},
                    "to": "http://h:1",
                },
            ],
        }
    )
    decision = gateway.decide("GET", "http://localhost:8080/a/b")
    assert (decision["outcome"], decision["route"], decision["status"]) == ("respond", "a", 204)
    decision = gateway.decide("GET", "http://localhost:8080/b", {"x": "1"}, client="10.0.0.1")
    assert (decision["outcome"], decision["route"], decision["backend"]) == ("forward", "b", "http://h:1")
    assert gateway.decide("GET", "http://localhost:8080/b")["outcome"] == "not_found"
