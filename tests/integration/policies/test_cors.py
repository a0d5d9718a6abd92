# SPDX-License-Identifier: Apache-2.0
"""`cors`: what browsers and pages of other sites are told, whoever answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.apps.browser import DEADLINE, browser
from tests.integration.settings.kit import ask
from tests.ports import free_port
from tidegate.testing import (
    FakeEndpoint,
    Message,
    Reply,
    RunningGateway,
    decide,
    endpoint,
    gateway,
    wait_until,
)

SHOP = "https://shop.test"
EVIL = "https://evil.test"
ORIGIN = [f"Origin: {SHOP}"]
CORS = {"type": "cors", "origins": [SHOP, "https://*.shop.test"]}
SAYS = {"access-control-allow-origin": SHOP, "vary": "Origin"}
TOLD = ("access-control-", "vary")


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def cors(answer: Message) -> dict[str, str]:
    """What an answer says of it, nothing twice."""
    found = said(answer)
    assert len(dict(found)) == len(found), found
    return dict(found)


def said(answer: Message) -> list[tuple[str, str]]:
    """Every such field of an answer, names in lower case."""
    fields = [(key.decode().lower(), value.decode()) for key, value in answer.fields]
    return [(key, value) for key, value in fields if key.startswith(TOLD)]


def asks(
    running: RunningGateway, target: str = "/", method: str = "PUT", *more: str, page: str = SHOP
) -> Message:
    """A browser asks whether a page may make a request."""
    fields = [f"Origin: {page}", f"Access-Control-Request-Method: {method}", *more]
    return ask(running, target, method="OPTIONS", headers=fields)


def route(name: str, *policies: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"name": name, "to": "b", "policies": list(policies), **rest}


def configuration(address: str, *routes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "listeners": {"web": {"port": 0, "proxy_status": True}},
        "backends": {"b": {"endpoints": [address]}},
        "routes": list(routes),
        **more,
    }


def guarded(upstream: FakeEndpoint, *routes: dict[str, Any], **more: Any) -> RunningGateway:
    # Of several threads, each has its own place in the log.
    return gateway(json.dumps(configuration(upstream.address, *routes, **more)), threads=1)


def test_questions_are_answered_before_policies_further_in(upstream: FakeEndpoint) -> None:
    settings = {
        "credentials": True,
        "exposed": "x-price",
        "max_age": "1h",
        "headers": ["authorization", "x-a"],
    }
    nobody = {"type": "ip_deny", "addresses": ["0.0.0.0/0"]}
    with guarded(upstream, route("r", {**CORS, **settings}, nobody, path="/")) as running:
        answer = asks(running, "/x", "PUT", "Access-Control-Request-Headers: x-a")
        assert (answer.status, answer.body) == (204, b"")
        assert cors(answer) == {
            **SAYS,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": "authorization, x-a",
            "access-control-max-age": "3600",
        }
        # What the policy further in refuses can be read by the page.
        refused = ask(running, "/x", method="PUT", headers=ORIGIN)
        assert refused.status == 403
        told = {"access-control-allow-credentials": "true", "access-control-expose-headers": "x-price"}
        assert cors(refused) == {**SAYS, **told}
        assert cors(asks(running, page=EVIL)) == {"vary": "Origin"}
        assert upstream.messages == []
        entry = running.log(1)[0]
        assert (entry["policy"], entry["status"], entry.get("error")) == ("cors", 204, None)


def test_other_options_go_on(upstream: FakeEndpoint) -> None:
    with guarded(upstream, route("r", CORS, path="/")) as running:
        for fields in (ORIGIN, ["Access-Control-Request-Method: PUT"], []):
            assert ask(running, method="OPTIONS", headers=fields).status == 200
        assert [message.method for message in upstream.messages] == ["OPTIONS"] * 3


def test_methods_and_fields_are_those_of_the_settings(upstream: FakeEndpoint) -> None:
    policy = {**CORS, "methods": ["GET", "REPORT"], "headers": "*"}
    with guarded(upstream, route("r", policy, path="/")) as running:
        told = cors(asks(running, "/", "PUT", "Access-Control-Request-Headers: x-b, authorization"))
        assert told["access-control-allow-methods"] == "GET, REPORT"
        assert told["access-control-allow-headers"] == "x-b, authorization"
        assert "access-control-allow-headers" not in cors(asks(running))
        assert told["access-control-max-age"] == "600"


def test_what_the_endpoint_says_is_said_once_and_by_the_policy() -> None:
    own = [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Origin", EVIL),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Accept"),
    ]
    with endpoint(Reply(headers=own)) as upstream, guarded(upstream, route("r", CORS, path="/")) as running:
        for fields, told in ((ORIGIN, SAYS), ([f"Origin: {EVIL}"], {}), ([], {})):
            answer = ask(running, headers=fields)
            expected = {("vary", "Accept"), ("vary", "Origin"), *told.items()}
            assert (answer.status, sorted(said(answer))) == (200, sorted(expected))


def test_everybody_may_read_what_is_for_everybody(upstream: FakeEndpoint) -> None:
    with guarded(upstream, route("r", {"type": "cors", "origins": "*"}, path="/")) as running:
        for page in (SHOP, EVIL, "null"):
            told = cors(ask(running, headers=[f"Origin: {page}"]))
            assert told == {"access-control-allow-origin": "*"}
        assert asks(running, page=EVIL).status == 204


@pytest.mark.parametrize(
    ("origin", "is_told"),
    [
        ("https://a.shop.test", True),
        ("https://a.b.shop.test", True),
        ("https://evilshop.test", False),
        ("https://shop.test.evil.test", False),
        ("http://shop.test", False),
        ("https://shop.test:8443", False),
        ("null", False),
        ("https://" + "a." * 2000 + "shop.tes", False),
    ],
)
def test_whose_pages(upstream: FakeEndpoint, origin: str, is_told: bool) -> None:
    with guarded(upstream, route("r", CORS, path="/")) as running:
        told = cors(ask(running, headers=[f"Origin: {origin}"]))
        assert told == ({**SAYS, "access-control-allow-origin": origin} if is_told else {"vary": "Origin"})


def test_a_question_goes_to_the_route_of_its_request(upstream: FakeEndpoint) -> None:
    other = {**CORS, "methods": ["POST"]}
    routes = (
        route("read", CORS, match={"path": "/orders", "methods": ["GET", "PUT"]}),
        route("write", other, match={"path": "/orders", "methods": ["POST"]}),
        route("new", {**CORS, "max_age": "1s"}, match={"path": "/v", "headers": {"x-version": "2"}}),
        route("old", {**CORS, "max_age": "2s"}, match={"path": "/v"}),
        route("cookie", CORS, match={"path": "/c", "methods": ["GET"], "cookies": {"beta": "1"}}),
        route("rest", path="/"),
    )
    with guarded(upstream, *routes) as running:
        assert cors(asks(running, "/orders", "PUT"))["access-control-allow-methods"].startswith("GET, HEAD")
        assert cors(asks(running, "/orders", "POST"))["access-control-allow-methods"] == "POST"
        # By the names of fields that the browser tells.
        names = "Access-Control-Request-Headers: content-type, X-Version"
        assert cors(asks(running, "/v", "PUT", names))["access-control-max-age"] == "1"
        assert cors(asks(running, "/v", "PUT"))["access-control-max-age"] == "2"
        assert asks(running, "/c", "GET").status == 204
        assert upstream.messages == []
        # No policy answers for it.
        assert cors(asks(running, "/orders", "DELETE")) == {}
        assert cors(asks(running, "/other", "PUT")) == {}
        assert [message.method for message in upstream.messages] == ["OPTIONS"] * 2
        assert [entry["route"] for entry in running.log(7)][:5] == ["read", "write", "new", "old", "cookie"]
    told = decide(
        json.dumps(configuration("127.0.0.1:1", *routes)),
        {
            "method": "OPTIONS",
            "url": "http://a/orders",
            "headers": [("Origin", SHOP), ("Access-Control-Request-Method", "PUT")],
        },
    )
    assert (told["route"], told["status"], told["by"]) == ("read", 204, "policy")


def test_a_question_that_nobody_answers_goes_to_no_endpoint(upstream: FakeEndpoint) -> None:
    policy = {**CORS, "when": 'request.host == "b.test"'}
    routes = (
        route("some", policy, match={"path": "/some", "methods": ["PUT"]}),
        route("all", policy, path="/all"),
    )
    with guarded(upstream, *routes) as running:
        answer = asks(running, "/some")
        assert (answer.status, cors(answer)) == (404, {})
        assert asks(running, "/some", "PUT", "Host: b.test").status == 204
        assert upstream.messages == []
        # A route that takes OPTIONS passes it on, as without the policy.
        assert asks(running, "/all").status == 200
        assert cors(ask(running, "/all", headers=ORIGIN)) == {}
        assert cors(ask(running, "/all", headers=[*ORIGIN, "Host: b.test"])) == SAYS


def test_one_that_is_only_tried_answers_nothing(upstream: FakeEndpoint) -> None:
    with guarded(upstream, route("r", {**CORS, "shadow": True}, path="/")) as running:
        assert (asks(running).status, cors(ask(running, headers=ORIGIN))) == (200, {})
        assert ask(running, headers=ORIGIN).status == 200
        assert running.log(1)[0]["would_answer"] == {"cors": "204"}


def failing() -> tuple[dict[str, Any], ...]:
    """Routes on which requests fail, each in another way; none takes the field away but one."""
    without = {"type": "request_headers", "remove": ["origin"]}
    conditional = {**CORS, "when": 'request.headers["origin"] != ""'}

    return (
        route("gone", CORS, path="/gone"),
        route("field", CORS, without, path="/field"),
        route("when", conditional, without, path="/when"),
        route("late", {**CORS, "locked": True}, path="/late"),
        route("large", CORS, path="/large", body_size="4B"),
        route("type", CORS, path="/type", media_types=["application/json"]),
        route("keepout", CORS, path="/keepout", clients={"allow": ["192.0.2.1"]}),
        route("rest", CORS, path="/rest", maintenance=True),
        route("here", CORS, path="/here", to={"respond": 418}),
        route("away", CORS, path="/away", to={"redirect": {"path": "/"}}),
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/gone", 502),
        ("/field", 502),
        ("/when", 502),
        ("/late", 502),
        ("/large", 413),
        ("/type", 415),
        ("/keepout", 403),
        ("/rest", 503),
        ("/here", 418),
        ("/away", 302),
        ("/nowhere", 404),
    ],
)
@pytest.mark.parametrize("pages", [{}, {"error_pages": {502: "<p>later</p>", 404: "<p>no</p>"}}])
def test_failures_can_be_read_by_pages(target: str, status: int, pages: dict[str, Any]) -> None:
    text = configuration(f"127.0.0.1:{free_port()}", *failing(), gateway={"policies": [CORS], **pages})
    with gateway(json.dumps(text)) as running:
        answer = ask(running, target, method="POST", headers=ORIGIN, body=b"12345")
        assert (answer.status, cors(answer)) == (status, SAYS)
        answer = ask(running, target, method="POST", headers=[f"Origin: {EVIL}"], body=b"12345")
        assert (answer.status, cors(answer)) == (status, {"vary": "Origin"})


def test_failures_say_nothing_where_no_policy_does() -> None:
    with gateway(json.dumps(configuration(f"127.0.0.1:{free_port()}", route("r", path="/")))) as running:
        answer = ask(running, headers=ORIGIN)
        assert (answer.status, answer.body, cors(answer)) == (502, b"502 Bad Gateway\n", {})


SCRIPT = """
window.seen = {};
const tell = (name, settings) => fetch(URL + name, settings).then(
  async answer => {
    window.seen[name] = [answer.status, answer.headers.get("x-price"), await answer.text()];
  },
  () => { window.seen[name] = "kept from the page"; });
const headers = {"Content-Type": "application/json", Authorization: "Bearer a"};
tell("/orders", {method: "PUT", body: "{}", headers});
tell("/denied", {method: "DELETE"});
tell("/gone", {});
tell("/closed", {});
"""


@pytest.mark.needs("chromium")
def test_a_real_browser_reads_what_it_may(tmp_path: Path) -> None:
    host = "shop.localhost"
    with endpoint(Reply(headers=[("X-Price", "12")], body=b"fine")) as upstream:
        port = free_port()
        page_of = f"http://{host}:{port}"
        policy = {"type": "cors", "origins": page_of, "exposed": "x-price"}
        nobody = {"type": "ip_deny", "addresses": ["0.0.0.0/0"]}
        page = {"respond": {"status": 200, "headers": {"content-type": "text/html"}, "body": "<p>a page"}}
        text = configuration(
            upstream.address,
            {"hosts": host, "path": "/", "to": page},
            route("orders", policy, match={"path": "/orders", "methods": ["PUT"]}),
            route("denied", policy, nobody, path="/denied"),
            route("gone", policy, path="/gone", to=f"http://127.0.0.1:{free_port()}"),
            route("closed", {**policy, "origins": "https://other.test"}, path="/closed"),
        )
        text["listeners"]["web"]["port"] = port
        file = tmp_path / "tidegate.yaml"
        file.write_text(json.dumps(text))
        with gateway(file) as running, browser(tmp_path / "profile", host) as tab:
            running_page = f"http://{host}:{running.port}"
            text = text | {"routes": json.loads(json.dumps(text["routes"]).replace(page_of, running_page))}
            file.write_text(json.dumps(text))
            running.reload(file)
            tab.open(running_page + "/")
            url = json.dumps(f"http://127.0.0.1:{running.port}")
            tab.evaluate(f"(() => {{ const URL = {url}; {SCRIPT} }})()")
            assert wait_until(lambda: tab.evaluate("Object.keys(window.seen).length") == 4, DEADLINE)
            seen = tab.evaluate("window.seen")
        assert seen["/orders"] == [200, "12", "fine"]
        assert seen["/denied"][0] == 403 and "the client's address is denied" in seen["/denied"][2]
        assert seen["/gone"][0] == 502
        assert seen["/closed"] == "kept from the page"
        assert sorted(message.method for message in upstream.messages) == ["GET", "PUT"]
