# SPDX-License-Identifier: Apache-2.0
"""Models: short forms, defaults, what does not exist yet, and errors in Python."""

from typing import Any

import pytest

import tidegate
from tidegate.config.acme import Acme
from tidegate.config.backend import Backend, BackendTimeouts, Endpoint, Failover
from tidegate.config.base import Model
from tidegate.config.files import Files
from tidegate.config.function import Function
from tidegate.config.gateway import Gateway
from tidegate.config.gateway_settings import AccessLog, GatewaySettings
from tidegate.config.listener import Listener
from tidegate.config.match import Match
from tidegate.config.otlp import Otlp
from tidegate.config.overload import PassiveHealth
from tidegate.config.problem import ConfigError, Problem
from tidegate.config.processes import Processes
from tidegate.config.route import Retries, Rewrite, Route
from tidegate.config.target import Forward, Redirect, Respond, WeightedBackend
from tidegate.config.tls import Certificate, ListenerTls
from tidegate.config.units import ByteSize, Duration
from tidegate.health.http import HttpCheck
from tidegate.policies.request_headers import RequestHeaders

_CERTIFICATE = Certificate(cert="a.pem", key="a.key")


def route(**parts: Any) -> Route:
    return Route.model_validate({"to": "http://h", **parts})


def message(build: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build()
    return "\n".join(f"{problem.path}: {problem.message}" for problem in caught.value.problems)


def test_the_defaults_are_those_of_the_design() -> None:
    listener = Listener(port=80)
    assert listener.address == "::"
    assert (listener.timeouts.header, listener.timeouts.idle) == (Duration("10s"), Duration("60s"))
    assert (listener.timeouts.body_stall, listener.timeouts.body_rate) == (Duration("30s"), ByteSize("240B"))
    assert (listener.limits.header_size, listener.limits.header_fields) == (ByteSize("32KiB"), 100)
    assert listener.limits.body_size == ByteSize("10MiB")
    assert (listener.limits.connections, listener.limits.connections_per_address) == (10_000, 1_000)
    backend = Backend(endpoints=["h:1"])
    assert (backend.timeouts.connect, backend.timeouts.pending) == (Duration("3s"), Duration("1s"))
    assert backend.timeouts.first_byte == Duration("30s")
    assert (backend.pool.idle, backend.pool.idle_time, backend.pool.unsafe_idle_time) == (100, 4000, 1000)
    assert backend.balancing.type == "least_request"  # type: ignore[attr-defined]
    assert backend.balancing.choices == 2  # type: ignore[attr-defined]
    assert backend.passive_health.enabled
    assert backend.passive_health.max_excluded_percent == 50
    assert backend.health_check is None
    assert Retries().attempts == 1
    assert Retries().methods == ["GET", "HEAD", "OPTIONS"]
    assert GatewaySettings().graceful_stop == Duration("30s")
    check = HttpCheck()
    assert (check.interval, check.timeout, check.healthy_after, check.unhealthy_after) == (5000, 2000, 2, 3)
    assert Function(handler="a:b", kind="policy").deadline == Duration("1s")
    assert Function(handler="a:b").deadline == Duration("30s")
    assert Function(handler="a:b", kind="lambda").concurrency == 1
    assert route().timeouts.upgraded_idle == Duration("1h")


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ({"path": "/a"}, {"match": {"path": {"kind": "prefix", "value": "/a"}}}),
        ({"path": "/a/"}, {"path": "/a"}),
        ({"match": "/a"}, {"path": "/a"}),
        ({"path": "/a/{b}"}, {"path": {"template": "/a/{b}"}}),
        ({"path": {"exact": "/a"}}, {"match": {"path": {"kind": "exact", "value": "/a"}}}),
        ({"path": "/a", "match": {"methods": "GET"}}, {"match": {"path": "/a", "methods": ["GET"]}}),
        ({"hosts": "a.b"}, {"hosts": ["a.b"]}),
        ({"listeners": "web"}, {"listeners": ["web"]}),
        ({"retries": 0}, {"retries": {"attempts": 0}}),
        ({"to": "http://h/"}, {"to": [{"backend": "http://h:80", "weight": 1}]}),
        ({"to": ["a", "b"]}, {"to": [{"backend": "a"}, {"backend": "b"}]}),
        ({"to": {"backend": "a", "weight": 2}}, {"to": [{"backend": "a", "weight": 2}]}),
        ({"to": {"function": "f"}}, {"to": [{"function": "f", "weight": 1}]}),
        ({"to": {"redirect": "https://h/"}}, {"to": {"redirect": {"location": "https://h/", "status": 302}}}),
        ({"to": {"respond": 404}}, {"to": {"respond": {"status": 404}}}),
        ({"to": {"respond": "hi"}}, {"to": {"respond": {"status": 200, "body": "hi"}}}),
        ({"to": Redirect(scheme="https")}, {"to": {"redirect": {"scheme": "https"}}}),
        ({"to": Respond(status=204)}, {"to": {"respond": 204}}),
        ({"to": Forward(backends=[WeightedBackend(backend="a")])}, {"to": "a"}),
        ({"to": WeightedBackend(backend="a")}, {"to": "a"}),
        ({"match": Match(methods=["GET"]), "path": "/a"}, {"path": "/a", "match": {"methods": ["GET"]}}),
        (
            {"match": {"headers": {"X-A": "1", "x-b": {"regex": "a+"}, "x-c": {"present": True}}}},
            {
                "match": {
                    "headers": [
                        {"name": "x-a", "kind": "exact", "value": "1"},
                        {"name": "x-b", "kind": "regex", "value": "a+"},
                        {"name": "x-c", "kind": "present", "value": ""},
                    ]
                }
            },
        ),
        (
            {"to": {"respond": {"headers": {"A": "1", "b": ["2", "3"]}}}},
            {"to": {"respond": {"headers": [("a", "1"), ("b", "2"), ("b", "3")]}}},
        ),
    ],
)
def test_short_forms_mean_what_the_whole_forms_mean(short: dict[str, Any], whole: dict[str, Any]) -> None:
    assert route(**short) == route(**whole)


def test_other_short_forms() -> None:
    assert Backend.model_validate(["h:1"]) == Backend(endpoints=[Endpoint(address="h:1")])
    assert Backend(balancing="round_robin") == Backend(balancing={"type": "round_robin"})
    with pytest.raises(ConfigError, match="at least 64MiB"):
        GatewaySettings(memory=ByteSize("63MiB"))
    assert GatewaySettings(access_log="-").access_log == AccessLog(path="-")
    assert Gateway(functions={"f": "a:b"}).functions["f"] == Function(handler="a:b")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"path": {"exact": "/a", "regex": "/b"}}, "is no path; write `/prefix`"),
        ({"path": {"exct": "/a"}}, "is no path; write `/prefix`"),
        ({"path": 1}, "is no path; write `/prefix`"),
        (
            {"path": "/a/*"},
            "has a `*`, which stands for itself; write `/a`, which takes all that is below it",
        ),
        ({"path": "/*"}, "has a `*`, which stands for itself; write `/`, which"),
        (
            {"path": "/a*"},
            "write a template such as `/users/{id}` or `{ regex: '/x.*' }`, or `{ prefix: '/a*' }`",
        ),
        ({"match": {"headers": {"Host": "a"}}}, "`host` is matched by the route's `hosts`"),
        ({"match": {"headers": {"x": {"present": False}}}}, "`x`: write `value`"),
        ({"match": {"headers": {"x y": "1"}}}, "`x y` is no field name"),
        ({"match": {"methods": ["CONNECT"]}}, "`CONNECT` is always refused"),
        ({"match": {"methods": ["TRACK"]}}, "`TRACK` is always refused"),
        ({"proxy_pass": "http://h"}, "`proxy_pass` is no setting here; write `to`"),
        ({"waf": "on"}, "`waf` does not exist yet in this version"),
        ({"match": {"host": "a"}}, "`host` is no setting here; write `hosts` on the route"),
        ({"to": {"redirect": {}}}, "leads to itself"),
        ({"to": {"redirect": {"location": "/a", "path": "/b"}}}, "`location` is the whole; leave `path` out"),
        ({"to": {"redirect": {"status": 304, "path": "/b"}}}, "304 does not redirect"),
        ({"to": {"redirect": {"path": "/{x}"}}}, "`{x}` in `redirect` is no parameter of the route's path"),
        ({"to": {"redirect": {"host": "*.a"}}}, "is no host"),
        ({"to": {"respond": {"status": 204, "body": "a"}}}, "a 204 has no body"),
        ({"to": {"respond": {"status": 101}}}, "must be at least 200"),
        ({"to": {"compose": {}}}, "`compose` does not exist yet in this version"),
        ({"to": {"redirect": "/a", "respond": 200}}, "must have exactly one of"),
        ({"to": {"respond": None}}, "`respond` must be a mapping"),
        ({"to": 5}, "must be a URL, a backend's name"),
        ({"to": [{"backend": "a", "weight": 0}]}, "every weight is 0"),
        ({"to": ["a", "a"]}, "`a` is there twice; add the weights up"),
        ({"rewrite": {}}, "changes nothing"),
        ({"rewrite": {"prefix": "/", "path": "/a"}}, "exclude each other"),
        ({"path": {"exact": "/a"}, "rewrite": {"prefix": "/"}}, "needs a prefix match, not `exact`"),
        ({"path": "/a/{b}", "rewrite": {"path": "/{c}"}}, "`{c}` in `rewrite` is no parameter"),
        ({"rewrite": {"host": "http://a"}}, "is more than a host"),
        ({"to": {"respond": 200}, "rewrite": {"path": "/a"}}, "but this route is a `respond`"),
        ({"retries": {"statuses": [200]}}, "must be at least 400"),
        ({"policies": [{"type": "request_headers"}]}, "changes nothing; write `set`, `add` or `remove`"),
        (
            {"policies": [{"type": "request_headers", "set": {"Connection": "x"}}]},
            "can not be changed by a policy",
        ),
        ({"policies": [{"type": "rate_limit"}]}, "`rate_limit` does not exist yet in this version"),
        ({"policies": [{"set": {}}]}, "has no `type`; there are"),
        ({"policies": [Listener(port=1)]}, "`Listener` does not belong here"),
        ({"policies": "strict"}, "must be a list"),
    ],
)
def test_what_can_not_work_is_refused_with_what_to_write(parts: dict[str, Any], says: str) -> None:
    assert says in message(lambda: Route(**{"to": "http://h", **parts}))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Listener(), "needs a `port` from 1 to 65535"),
        (lambda: Listener(address="unix:/a", port=1), "a Unix socket has no port"),
        (
            lambda: Listener(port=443, ssl={}),  # type: ignore[call-arg]
            "write `tls: { certificates: [{ cert: site.pem, key: site.key }] }`",
        ),
        (
            lambda: Listener(port=443, protocol="https"),
            "`protocol: https` needs certificates; write `tls: { certificates: [{ cert: site.pem,",
        ),
        (
            lambda: Listener(port=443, protocol="http", tls=ListenerTls(certificates=[_CERTIFICATE])),
            "with `tls` it is `protocol: https`; write that, or leave `tls` out",
        ),
        (lambda: ListenerTls(certificates=[]), "needs `certificates"),
        (
            lambda: Certificate(cert="a.pem", key="-----BEGIN PRIVATE KEY-----"),
            "a key does not belong into a configuration; write the path of its file",
        ),
        (lambda: Listener(port=443, protocol="http3"), "write `http3: true` at a listener with `tls`"),
        (lambda: Listener(port=443, http3={}), "HTTP/3 is always secured; write `tls`"),
        (
            lambda: Listener(address="127.0.0.1", port=3128, protocol="forward", http3={}),
            "`http3` is for `protocol: https`; leave it out with `forward`",
        ),
        (lambda: Listener(port=443, protocol="h2c"), "write `protocol: http` and `http2: true`"),
        (lambda: Listener(port=443, protocol="htp"), "`htp` is not one of them; did you mean `http`?"),
        (lambda: Backend(protocol="function"), "`function` is not one of them"),
        (lambda: Backend(host="other"), "`other` is not one of them; known are `keep`, `endpoint`"),
        (lambda: Backend(health_check="htp"), "no such type `htp`; did you mean `http`?"),
        (
            lambda: Backend(balancing={"type": "least_request", "choices": 9}),
            "balancing.choices: must be at most 8",
        ),
        (lambda: Function(handler="a:b", kind="labda"), "did you mean `lambda`?"),
        (lambda: Function(handler="a:b", schedule="x"), "`schedule` does not exist yet"),  # type: ignore[call-arg]
        (lambda: GatewaySettings(threads=0), "must be a number from 1 to 1024, or `auto`"),
        (lambda: Gateway(stores={}), "`stores` does not exist yet in this version"),  # type: ignore[call-arg]
        (lambda: HttpCheck(path="healthz"), "write `/healthz`"),
        (lambda: HttpCheck(path="/a?b c"), "must be escaped"),
        (lambda: HttpCheck(statuses=[]), "must not be empty"),
    ],
)
def test_models_refuse_what_does_not_exist_and_suggest_what_does(build: Any, says: str) -> None:
    assert says in message(build)


def test_all_errors_of_a_call_come_at_once_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        Listener(prt=80, protocol="http2", limits={"header_size": 5})  # type: ignore[call-arg]
    problems = caught.value.problems
    assert len(problems) == 3
    assert {problem.path for problem in problems} == {"prt", "protocol", "limits.header_size"}
    assert all(problem.file == __file__ and problem.line > 0 for problem in problems)


def test_models_are_frozen_and_equal_by_value_wherever_they_were_built() -> None:
    one, two = Listener(port=80), Listener(port=80)
    assert one == two
    assert one.source != two.source or one.source is not None
    with pytest.raises(Exception, match="frozen"):
        one.port = 81  # type: ignore[misc]


def test_models_of_rooms_may_be_given_as_objects() -> None:
    policy = RequestHeaders(set={"x-a": "1"})
    assert route(policies=[policy]) == route(policies=[{"type": "request_headers", "set": {"x-a": "1"}}])


def test_the_package_exports_its_names_lazily() -> None:
    for name in tidegate.__all__:
        if name not in ("Request", "Response", "policy"):
            assert getattr(tidegate, name).__name__ == name
    assert set(tidegate.__all__) <= set(dir(tidegate))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        tidegate.Nothing  # noqa: B018


def test_problems_read_as_file_line_column_path_and_message() -> None:
    assert str(Problem("is wrong", "a.b", "f.yaml", 3, 5)) == "f.yaml:3:5: a.b: is wrong"
    assert str(Problem("is wrong", "", "f.yaml")) == "f.yaml: is wrong"
    assert str(Problem("is wrong")) == "is wrong"
    error = ConfigError([Problem("one"), Problem("two")])
    assert str(error) == "one\ntwo"
    import pickle

    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_certificates_for_trials_come_from_the_staging_authority() -> None:
    assert Acme().directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert Acme(staging=True).directory == "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert Acme(authority="https://ca.test/dir").directory == "https://ca.test/dir"


def test_rewrites_are_spelled_canonically() -> None:
    assert Rewrite(prefix="/a//b/", host="H.example:80") == Rewrite(prefix="/a/b/", host="h.example:80")


@pytest.mark.parametrize(
    ("model", "key", "says"),
    [
        (Gateway, "upstreams", "write section `backends`"),
        (Gateway, "entryPoints", "write section `listeners`"),
        (Listener, "bind", "write `address` and `port`"),
        (Backend, "servers", "write `endpoints`"),
        (Match, "port", "write `listeners: [...]` on the route"),
        (Match, "source", "write `clients`"),
        (Processes, "workers", "write `count`"),
        (Files, "autoindex", "write `listing`"),
        (Files, "spa", "write `fallback: /index.html`"),
        (AccessLog, "sampling", "write `one_in: 10`"),
        (Otlp, "endpoint", "write `url`"),
        (GatewaySettings, "client_max_body_size", "write `limits: { body_size: ... }` on a listener"),
        (Backend, "httpchk", "write `health_check: { type: http, path: ... }`"),
        (Backend, "queue", "write `limits: { pending: ... }` and `timeouts: { pending: ... }`"),
        (Endpoint, "backup", "write `priority: 1`"),
        (BackendTimeouts, "queue", "write `pending`"),
        (Failover, "panic_threshold", "write `panic_percent`"),
        (PassiveHealth, "max_fails", "write `failures`"),
    ],
)
def test_words_of_other_proxies_are_answered_with_ours(model: type[Model], key: str, says: str) -> None:
    assert f"`{key}` is no setting here; {says}" in message(lambda: model(**{key: 1}))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("consistent_hash", "write `maglev` or `ring_hash`"),
        ("source", "write `ip_hash`"),
        ("p2c", "write `least_request`"),
        ("first", "give the endpoints a `priority`"),
        ("sticky", "write `affinity: cookie`"),
    ],
)
def test_algorithms_of_other_proxies_are_answered_with_ours(name: str, says: str) -> None:
    assert f"`{name}` is no type here; {says}" in message(lambda: Backend(balancing=name))


@pytest.mark.parametrize("is_on", [True, False])
def test_passive_health_is_no_switch(is_on: bool) -> None:
    assert f"write `{{ enabled: {str(is_on).lower()} }}`" in message(lambda: Backend(passive_health=is_on))


@pytest.mark.parametrize("is_on", [True, False])
def test_what_works_as_it_is_says_how_it_is_switched_on(is_on: bool) -> None:
    says = "write `{}` to have it with its defaults" if is_on else "leave it out"
    assert says in message(lambda: Backend(adaptive_concurrency=is_on))
    assert says in message(lambda: Backend(load_report=is_on))


@pytest.mark.parametrize(
    "model",
    [
        Gateway,
        Listener,
        Backend,
        Route,
        Files,
        AccessLog,
        Otlp,
        GatewaySettings,
        Endpoint,
        BackendTimeouts,
        Failover,
        PassiveHealth,
        Match,
        Processes,
    ],
)
def test_no_word_of_others_hides_a_setting_of_ours(model: type[Model]) -> None:
    assert not set(model.elsewhere) & (set(model.model_fields) | set(model.not_yet))


def test_forms_that_are_nearly_right_are_answered_with_the_right_one() -> None:
    assert "write `{ port: 8080 }`" in message(lambda: Gateway(listeners={"web": 8080}))
    assert "write `{ port: 8080 }`" in message(lambda: Gateway(listeners={"web": ":8080"}))
    assert "must be `true` or `false`, or a mapping" in message(
        lambda: Route(to="http://h", maintenance="on")
    )
    blank = "a blank is missing behind the `:`; write `port: 8080`"
    assert blank in message(lambda: Listener(**{"port:8080": None}))


@pytest.mark.parametrize("text", ["off", "on", "OFF", "none"])
def test_an_access_log_is_left_out_and_not_switched_off(text: str) -> None:
    assert "leave `access_log` out" in message(lambda: GatewaySettings(access_log=text))
