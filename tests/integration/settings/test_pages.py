# SPDX-License-Identifier: Apache-2.0
"""Error pages and maintenance, of routes, listeners and the gateway."""

from pathlib import Path

import pytest

from tidegate.testing import Reply, RunningGateway, Wire, decide, endpoint, gateway, wait_until

from .kit import ask, error, shows, small

_NOTHING = "http://127.0.0.1:1"


def _with(*, settings: str = "", listener: str = "", route: str = "", to: str = _NOTHING) -> str:
    return f"""
gateway: {{ {settings} }}
listeners: {{ web: {{ port: 0, proxy_status: true, {listener} }} }}
routes: [{{ name: r, path: /r, to: "{to}", {route} }}]
"""


@shows("Route.error_pages", "Listener.error_pages", "ErrorPage.bodies")
def test_the_nearest_page_for_a_status_is_answered() -> None:
    settings = "error_pages: { 502: 'gateway 502', 5xx: 'gateway 5xx', 404: 'gateway 404' }"
    listener = "error_pages: { 5xx: 'listener 5xx' }"
    route = "error_pages: { 502: 'route 502' }"
    for parts, of_route, of_none in [
        ({}, b"502 Bad Gateway\n", b"404 Not Found\n"),
        ({"settings": settings}, b"gateway 502", b"gateway 404"),
        ({"settings": settings, "listener": listener}, b"listener 5xx", b"gateway 404"),
        ({"settings": settings, "listener": listener, "route": route}, b"route 502", b"gateway 404"),
    ]:
        with gateway(_with(**parts), threads=1) as running:
            answer = ask(running, "/r")
            assert (answer.status, answer.body) == (502, of_route)
            assert error(answer) == "connection_refused"
            assert answer.get("cache-control") == "no-store"
            assert ask(running, "/x").body == of_none
            kind = "text/html" if parts else "text/plain"
            assert answer.get("content-type") == f"{kind}; charset=utf-8"


def test_a_page_comes_in_the_form_the_client_likes() -> None:
    page = """{ bodies: {
        text/html: "<p>{status} {request_id} { } {{x}}</p>",
        application/problem+json: '{"status": {status}, "id": "{request_id}"}',
        text/plain: "plain {status}" } }"""
    with gateway(_with(listener=f"error_pages: {{ 404: {page} }}"), threads=1) as running:
        for accept, kind in [
            ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
            ("*/*", "text/html; charset=utf-8"),
            ("application/*", "application/problem+json"),
            ("text/plain;q=0.9, text/html;q=0.1", "text/plain; charset=utf-8"),
            ("image/png", "text/html; charset=utf-8"),
        ]:
            answer = ask(running, "/x", headers=[f"Accept: {accept}"])
            assert answer.get("content-type") == kind, accept
        identifier = running.log(5)[-1]["request_id"]
        assert answer.body.decode() == f"<p>404 {identifier} {{ }} {{{{x}}}}</p>"
        head = ask(running, "/x", method="HEAD")
        assert (head.status, head.body, head.get("content-length")) == (404, b"", str(len(answer.body)))


def test_a_page_names_the_request_also_behind_its_policies() -> None:
    page = "error_pages: { 5xx: 'about {request_id}' }"
    with gateway(_with(route=page), threads=1) as running:
        answer = ask(running, "/r")
        assert answer.body.decode() == f"about {running.log(1)[-1]['request_id']}"


def test_what_was_no_request_gets_the_listeners_page() -> None:
    text = _with(listener="error_pages: { 4xx: 'no: {status}' }")
    with gateway(text, threads=1) as running, Wire(("127.0.0.1", running.port)) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", "GET")
        assert wire.wait_final(1)
        assert (wire.final_responses[0].status, wire.final_responses[0].body) == (400, b"no: 400")


@shows("ErrorPage.status")
def test_a_page_may_have_another_status() -> None:
    page = "error_pages: { 404: { bodies: x, status: 410 } }"
    with gateway(_with(listener=page), threads=1) as running:
        assert ask(running, "/x").status == 410
        assert running.log(1)[-1]["error"] == "destination_not_found"
    told = decide(_with(listener=page), {"method": "GET", "url": "http://a.test/x"})
    assert (told["outcome"], told["status"], told["page"]) == ("not_found", 410, True)


@shows("ErrorPage.intercept")
def test_answers_of_endpoints_are_replaced_on_request() -> None:
    reply = Reply(503, headers=[("Retry-After", "7"), ("X-Inner", "1"), ("Set-Cookie", "a=b")], body=b"inner")
    policy = "policies: [{ type: response_headers, set: { X-P: '1' } }]"
    for intercept, body, inner in (("false", b"inner", "1"), ("true", b"ours", None)):
        route = f"error_pages: {{ 503: {{ bodies: ours, intercept: {intercept} }} }}, {policy}"
        with endpoint(reply) as upstream, small(upstream, route=route) as running:
            for _ in range(3):
                answer = ask(running)
                assert (answer.status, answer.body) == (503, body)
                assert (answer.get("x-inner"), answer.get("x-p")) == (inner, "1")
                assert (answer.get("retry-after"), answer.get("set-cookie")) == ("7", "a=b")
            # What came whole costs no connection.
            assert len(upstream.connections) == 1


_FUNCTIONS = """
import asyncio
import tidegate

ended = []

def plain(request):
    return tidegate.Response("inner", status=503, headers={"Retry-After": "7", "X-Inner": "1"})

async def stream(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 500, "headers": [(b"x-inner", b"1")]})
    try:
        # Longer than what may be under way: it ends when it is told that nobody reads on.
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
    finally:
        ended.append(1)

def count(request):
    return str(len(ended))
"""


@pytest.mark.parametrize("intercept", [True, False])
def test_answers_of_functions_are_replaced_on_request(tmp_path: Path, intercept: bool) -> None:
    (tmp_path / "inner.py").write_text(_FUNCTIONS)
    pages = f"error_pages: {{ 5xx: {{ bodies: ours, intercept: {str(intercept).lower()} }} }}"
    text = f"""
listeners: {{ web: {{ port: 0 }} }}
functions:
  plain: {{ handler: "inner:plain", path: "{tmp_path}", pool: one }}
  stream: {{ handler: "inner:stream", path: "{tmp_path}", kind: asgi, pool: one }}
  count: {{ handler: "inner:count", path: "{tmp_path}", pool: one }}
routes:
  - {{ path: /plain, to: "function:plain", {pages} }}
  - {{ path: /stream, to: "function:stream", {pages} }}
  - {{ path: /count, to: "function:count", {pages} }}
"""
    with gateway(text, threads=1, processes=True) as running:
        for path, status, inner in (("/plain", 503, b"inner"), ("/stream", 500, b"x" * 65536 * 100)):
            for _ in range(2):
                answer = ask(running, path)
                assert answer.status == status
                assert answer.body == (b"ours" if intercept else inner)
                assert answer.get("x-inner") == (None if intercept else "1")
        assert ask(running, "/plain").get("retry-after") == "7"
        # A call whose answer nobody reads is not left to run on.
        assert wait_until(lambda: ask(running, "/count").body == b"2", 30), ask(running, "/count")


def test_an_answer_without_fault_is_never_replaced() -> None:
    route = "error_pages: { 4xx: { bodies: ours, intercept: true } }"
    with endpoint(Reply(200, body=b"fine")) as upstream, small(upstream, route=route) as running:
        assert ask(running).body == b"fine"


def test_files_have_their_error_pages(tmp_path: Path) -> None:
    text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes:
  - path: /
    to: {{ files: "{tmp_path}" }}
    error_pages: {{ 404: "lost", 405: {{ bodies: {{ text/plain: "only read" }} }} }}
"""
    with gateway(text, threads=1) as running:
        assert ask(running, "/none").body == b"lost"
        answer = ask(running, "/none", method="POST")
        assert (answer.status, answer.body, answer.get("allow")) == (405, b"only read", "GET, HEAD, OPTIONS")


@shows("Route.maintenance", "Listener.maintenance", "Maintenance.enabled")
def test_maintenance_is_a_503_until_a_reload_ends_it() -> None:
    with endpoint() as upstream:

        def configuration(maintenance: str, of_listener: str = "null", of_gateway: str = "null") -> str:
            return f"""
gateway: {{ maintenance: {of_gateway} }}
listeners: {{ web: {{ port: 0, proxy_status: true, maintenance: {of_listener} }} }}
routes:
  - {{ name: r, path: /, to: "{upstream.url}", maintenance: {maintenance} }}
  - {{ name: o, path: /o, to: "{upstream.url}" }}
"""

        with gateway(configuration("null"), threads=1) as running:
            for parts, statuses in [
                (("null",), (200, 200)),
                (("true",), (503, 200)),
                (("null", "true"), (503, 503)),
                (("false", "true"), (200, 503)),
                (("null", "null", "true"), (503, 503)),
                (("false", "false", "true"), (200, 200)),
                (("null",), (200, 200)),
            ]:
                running.reload(configuration(*parts))
                before = len(upstream.messages)
                seen = (ask(running, "/").status, ask(running, "/o").status)
                assert seen == statuses, parts
                assert len(upstream.messages) - before == statuses.count(200)
                url = {"method": "GET", "url": "http://a.test/"}
                told = decide(configuration(*parts), url)
                assert told.get("by") == ("maintenance" if statuses[0] == 503 else None)
            running.reload(configuration("true"))
            answer = ask(running, "/")
            assert (answer.body, answer.get("cache-control")) == (b"503 Service Unavailable\n", "no-store")
            assert error(answer) == "maintenance"


@shows("Maintenance.retry_after")
@pytest.mark.parametrize(("retry_after", "told"), [("5m", "300"), ("1500ms", "2"), ("null", None)])
def test_clients_are_told_when_to_come_again(retry_after: str, told: str | None) -> None:
    route = f"maintenance: {{ retry_after: {retry_after} }}"
    with gateway(_with(route=route), threads=1) as running:
        answer = ask(running, "/r")
        assert (answer.status, answer.get("retry-after")) == (503, told)


@shows("Maintenance.allow")
def test_some_clients_get_through() -> None:
    settings = "trusted_proxies: [127.0.0.0/8]"
    with endpoint() as upstream:
        route = "maintenance: { allow: [192.0.2.7, 198.51.100.0/24] }"
        text = _with(settings=settings, route=route, to=upstream.url)
        with gateway(text, threads=1) as running:
            for client, status in [("192.0.2.7", 200), ("192.0.2.8", 503), ("198.51.100.9", 200)]:
                assert ask(running, "/r", headers=[f"X-Forwarded-For: {client}"]).status == status


@shows("Maintenance.bodies")
def test_maintenance_has_a_page_of_its_own_or_that_for_503() -> None:
    pages = "error_pages: { 503: { bodies: 'error page', status: 500 } }"
    bodies = "bodies: { text/html: 'back soon', application/json: '{\"id\": \"{request_id}\"}' }"
    with gateway(_with(listener=pages, route=f"maintenance: {{ {bodies} }}"), threads=1) as running:
        answer = ask(running, "/r")
        assert (answer.status, answer.body) == (503, b"back soon")
        answer = ask(running, "/r", headers=["Accept: application/json"])
        assert answer.get("content-type") == "application/json"
        assert running.log(2)[-1]["request_id"] in answer.body.decode()
    with gateway(_with(listener=pages, route="maintenance: true"), threads=1) as running:
        answer = ask(running, "/r")
        assert (answer.status, answer.body) == (500, b"error page")


def test_a_body_that_nobody_reads_ends_the_connection() -> None:
    def send(running: RunningGateway, request: bytes) -> tuple[int, bool]:
        with Wire(("127.0.0.1", running.port)) as wire:
            wire.send(request, "POST", "GET")
            assert wire.wait_final(1)
            return wire.final_responses[0].status, wire.wait_final(2)

    with gateway(_with(route="maintenance: true"), threads=1) as running:
        hidden = b"GET /r HTTP/1.1\r\nHost: a\r\n\r\n"
        head = b"POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(hidden)
        assert send(running, head + hidden) == (503, False)


def test_the_admin_listener_has_neither() -> None:
    text = """
gateway: { admin: {}, maintenance: true, error_pages: { 404: x } }
listeners: { web: { port: 0 } }
routes: [{ path: /, to: { respond: 204 } }]
"""
    with gateway(text, threads=1) as running:
        admin = running.ports["admin"]
        assert ask(running, "/").status == 503
        assert ask(running, "/healthz", port=admin).status == 200
        assert ask(running, "/x", port=admin).body == b"404 Not Found\n"
