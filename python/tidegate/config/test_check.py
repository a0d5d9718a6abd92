# SPDX-License-Identifier: Apache-2.0
"""What only the whole shows: names, listeners, routes that are never reached."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.check import check, check_gateway
from tidegate.config.draft import Draft
from tidegate.config.gateway import Gateway
from tidegate.config.listener import Listener
from tidegate.config.patterns import template
from tidegate.config.problem import ConfigError
from tidegate.config.route import Route

WEB: dict[str, Any] = {"web": {"port": 8080}}


def found(**parts: Any) -> list[tuple[str, str]]:
    """The mistakes of a gateway as (path, message)."""
    gateway = Gateway.model_validate({"listeners": WEB, **parts})
    return [(".".join(str(part) for part in path), says) for path, says in check(Draft.of(gateway))]


def routes(*given: dict[str, Any]) -> list[tuple[str, str]]:
    return found(routes=[{"to": {"respond": 200}, **route} for route in given])


def unreached(*given: dict[str, Any]) -> list[int]:
    return [int(path.split(".")[1]) for path, says in routes(*given) if "never reached" in says]


@pytest.mark.parametrize(
    ("one", "two", "overlaps"),
    [
        ({"port": 80}, {"port": 80}, True),
        ({"port": 80}, {"port": 81}, False),
        ({"port": 80}, {"port": 80, "address": "0.0.0.0"}, True),
        ({"port": 80}, {"port": 80, "address": "127.0.0.1"}, True),
        ({"port": 80, "address": "0.0.0.0"}, {"port": 80, "address": "127.0.0.1"}, True),
        ({"port": 80, "address": "0.0.0.0"}, {"port": 80, "address": "::1"}, False),
        ({"port": 80, "address": "127.0.0.1"}, {"port": 80, "address": "127.0.0.2"}, False),
        ({"port": 80, "address": "[::1]"}, {"port": 80, "address": "0::1"}, True),
        ({"address": "unix:/a"}, {"address": "unix:/a"}, True),
        ({"address": "unix:/a"}, {"address": "unix:/b"}, False),
        ({"address": "unix:/a"}, {"port": 80}, False),
    ],
)
def test_listeners_that_want_the_same_connections_are_refused(
    one: dict[str, Any], two: dict[str, Any], overlaps: bool
) -> None:
    for pair in ((one, two), (two, one)):
        says = found(listeners={"one": pair[0], "two": pair[1]})
        assert [path for path, _ in says] == (["listeners.two"] if overlaps else [])


def test_the_admin_listener_counts_among_listeners() -> None:
    assert found(gateway={"admin": {"port": 8080}})[0][1].startswith(
        "takes connections that `gateway.admin` takes"
    )
    assert found(gateway={"admin": {}}, listeners={"admin": {"port": 1}}) == [
        ("listeners.admin", "`admin` is the name of the listener of `gateway.admin`; choose another")
    ]
    assert found(gateway={"admin": {}}) == []


def test_routes_need_a_listener() -> None:
    says = found(listeners={}, routes=[{"to": "http://h"}])
    assert says == [
        ("routes", "no listener takes their requests; write `listeners: { web: { port: 8080 } }`")
    ]


@pytest.mark.parametrize(
    ("parts", "path", "message"),
    [
        ({"routes": [{"to": "pay"}]}, "routes.0.to.0.backend", "no backend `pay`; did you mean `payment`?"),
        (
            {"routes": [{"to": "x"}], "backends": {}},
            "routes.0.to.0.backend",
            "no backend `x`; write it in section",
        ),
        (
            {"routes": [{"to": {"function": "x"}}]},
            "routes.0.to.0.function",
            "no function `x`; known are `code`, `guard`",
        ),
        (
            {"routes": [{"to": {"function": "guard"}}]},
            "routes.0.to.0.function",
            "`guard` is a policy, which answers nothing",
        ),
        (
            {"routes": [{"to": "payment", "listeners": ["wbe"]}]},
            "routes.0.listeners.0",
            "no listener `wbe`; did you mean `web`?",
        ),
        (
            {"routes": [{"to": "payment", "listeners": ["admin"]}]},
            "routes.0.listeners.0",
            "the admin listener serves",
        ),
        (
            {"routes": [{"to": "payment", "policies": ["strikt"]}]},
            "routes.0.policies.0",
            "no policy set `strikt`; did you mean `strict`?",
        ),
        (
            {"routes": [{"to": "payment", "policies": ["request_headers"]}]},
            "routes.0.policies.0",
            "`{ type: request_headers }`",
        ),
        (
            {"routes": [{"to": "payment", "policies": [{"type": "python", "function": "code"}]}]},
            "routes.0.policies.0.function",
            "write `kind: policy`",
        ),
        (
            {"routes": [{"to": "payment", "policies": [{"type": "python", "function": "x"}]}]},
            "routes.0.policies.0.function",
            "no function `x`",
        ),
        (
            {"listeners": {"web": {"port": 1, "policies": ["x"]}}},
            "listeners.web.policies.0",
            "no policy set `x`",
        ),
        ({"backends": {"b": {"policies": ["x"]}}}, "backends.b.policies.0", "no policy set `x`"),
        ({"gateway": {"policies": ["x"]}}, "gateway.policies.0", "no policy set `x`"),
        ({"policies": {"strict": ["strict"]}}, "policies.strict.0", "a set holds policies, not other sets"),
        (
            {"policies": {"strict": [{"type": "python", "function": "x"}]}},
            "policies.strict.0.function",
            "no function `x`",
        ),
    ],
)
def test_a_name_that_is_not_defined_is_said_where_it_stands(
    parts: dict[str, Any], path: str, message: str
) -> None:
    whole = {
        "backends": {"payment": ["h:1"]},
        "functions": {"code": "a:b", "guard": {"handler": "a:c", "kind": "policy"}},
        "policies": {"strict": [{"type": "request_headers", "remove": ["x"]}]},
        **parts,
    }
    says = found(**whole)
    assert [where for where, _ in says] == [path]
    assert message in says[0][1]


def test_functions_of_one_pool_want_the_same_processes() -> None:
    says = found(
        functions={
            "a": {"handler": "m:a", "pool": "shop", "workers": 2},
            "b": {"handler": "m:b", "pool": "shop", "workers": 3},
            "c": {"handler": "m:c", "pool": "d"},
            "d": {"handler": "m:d"},
        }
    )
    assert [path for path, _ in says] == ["functions.b.workers", "functions.d"]


def test_equal_names_of_routes_are_refused() -> None:
    says = routes(
        {"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}, {"name": "/c", "path": "/d"}, {"path": "/c"}
    )
    assert says == [
        ("routes.1.name", "another route is called `a` too; choose another name"),
        ("routes.3.name", "another route is called `/c` too; choose another name"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        [{"path": "/a"}, {"path": "/a"}],
        [{"path": "/a"}, {"path": "/a/"}],
        [{"path": "/a", "hosts": ["h", "i"]}, {"path": "/a", "hosts": ["i"]}],
        [{"path": "/a", "hosts": ["h"]}, {"path": "/a", "hosts": ["i"]}, {"path": "/a", "hosts": ["i", "h"]}],
        [{"path": "/users/{id}"}, {"path": "/users/{name}"}],
        [{"path": {"regex": "/a+"}}, {"path": {"regex": "/a+"}}],
        [{"path": "/a", "match": {"methods": ["GET", "PUT"]}}, {"path": "/a", "match": {"methods": ["GET"]}}],
        [
            {"path": "/a", "match": {"methods": "GET"}},
            {"path": "/a", "match": {"methods": "PUT"}},
            {"path": "/a", "match": {"methods": ["PUT", "GET"]}},
        ],
        [
            {"path": "/a", "match": {"headers": {"x": "1", "y": "2"}}},
            {"path": "/a", "match": {"headers": {"y": "2", "x": "1"}}},
        ],
        [{"path": "/"}, {"path": {"regex": "/x.*"}}],
        [{"path": {"regex": "/x.*"}}, {"path": "/"}][::-1],
        [{"path": "/x"}, {"path": {"regex": "/x/[0-9]+"}}],
        [{"path": "/{rest*}"}, {"path": "/"}],
        [{"path": "/a/{rest*}"}, {"path": "/a/b"}],
        [{"path": "/a/{rest*}"}, {"path": "/a/b", "match": {"methods": "GET", "headers": {"x": "1"}}}],
    ],
)
def test_a_route_behind_others_that_take_all_of_it_is_said(given: list[dict[str, Any]]) -> None:
    assert unreached(*given) == [len(given) - 1]


def test_the_more_precise_path_wins_wherever_it_stands() -> None:
    assert unreached({"path": {"regex": "/x.*"}}, {"path": "/"}) == [0]
    assert unreached({"path": "/a/b"}, {"path": "/a/{rest*}"}) == [0]


@pytest.mark.parametrize(
    "given",
    [
        [{"path": "/"}, {"path": "/a"}],
        [{"path": "/a"}, {"path": {"exact": "/a"}}],
        [{"path": "/a"}, {"path": "/a", "match": {"methods": "GET"}}],
        [{"path": "/a", "match": {"methods": "GET"}}, {"path": "/a"}],
        [{"path": "/a"}, {"path": "/a", "match": {"headers": {"x": "1"}}}],
        [{"path": "/a"}, {"path": "/a", "match": {"query": {"x": "1"}}}],
        [{"path": "/a"}, {"path": "/a", "match": {"clients": "10.0.0.0/8"}}],
        [{"path": "/a"}, {"path": "/a", "match": {"local_addresses": "10.0.0.0/8"}}],
        [
            {"path": "/a", "match": {"local_addresses": "10.0.0.1"}},
            {"path": "/a", "match": {"local_addresses": "10.0.0.2"}},
        ],
        [{"path": "/a", "hosts": "h"}, {"path": "/a"}],
        [{"path": "/a"}, {"path": "/a", "hosts": "h"}],
        [{"path": "/a", "hosts": "*.h"}, {"path": "/a", "hosts": "a.h"}],
        [{"path": "/a", "hosts": "a.h"}, {"path": "/a", "hosts": "*.h"}],
        [{"path": "/a/{rest*}"}, {"path": "/a"}],
        [{"path": "/a/{rest*}", "match": {"methods": "GET"}}, {"path": "/a/b"}],
        [{"path": "/{a}/b"}, {"path": "/a/{b}"}],
        [{"path": "/x"}, {"path": {"regex": "/x.*"}}],
        [{"path": "/x"}, {"path": {"regex": "/x/?"}}],
        [{"path": "/x"}, {"path": {"regex": "/x/a|/y"}}],
        [{"path": "/x"}, {"path": {"regex": "(?i)/x/a"}}],
        [{"path": "/x", "match": {"headers": {"x": "1"}}}, {"path": {"regex": "/x/a"}}],
        [{"path": "/a", "match": {"methods": "GET"}}, {"path": "/a", "match": {"methods": ["GET", "PUT"]}}],
    ],
)
def test_a_route_that_some_request_reaches_is_left_alone(given: list[dict[str, Any]]) -> None:
    assert unreached(*given) == []


@pytest.mark.parametrize(
    ("address", "networks", "is_reached"),
    [
        ("::", ["10.0.0.5"], True),
        ("::", ["2001:db8::5"], True),
        ("0.0.0.0", ["10.0.0.5"], True),
        ("0.0.0.0", ["2001:db8::5"], False),
        ("0.0.0.0", ["2001:db8::5", "10.0.0.5"], True),
        ("10.0.0.5", ["10.0.0.0/8"], True),
        ("10.0.0.5", ["10.0.0.6", "192.0.2.0/24"], False),
        ("unix:/run/web", ["127.0.0.1"], False),
    ],
)
def test_a_route_for_addresses_that_no_listener_has_is_said(
    address: str, networks: list[str], is_reached: bool
) -> None:
    web = {"address": address} if address.startswith("unix:") else {"address": address, "port": 80}
    route = {"path": "/a", "match": {"local_addresses": networks}, "to": {"respond": 200}}
    said = found(listeners={"web": web}, routes=[route])
    if is_reached:
        assert said == []
    else:
        [(path, words)] = said
        assert path == "routes.0"
        assert f"hold no address of its listeners ({address})" in words
    # Another listener may have it, if the route is there.
    both = {"web": web, "all": {"port": 81}}
    assert found(listeners=both, routes=[route]) == []
    assert bool(found(listeners=both, routes=[{**route, "listeners": ["web"]}])) is not is_reached


def test_routes_on_other_listeners_are_not_in_the_way() -> None:
    parts = {"one": {"port": 1}, "two": {"port": 2}}
    same = [{"path": "/a", "listeners": [name], "to": {"respond": 200}} for name in ("one", "two")]
    assert found(listeners=parts, routes=same) == []
    assert len(found(listeners=parts, routes=[*same, {"path": "/a", "to": {"respond": 200}}])) == 1


# An oracle of the router for paths, methods and one header on one host, by the precedence of the design.
PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/b/a", "/ab", "/c/d/e"]
REQUESTS = list(itertools.product(PATHS, ["GET", "PUT"], [None, "1", "2"]))


def rank_of_path(route: Route, path: str) -> tuple[int, int] | None:
    """How precisely a route's path takes `path`; `None` when it does not."""
    kind, value = route.match.path.kind, route.match.path.value
    if kind == "exact":
        return (4, 0) if path == value else None
    if kind == "regex":
        return (1, 0) if re.fullmatch(value, path) else None
    if kind == "prefix":
        return (
            (2, len(value.rstrip("/")))
            if path == value or (path + "/").startswith(value.rstrip("/") + "/")
            else None
        )
    parts, segments = path[1:].split("/"), template(value).segments
    literals = 0
    for number, segment in enumerate(segments):
        if isinstance(segment, tuple) and segment[1]:
            return (3, literals) if number < len(parts) else None
        if (
            number >= len(parts) or parts[number] != segment
            if isinstance(segment, str)
            else number >= len(parts) or not parts[number]
        ):
            return None
        literals += isinstance(segment, str)
    return (3, literals) if len(parts) == len(segments) else None


def winners(given: list[Route]) -> set[int]:
    """The routes that at least one of `REQUESTS` reaches."""
    reached = set()
    for path, method, header in REQUESTS:
        best = None
        for number, route in enumerate(given):
            rank = rank_of_path(route, path)
            wanted = [each.value for each in route.match.headers]
            if (
                rank is None
                or (route.match.methods and method not in route.match.methods)
                or (wanted and header not in wanted)
            ):
                continue
            key = (*rank, bool(route.match.methods), len(wanted), -number)
            best = max(best, (key, number)) if best is not None else (key, number)
        if best is not None:
            reached.add(best[1])
    return reached


paths = st.sampled_from(
    [
        "/",
        "/a",
        "/a/b",
        "/b",
        {"exact": "/a"},
        {"exact": "/a/b"},
        "/{x}",
        "/{y}",
        "/a/{x}",
        "/{x}/b",
        "/{rest*}",
        "/a/{rest*}",
        {"regex": "/a.*"},
        {"regex": "/a/.*"},
        {"regex": "/a/b+"},
        {"regex": "/ab?"},
        {"regex": "/(a|b)"},
    ]
)
matches = st.fixed_dictionaries(
    {"path": paths},
    optional={
        "methods": st.sampled_from([["GET"], ["PUT"], ["GET", "PUT"]]),
        "headers": st.sampled_from([{"x": "1"}, {"x": "2"}]),
    },
)


@given(st.lists(matches, min_size=1, max_size=7))
@settings(max_examples=500, deadline=None)
def test_no_route_that_a_request_reaches_is_called_unreachable(given: list[dict[str, Any]]) -> None:
    models = [
        Route.model_validate({"name": f"r{n}", "match": match, "to": {"respond": 200}})
        for n, match in enumerate(given)
    ]
    gateway = Gateway(listeners={"web": Listener(port=80)}, routes=models)
    said = {path[1] for path, says in check(Draft.of(gateway)) if "never reached" in says}
    assert not said & winners(models)


def test_a_gateway_built_in_python_is_told_the_line() -> None:
    good = Listener(port=80)
    line = Listener(port=80)  # the mistake is on this line
    with pytest.raises(ConfigError) as caught:
        check_gateway(Gateway(listeners={"a": good, "b": line}))
    problem = caught.value.problems[0]
    source = line.source
    assert source is not None
    assert (problem.file, problem.line) == source
    assert problem.path == "listeners.b"
    assert problem.file.endswith("test_check.py")
