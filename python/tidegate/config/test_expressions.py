# SPDX-License-Identifier: Apache-2.0
"""Patterns of every field, random ones: what the models accept, the engine accepts."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tidegate import ConfigError, Gateway, Route, _engine
from tidegate.config.compile import compile_gateway
from tidegate.config.expressions import regex
from tidegate.config.load import loads


def refused_by_engine(**parts: Any) -> list[Any]:
    gateway = Gateway.model_validate({"listeners": {"web": {"port": 80}}, **parts})
    return list(_engine.check_snapshot(compile_gateway(gateway, threads=1).delta_json(None)))


def accepted(route: dict[str, Any]) -> bool:
    try:
        Route.model_validate({"to": "http://h", **route})
    except ValidationError:
        return False
    return True


def of(*parts: str, most: int = 12) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts), min_size=1, max_size=most).map("".join)


_ATOMS = r"""
a b / . ^ $ é \d \W \s \b \z \A \n \x41 \x{e9} \u00e9 \. \/ \- \_ \@ [a] [^a] [a-z] []x] [^]x]
[-a] [a-] [\d-] [[:alpha:]] [[:^digit:]_] [\x00-\xff] [a\]] [é] [\u00e9] [a&&b] [\b] [ ]
{a} \p{L} \1 \0 \e \é \<
"""
_REPEATS = "* + ? *? +? ?? {2} {2,} {0,3} {3,1} {1000} {70000} {,2} { ++ **"
_atoms = st.sampled_from(_ATOMS.split())
_expressions = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        st.tuples(
            st.sampled_from(["(", "(?:", "(?i)", "(?i:", "(?s-i:", "(?<n>", "(?P<m>", "(?=", "(?u)", "(?x)"]),
            inner,
        ).map(lambda pair: pair[0] + pair[1] + ("" if pair[0].endswith(")") else ")")),
        st.tuples(inner, st.sampled_from(_REPEATS.split())).map("".join),
    ),
    max_leaves=12,
)
_broken = of(*r"ab()[]{}*+?|\^$.-,:&é /123", "(?", "[:", ":]", "\\x", "\\u", "\\d", "{2}", "a-z")


@given(st.lists(st.one_of(_expressions, _broken), min_size=20, max_size=60))
@settings(max_examples=150, deadline=None, print_blob=True)
def test_an_expression_that_is_accepted_here_is_accepted_by_the_engine(texts: list[str]) -> None:
    routes = [
        {
            "name": f"r{number}",
            "to": "http://h",
            "match": {"path": {"regex": text}, "headers": {"x": {"regex": text}}},
        }
        for number, text in enumerate(texts)
        if accepted({"path": {"regex": text}})
    ]
    assert refused_by_engine(routes=routes) == []


@pytest.mark.parametrize(
    "atom", ["a", "é", ".", "[a-z]", "[acegikmoqsuwy]", r"\w", r"\W", "(a|b)", "(ab)*", "(?i:a)", "[^a]?"]
)
@pytest.mark.parametrize("form", ["{%d}", "{0,%d}", "{%d,}", "{2}){%d}"])
def test_the_largest_expression_that_is_accepted_here_fits_the_engine(atom: str, form: str) -> None:
    def text(count: int) -> str:
        return "(?:" * form.count(")") + f"(?:{atom})" + form % count

    def fits(count: int) -> bool:
        return accepted({"path": {"regex": text(count)}})

    least, most = 1, 1 << 20
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    assert least >= 50, "smaller than anybody would think"
    assert refused_by_engine(routes=[{"to": "http://h", "path": {"regex": text(least)}}]) == []


_paths = of(
    "/", "a", ".", "..", ";", "%3B", "%3b", "%2F", "%2e", "%C0%AE", "%e0%80%80", "%41", "%F0%8F", "//"
).map("/".__add__)
_hosts = of(
    "a", "1", ".", "-", "_", "*.", "0x1", "::ffff:", "::1", "[", "]", "10.0.0.1", ":80", "xn--a", most=5
)
_networks = of(
    "::ffff:",
    "1.2.3.4",
    "1.2.3.0",
    "::",
    "1",
    ":",
    ".",
    "/8",
    "/24",
    "/96",
    "/120",
    "/128",
    "%eth0",
    "0",
    most=5,
)
_names = of("a", "B", "-", "_", "é", " ", "=", "host", "x-a", "", most=4)
_values = of("a", " ", "é", "\t", "\x7f", "\n", ";", "=", "%", "", most=4)
_FIELDS: dict[str, tuple[st.SearchStrategy[str], Callable[[str], dict[str, Any]]]] = {
    "path": (_paths, lambda text: {"path": text}),
    "exact": (_paths, lambda text: {"path": {"exact": text}}),
    "template": (of("/a", "/{x}", "/{y*}", "/..", "/;b", "/%3B", "/", "{z}"), lambda text: {"path": text}),
    "host": (_hosts, lambda text: {"hosts": [text]}),
    "client": (_networks, lambda text: {"match": {"clients": [text]}}),
    "local_address": (_networks, lambda text: {"match": {"local_addresses": [text]}}),
    "method": (
        of("G", "ET", "-", "!", " ", "é", "TRACE", "connect"),
        lambda text: {"match": {"methods": [text]}},
    ),
    "header": (_names, lambda text: {"match": {"headers": {text: "a"}}}),
    "query": (_names, lambda text: {"match": {"query": {text: "a"}}}),
    "cookie": (_names, lambda text: {"match": {"cookies": {text: "a"}}}),
    "value": (
        _values,
        lambda text: {"match": {"headers": {"x": text}, "query": {"x": text}, "cookies": {"x": text}}},
    ),
    "rewrite prefix": (_paths, lambda text: {"path": "/a", "rewrite": {"prefix": text}}),
    "rewrite path": (_paths, lambda text: {"path": "/a", "rewrite": {"path": text}}),
    "rewrite host": (_hosts, lambda text: {"rewrite": {"host": text}}),
    "redirect path": (_paths, lambda text: {"to": {"redirect": {"path": text}}}),
    "redirect host": (_hosts, lambda text: {"to": {"redirect": {"host": text}}}),
    "redirect": (
        of("http://", "h", "/", "..", ":80", "?", "a b", "é"),
        lambda text: {"to": {"redirect": text}},
    ),
    "respond header": (
        st.tuples(_names, _values).map("\0".join),
        lambda text: {"to": {"respond": {"status": 200, "headers": dict([text.split("\0")])}}},
    ),
    "set request header": (
        st.tuples(_names, _values).map("\0".join),
        lambda text: {"policies": [{"type": "request_headers", "set": dict([text.split("\0")])}]},
    ),
    "set response header": (
        st.tuples(_names, _values).map("\0".join),
        lambda text: {"policies": [{"type": "response_headers", "set": dict([text.split("\0")])}]},
    ),
}


@pytest.mark.parametrize("field", _FIELDS)
@given(st.data())
@settings(max_examples=25, deadline=None, print_blob=True)
def test_a_text_that_is_accepted_here_is_accepted_by_the_engine(field: str, data: st.DataObject) -> None:
    strategy, make = _FIELDS[field]
    texts = data.draw(st.lists(strategy, min_size=10, max_size=40, unique=True))
    routes = [{"to": "http://h", **make(text)} for text in texts if accepted(make(text))]
    named = [{**route, "name": f"r{number}"} for number, route in enumerate(routes)]
    assert refused_by_engine(routes=named) == []


@given(
    st.lists(_networks, min_size=5, max_size=30),
    st.lists(_hosts, min_size=5, max_size=30),
    st.lists(_paths, max_size=20),
)
@settings(max_examples=40, deadline=None, print_blob=True)
def test_networks_of_proxies_and_health_checks_agree_as_well(
    networks: list[str], hosts: list[str], paths: list[str]
) -> None:
    def fits(**parts: Any) -> bool:
        try:
            Gateway.model_validate({"listeners": {"web": {"port": 80}}, **parts})
        except ValidationError:
            return False
        return True

    def backend(**check: str) -> dict[str, Any]:
        return {"endpoints": ["h:1"], "health_check": {"type": "http", **check}}

    proxies = [text for text in networks if fits(gateway={"trusted_proxies": [text]})]
    checks = [backend(host=text) for text in hosts] + [backend(path=text) for text in paths]
    backends = {f"b{n}": check for n, check in enumerate(checks) if fits(backends={"b": check})}
    assert refused_by_engine(gateway={"trusted_proxies": proxies}, backends=backends) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(?a)b", "the engine's are `i`, `m`, `s` and `U`"),
        ("(?x)a # b", "the engine's are"),
        ("(?ii)a", "each once"),
        (r"\p{L}", "write an ASCII class"),
        ("[é]", "needs Unicode"),
        (r"[\u00e9]", "needs Unicode"),
        ("a{", "write `\\{` for the character itself"),
        ("{2}", "counts nothing"),
        (r"\0", "back reference"),
        (r"\<", "does not know"),
        (r"[\b]", "inside `[...]`, which the engine does not know"),
        ("[a[b]", "write `\\[`"),
        ("[a&&b]", "write `\\&`"),
        ("[b-a]", "a range in `[...]` is none"),
        ("a**", "put a group"),
        ("(?<n>a)(?<n>b)", "is there twice"),
        ("a)", "closes nothing"),
        (r"\ud800", "is no character"),
        ("(a{1000}){1000}", "takes too much"),
        ("é" * 2049, "at most 4096 bytes"),
        ("(" * 51 + ")" * 51, "more than 50 deep"),
    ],
)
def test_what_the_engine_can_not_read_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        regex(text)
    assert message in str(caught.value)


def test_the_engine_refuses_a_route_on_a_listener_that_is_not_there() -> None:
    gateway = Gateway(
        listeners={"web": {"port": 80}}, routes=[Route(name="r", to="http://h", listeners=["web"])]
    )
    snapshot = compile_gateway(gateway, threads=1)
    assert _engine.check_snapshot(snapshot.delta_json(None)) == []
    route = snapshot.resources["route", "r"]
    snapshot.resources["route", "r"] = replace(route, value=route.value.replace('["web"]', '["wep"]'))
    [(place, message)] = _engine.check_snapshot(snapshot.delta_json(None))
    assert place == "Route r"
    assert "`wep`" in message
    assert json.loads(snapshot.resources["route", "r"].value)["listeners"] == ["wep"]


def test_each_of_these_is_told_at_its_place() -> None:
    text = """\
listeners: { web: { port: 80 } }
routes:
  - { to: "http://h", path: { regex: "/[é]" } }
  - to: http://h
    path: /a/%3Bx/b
  - { to: "http://h", path: /b, hosts: [a.0x1] }
  - to: http://h
    match: { path: /c, clients: ["::ffff:10.0.0.0/104"], headers: { x: { regex: "(?x)" } } }
"""
    with pytest.raises(ConfigError) as caught:
        loads(text, name="gateway.yaml")
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 5
    for line, (place, words) in zip(
        told,
        [
            ("gateway.yaml:3:29: routes[0].path:", "needs Unicode"),
            ("gateway.yaml:5:11:", "has a `%3Bx` segment"),
            ("gateway.yaml:6:", "ends like an IPv4 address"),
            ("gateway.yaml:8:", "write `10.0.0.0/8`"),
            ("gateway.yaml:8:", "has the flags `x`"),
        ],
        strict=True,
    ):
        assert line.startswith(place), line
        assert words in line, line
