# SPDX-License-Identifier: Apache-2.0
import threading

from tidegate.testing import Wire, endpoint, gateway

from .kit import ask, shows, small


@shows("GatewaySettings.name")
def test_the_name_is_what_via_and_proxy_status_say() -> None:
    with endpoint() as upstream, small(upstream, settings="name: edge-7") as running:
        response = ask(running)
        assert upstream.messages[0].get("via") == "1.1 edge-7"
        assert response.get("via") == "1.1 edge-7"
        refused = ask(running, headers=["Host: a", "Host: b"])
        assert (refused.get("proxy-status") or "").startswith("edge-7; error=")


@shows("GatewaySettings.threads")
def test_the_node_runs_as_many_threads_as_configured() -> None:
    with small(settings="threads: 3", route="", threads=3) as running:
        assert running.status()["threads"] == 3


@shows("GatewaySettings.trusted_proxies")
def test_a_trusted_proxy_is_believed_and_a_stranger_is_not() -> None:
    forwarded = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-Id: given-1"]
    with endpoint() as upstream, small(upstream) as running:
        ask(running, headers=forwarded)
        message = upstream.messages[0]
        assert message.get("x-forwarded-for") == "127.0.0.1"
        assert message.get("x-forwarded-proto") == "http"
        assert message.get("x-request-id") != "given-1"
    trusting = "trusted_proxies: [127.0.0.0/8]"
    with endpoint() as upstream, small(upstream, settings=trusting) as running:
        ask(running, headers=forwarded)
        message = upstream.messages[0]
        assert message.get("x-forwarded-for") == "203.0.113.9, 127.0.0.1"
        assert message.get("x-forwarded-proto") == "https"
        assert message.get("x-request-id") == "given-1"
        assert running.log(1)[0]["client"] == "203.0.113.9"


def test_the_gateways_policies_are_those_of_every_listener() -> None:
    text = """
gateway: { policies: [{ type: response_headers, set: { X-All: yes } }] }
listeners: { a: { port: 0 }, b: { port: 0 } }
routes: [{ path: /, to: { respond: ok } }]
"""
    with gateway(text, threads=1) as running:
        assert [ask(running, port=running.ports[name]).get("x-all") for name in ("a", "b")] == ["yes"] * 2


@shows("GatewaySettings.graceful_stop")
def test_a_drain_waits_no_longer_than_configured() -> None:
    held = threading.Event()
    with endpoint(delay=held) as upstream, small(upstream, settings="graceful_stop: 300ms") as running:
        with Wire(("127.0.0.1", running.port)) as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            upstream.wait_for(1)
            running.call("drain", grace_ms=None)
            assert wire.wait_closed(), "the request is cut when the grace is over"
        held.set()


@shows("GatewaySettings.access_log", "AccessLog.path", "GatewaySettings.redact_query")
def test_credentials_in_the_query_are_not_logged() -> None:
    settings = "access_log: { path: x, redact_query: [sesame] }"
    with endpoint() as upstream, small(upstream, settings=settings) as running:
        ask(running, "/p?sesame=secret&b=2")
        entry = running.log(1)[0]
        assert entry["query"] == "sesame=[redacted]&b=2"
        assert upstream.messages[0].target == "/p?sesame=secret&b=2"


@shows("AccessLog.fields", "GatewaySettings.redact_fields")
def test_fields_asked_for_are_logged_and_credentials_among_them_are_not() -> None:
    settings = "access_log: { path: x, fields: [x-tier, x-key], redact_fields: [x-key] }"
    with endpoint() as upstream, small(upstream, settings=settings) as running:
        ask(running, headers=["X-Tier: gold", "X-Key: secret"])
        assert running.log(1)[0]["fields"] == {"x-tier": "gold", "x-key": "[redacted]"}


def test_the_admin_listener_has_metrics_and_health() -> None:
    settings = "admin: { address: 127.0.0.1, port: 9180 }"
    with endpoint() as upstream, small(upstream, settings=settings) as running:
        ask(running)
        port = running.ports["admin"]
        assert ask(running, "/healthz", port=port).body == b"ok\n"
        metrics = ask(running, "/metrics", port=port).body.decode()
        assert 'tidegate_requests_total{route="r",status="2xx"} 1\n' in metrics
        assert f'tidegate_endpoint_up{{backend="b",endpoint="{upstream.address}"}} 1\n' in metrics
