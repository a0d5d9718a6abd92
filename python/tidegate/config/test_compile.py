# SPDX-License-Identifier: Apache-2.0
"""Models to snapshots: resources, endpoint sets, deltas."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.compile import Compiler, compile_gateway, worker_socket
from tidegate.config.gateway import Gateway
from tidegate.config.listener import Listener
from tidegate.config.load import Loader, loads
from tidegate.config.naming import route_name
from tidegate.config.problem import ConfigError
from tidegate.config.route import Route
from tidegate.config.snapshot import Snapshot, digest

WEB: dict[str, Any] = {"web": {"port": 8080}}


def compiled(**parts: Any) -> Snapshot:
    return compile_gateway(
        Gateway.model_validate({"listeners": WEB, **parts}), threads=4, runtime_directory="/run/t"
    )


def value(snapshot: Snapshot, kind: str, name: str) -> Any:
    return json.loads(snapshot.resources[kind, name].value)


def test_the_whole_is_a_delta_from_nothing() -> None:
    delta = compiled(routes=[{"path": "/a", "to": "http://localhost:8081"}]).delta(None)
    assert {key: delta[key] for key in ("schema", "base", "number", "remove")} == {
        "schema": 3,
        "base": 0,
        "number": 1,
        "remove": [],
    }
    assert [(each["kind"], each["name"]) for each in delta["set"]] == [
        ("gateway", "gateway"),
        ("listener", "web"),
        ("route", "/a"),
        ("backend", "http://localhost:8081"),
        ("route_order", "routes"),
    ]
    assert delta["endpoints"] == [
        {
            "backend": "http://localhost:8081",
            "sequence": 1,
            "endpoints": [
                {
                    "address": "localhost:8081",
                    "zone": None,
                    "priority": 0,
                    "weight": 1,
                    "draining": False,
                    "found_by": "configuration",
                }
            ],
        }
    ]


def test_a_delta_has_what_changed_and_what_is_gone() -> None:
    before = compiled(
        routes=[{"name": "a", "path": "/a", "to": "b"}, {"name": "c", "path": "/c", "to": "b"}],
        backends={"b": ["h:1"], "d": ["h:2"]},
    )
    after = compiled(
        routes=[{"name": "a", "path": "/x", "to": "b"}], backends={"b": ["h:1", "h:3"], "e": ["h:4"]}
    )
    delta = after.delta(before, base=7, number=8)
    assert (delta["base"], delta["number"]) == (7, 8)
    assert [(each["kind"], each["name"]) for each in delta["set"]] == [
        ("backend", "e"),
        ("route", "a"),
        ("route_order", "routes"),
    ]
    assert delta["remove"] == [["backend", "d"], ["route", "c"]]
    # New endpoints of a known backend are in the endpoint sets alone.
    assert [each["backend"] for each in delta["endpoints"]] == ["b", "e"]
    assert after.changed(before) == [
        ("backend", "e"),
        ("route", "a"),
        ("route_order", "routes"),
        ("backend", "d"),
        ("route", "c"),
    ]
    assert after.endpoint_sets(before, 9)[0]["sequence"] == 9


def test_no_change_is_an_empty_delta() -> None:
    one, two = (compiled(routes=[{"path": "/a", "to": "http://h"}]) for _ in range(2))
    delta = two.delta(one, base=1, number=2)
    assert (delta["set"], delta["remove"], delta["endpoints"]) == ([], [], [])
    assert two.changed(one) == []


def test_a_hash_is_the_digest_of_the_value_and_the_same_in_every_process() -> None:
    snapshot = compiled()
    for resource in snapshot.resources.values():
        assert resource.hash == digest(resource.value)
    assert digest("{}") == "2afb9b83f9314e5d029766197f539792"


def test_units_travel_as_integers_and_rooms_as_kind_and_settings() -> None:
    snapshot = compiled(
        backends={
            "b": {
                "balancing": {"type": "least_request", "choices": 3},
                "health_check": {"type": "http", "interval": "2s"},
                "timeouts": {"connect": "1.5s"},
                "limits": {"header_size": "1KiB"},
            }
        }
    )
    backend = value(snapshot, "backend", "b")
    assert backend["balancing"] == {"kind": "least_request", "settings": {"choices": 3}}
    assert backend["health_check"]["kind"] == "http"
    assert backend["health_check"]["settings"]["interval"] == 2000
    assert backend["timeouts"]["connect"] == 1500
    assert backend["limits"]["header_size"] == 1024
    assert "endpoints" not in backend


def test_threads_are_the_cores_unless_said() -> None:
    assert value(compiled(), "gateway", "gateway")["threads"] == 4
    assert value(compiled(gateway={"threads": 2}), "gateway", "gateway")["threads"] == 2


def test_what_only_control_needs_is_not_sent() -> None:
    snapshot = compiled(
        gateway={"user": "tidegate", "admin": {}, "policies": []},
        routes=[{"name": "a", "path": "/a", "to": {"respond": 200}}],
        functions={"f": {"handler": "secret.module:f", "path": "/srv", "venv": "/venv"}},
    )
    assert set(value(snapshot, "gateway", "gateway")) == {
        "name",
        "threads",
        "trusted_proxies",
        "graceful_stop",
        "access_log",
        "redact_query",
        "redact_fields",
        "slow_request",
        "otlp",
        "memory",
        "zone",
    }
    assert {"name", "type", "path"}.isdisjoint(value(snapshot, "route", "a"))
    assert "secret.module" not in snapshot.delta_json(None)


def test_policy_sets_stand_in_the_place_of_their_names() -> None:
    def one(name: str) -> dict[str, Any]:
        return {"type": "request_headers", "remove": [name]}

    snapshot = compiled(
        gateway={"policies": ["g", one("direct")]},
        policies={"g": [one("x-g")], "s": [one("x-s1"), one("x-s2")]},
        listeners={"web": {"port": 1, "policies": ["s"]}},
        backends={"b": {"policies": ["g"]}},
        routes=[{"name": "r", "path": "/", "to": "b", "policies": [one("first"), "s", one("last")]}],
    )

    def removed(kind: str, name: str) -> list[str]:
        return [room["settings"]["remove"][0] for room in value(snapshot, kind, name)["policies"]]

    assert removed("listener", "web") == ["x-g", "direct", "x-s1", "x-s2"]
    assert removed("route", "r") == ["first", "x-s1", "x-s2", "last"]
    assert removed("backend", "b") == ["x-g"]


def test_routes_that_name_no_listener_leave_the_admin_one_alone() -> None:
    snapshot = compiled(
        gateway={"admin": {"port": 9180}, "policies": [{"type": "request_headers", "remove": ["x"]}]},
        listeners={"one": {"port": 1}, "two": {"port": 2}},
        routes=[
            {"path": "/", "to": {"respond": 200}},
            {"path": "/a", "listeners": "two", "to": {"respond": 200}},
        ],
    )
    assert value(snapshot, "route", "/")["listeners"] == []
    named_only = {name: value(snapshot, "listener", name)["named_only"] for name in ("one", "two", "admin")}
    assert named_only == {"one": False, "two": False, "admin": True}
    assert value(snapshot, "route", "two|/a")["listeners"] == ["two"]
    admin = value(snapshot, "listener", "admin")
    assert (admin["address"], admin["port"], admin["policies"]) == ("127.0.0.1", 9180, [])
    pages = {name: value(snapshot, "route", name) for name in ("admin/metrics", "admin/healthz")}
    assert pages["admin/metrics"]["to"] == {"type": "internal", "page": "metrics"}
    assert pages["admin/healthz"]["to"] == {"type": "internal", "page": "health"}
    assert all(page["listeners"] == ["admin"] for page in pages.values())
    assert value(snapshot, "route_order", "routes")["names"] == [
        "/",
        "two|/a",
        "admin/metrics",
        "admin/healthz",
    ]


def test_a_function_is_a_resource_and_a_backend_of_its_workers() -> None:
    snapshot = compiled(
        functions={
            "users": {"handler": "shop:users", "kind": "lambda", "workers": 2},
            "guard": {"handler": "shop:guard", "kind": "policy", "pool": "shared"},
        },
        routes=[{"path": "/users", "to": {"function": "users"}}],
    )
    sockets = [worker_socket("/run/t", "users", number) for number in (0, 1)]
    assert value(snapshot, "function", "users") == {
        "kind": "lambda",
        "workers": sockets,
        "deadline": 30_000,
        "pending": 1000,
        "concurrency": 1,
        "max_body": 1 << 20,
    }
    assert value(snapshot, "function", "guard")["workers"] == [worker_socket("/run/t", "shared", 0)]
    assert value(snapshot, "backend", "function:users")["protocol"] == "function"
    assert [each["address"] for each in json.loads(snapshot.endpoints["function:users"])] == [
        f"unix:{socket}" for socket in sockets
    ]
    assert ("backend", "function:guard") not in snapshot.resources
    assert value(snapshot, "route", "/users")["to"]["backends"] == [
        {"backend": "function:users", "weight": 1}
    ]


def test_urls_of_one_address_are_one_backend() -> None:
    snapshot = compiled(
        routes=[{"path": "/a", "to": "http://h/"}, {"path": "/b", "to": ["HTTP://H:80", "http://h:81"]}]
    )
    assert sorted(snapshot.endpoints) == ["http://h:80", "http://h:81"]


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"name": "mine", "path": "/a"}, "mine"),
        ({"path": "/a"}, "/a"),
        ({"path": {"exact": "/a"}}, "=/a"),
        ({"path": {"regex": "/a+"}}, "~/a+"),
        ({"path": "/a/{b}"}, "/a/{b}"),
        ({"path": "/a", "hosts": ["h", "*.i"]}, "h,*.i/a"),
        ({"path": "/a", "listeners": ["web"]}, "web|/a"),
        ({"match": {"path": "/a", "methods": ["GET", "PUT"]}}, "/a GET,PUT"),
        (
            {
                "match": {
                    "headers": {"x": "1"},
                    "query": {"q": {"present": True}},
                    "cookies": {"c": {"regex": "a"}},
                }
            },
            "/ x=1 ?q cookie:c~a",
        ),
        ({"match": {"clients": ["10.0.0.0/8"]}}, "/ from:10.0.0.0/8"),
        ({"match": {"local_addresses": "10.0.0.5"}}, "/ at:10.0.0.5/32"),
    ],
)
def test_routes_without_a_name_are_named_from_what_they_take(parts: dict[str, Any], name: str) -> None:
    assert route_name(Route.model_validate({"to": "http://h", **parts})) == name


def test_positions_are_kept_beside_and_never_sent() -> None:
    loaded = loads("listeners: { web: { port: 1 } }\nroutes:\n  - { path: /a, to: 'http://h' }\n", "t.yaml")
    snapshot = Compiler("/run/t").compile(loaded.gateway, loaded.places.where)
    assert snapshot.positions["route", "/a"] == "t.yaml:3"
    assert snapshot.positions["listener", "web"] == "t.yaml:1"
    assert snapshot.positions["backend", "http://h:80"] == "t.yaml:3"
    assert "t.yaml" not in snapshot.delta_json(None)


def test_positions_of_python_are_the_lines_that_built_the_parts() -> None:
    listener = Listener(port=1)
    snapshot = compile_gateway(Gateway(listeners={"web": listener}))
    assert listener.source is not None
    assert snapshot.positions["listener", "web"] == "{}:{}".format(*listener.source)


def text(change: int | None = None) -> str:
    routes = "".join(
        f"  - {{ name: r{n}, path: /p{n}{'x' if n == change else ''}, to: 'http://h:{n % 9 + 1}' }}\n"
        for n in range(1000)
    )
    return f"listeners:\n  web: {{ port: 8080 }}\nroutes:\n{routes}"


def test_one_changed_route_among_many_is_the_only_one_compiled_again() -> None:
    loader, compiler = Loader(), Compiler("/run/t")
    before, after = (
        compiler.compile(loader.loads([("t", Path(), text(change))]).gateway) for change in (None, 500)
    )
    new = [
        key
        for key, resource in after.resources.items()
        if key[0] == "route" and before.resources[key] is not resource
    ]
    assert new == [("route", "r500")]
    assert after.changed(before) == [("route", "r500")]


def test_a_new_listener_among_many_routes_is_the_only_change() -> None:
    loader, compiler = Loader(), Compiler("/run/t")
    before = compiler.compile(loader.loads([("t", Path(), text())]).gateway)
    more = text().replace("web: { port: 8080 }", "web: { port: 8080 }\n  two: { port: 8081 }")
    after = compiler.compile(loader.loads([("t", Path(), more)]).gateway)
    added, taken_away = after.delta(before, base=1, number=2), before.delta(after, base=2, number=3)
    assert [(each["kind"], each["name"]) for each in added["set"]] == [("listener", "two")]
    assert (taken_away["set"], taken_away["remove"]) == ([], [["listener", "two"]])


def test_what_routes_are_compiled_with_counts_as_a_change_of_them() -> None:
    loader, compiler = Loader(), Compiler("/run/t")
    sets = "policies: { s: [{ type: request_headers, remove: [NAME] }] }\n"
    route = "  - { name: last, path: /last, to: 'http://h', policies: [s] }\n"
    before, after = (
        compiler.compile(loader.loads([("t", Path(), sets.replace("NAME", name) + text() + route)]).gateway)
        for name in ("x", "y")
    )
    assert after.changed(before) == [("route", "last")]


def test_a_function_whose_sockets_can_not_be_bound_is_refused() -> None:
    gateway = Gateway.model_validate({"functions": {"f" * 100: "a:b"}})
    with pytest.raises(ConfigError, match="choose a shorter name"):
        compile_gateway(gateway, runtime_directory="/run/tidegate/default")
