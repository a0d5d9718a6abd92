# SPDX-License-Identifier: Apache-2.0
"""Pages of other sites that make calls: what browsers are told, and what a real one makes of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.integration.apps.browser import DEADLINE, Page, browser
from tests.integration.grpc.calls import CONTENT, message, reply
from tests.integration.grpc.web import Answer, call, configuration
from tests.integration.http2.server import Asked, Connection, origin
from tests.ports import free_port
from tidegate.testing import RunningGateway, gateway, wait_until

SHOP = "https://shop.test"
SENT = "content-type, x-grpc-web, x-user-agent, grpc-timeout"
READ = "grpc-status, grpc-message, grpc-status-details-bin"
TOLD = ("access-control-", "vary")


def cors(answer: Answer) -> dict[str, str]:
    """What an answer says of it."""
    found = [(key.lower(), value) for key, value in answer.headers if key.lower().startswith(TOLD)]
    assert len(dict(found)) == len(found), found
    return dict(found)


def asks(running: RunningGateway, origin: str, **more: str) -> Answer:
    """A browser asks whether a page may call."""
    asked = "Access-Control-Request-"
    fields = {"Origin": origin, f"{asked}Method": "POST", f"{asked}Headers": "x-a"}
    return call(running, method="OPTIONS", body=b"", headers=[*fields.items(), *more.items()])


def web(**settings: Any) -> dict[str, Any]:
    return {"cors": {"origins": [SHOP, "https://*.shop.test"], **settings}}


def test_a_listed_page_may_call_and_read() -> None:
    settings = web(headers=["authorization"], exposed=["x-price"], credentials=True, max_age="1h")
    with origin(reply) as upstream, gateway(configuration(upstream.port, settings)) as running:
        asked = asks(running, SHOP)
        assert (asked.status, asked.body) == (204, b"")
        assert cors(asked) == {
            "access-control-allow-origin": SHOP,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": f"{SENT}, authorization",
            "access-control-max-age": "3600",
            "vary": "Origin",
        }
        assert not upstream.asked
        for page in (SHOP, "https://beta.shop.test"):
            answer = call(running, headers=[("origin", page)])
            assert (answer.messages, answer.told[0]) == ([b"in"], "0")
            assert cors(answer) == {
                "access-control-allow-origin": page,
                "access-control-allow-credentials": "true",
                "access-control-expose-headers": f"{READ}, x-price",
                "vary": "Origin",
            }


@pytest.mark.parametrize(
    "page",
    ["https://evil.test", "http://shop.test", "https://shop.test.evil.test", "https://xshop.test", "null"],
)
def test_others_are_told_nothing(page: str) -> None:
    with origin(reply) as upstream, gateway(configuration(upstream.port, web())) as running:
        assert cors(asks(running, page)) == {"vary": "Origin"}
        assert cors(call(running, headers=[("origin", page)])) == {"vary": "Origin"}
        assert cors(call(running)) == {"vary": "Origin"}


def test_every_page_may_where_it_says_so() -> None:
    settings = {"cors": {"origins": "*"}}
    with origin(reply) as upstream, gateway(configuration(upstream.port, settings)) as running:
        assert cors(asks(running, "https://any.test"))["access-control-allow-origin"] == "*"
        told = cors(call(running, headers=[("origin", "https://any.test")]))
        assert told["access-control-allow-origin"] == "*"
        assert "vary" not in told and "access-control-allow-credentials" not in told
        assert cors(call(running)) == {}


def test_refusals_can_be_read_as_well() -> None:
    with gateway(configuration(free_port(), web())) as running:
        answer = call(running, headers=[("origin", SHOP)])
        assert answer.told == ("14", "Bad Gateway")
        assert cors(answer)["access-control-allow-origin"] == SHOP
        assert "grpc-status" in cors(answer)["access-control-expose-headers"]


def test_what_an_endpoint_says_of_it_gives_way() -> None:
    own = [("access-control-allow-origin", "https://evil.test"), ("vary", "accept, Origin")]

    def answers(connection: Connection, asked: Asked) -> None:
        connection.answer(asked, 200, [CONTENT, *own], message(b"a"), [("grpc-status", "0")])

    with origin(answers) as upstream:
        with gateway(configuration(upstream.port, web())) as running:
            told = cors(call(running, headers=[("origin", SHOP)]))
            assert (told["access-control-allow-origin"], told["vary"]) == (SHOP, "accept, Origin")
            assert cors(call(running, headers=[("origin", "https://evil.test")])) == {
                "vary": "accept, Origin"
            }
        # Without the setting it is the endpoint's business.
        with gateway(configuration(upstream.port)) as running:
            told = cors(call(running, headers=[("origin", SHOP)]))
            assert told["access-control-allow-origin"] == "https://evil.test"


def test_questions_belong_to_their_route_alone() -> None:
    text = json.loads(configuration(free_port(), web(), route={"match": "shop.v1.Cart"}))
    text["routes"][0]["clients"] = {"deny": ["192.0.2.1"]}
    text["routes"].append({"path": "/", "to": {"respond": {"status": 200, "body": "site"}}})
    with gateway(json.dumps(text)) as running:
        assert asks(running, SHOP).status == 204
        other = call(running, "/other", method="OPTIONS", body=b"", headers=[("origin", SHOP)])
        assert (other.status, other.body) == (200, b"site")
        # No question, though by the same method.
        plain = call(running, method="OPTIONS", body=b"")
        assert (plain.status, plain.body) == (200, b"site")
        assert [entry["route"] for entry in running.log(3)] == ["calls preflight", "/", "/"]


def test_a_client_that_may_not_come_in_may_not_ask_either() -> None:
    text = json.loads(configuration(free_port(), web()))
    text["routes"][0]["clients"] = {"allow": ["192.0.2.0/24"]}
    with gateway(json.dumps(text)) as running:
        assert call(running, headers=[("origin", SHOP)]).told[0] == "7"
        assert asks(running, SHOP).status == 403


def test_explain_says_who_may() -> None:
    asked = {"url": "http://localhost/shop.v1.Cart/Add", "listener": "web"}
    with gateway(configuration(free_port(), web())) as running:
        for page, told in ((SHOP, SHOP), ("https://evil.test", None)):
            headers = [["access-control-request-method", "POST"], ["origin", page]]
            decision = running.explain({**asked, "method": "OPTIONS", "headers": headers})
            assert (decision["status"], decision["by"], decision["origin"]) == (204, "cors", told)
        headers = [["content-type", "application/grpc-web-text+proto"]]
        decision = running.explain({**asked, "method": "POST", "headers": headers})
        assert (decision["outcome"], decision["backend"]) == ("forward", "shop")
        assert "application/grpc+proto" in json.dumps(decision["upstream"])


SCRIPT = """
window.seen = [];
window.ended = null;
const asked = new XMLHttpRequest();
asked.open("POST", URL);
asked.setRequestHeader("Content-Type", "application/grpc-web-text");
asked.setRequestHeader("X-Grpc-Web", "1");
asked.setRequestHeader("X-User-Agent", "grpc-web-javascript/0.1");
asked.setRequestHeader("Authorization", "Bearer a");
asked.onprogress = () => window.seen.push(asked.responseText);
const field = name => asked.getResponseHeader(name);
asked.onloadend = () => {
  const fields = ["x-price", "grpc-status", "x-hidden"].map(field);
  window.ended = [asked.status, asked.responseText, ...fields];
};
asked.send("AAAAAAA=");
"""


@pytest.mark.needs("chromium")
def test_a_real_browser_calls_from_another_site(tmp_path: Path) -> None:
    """It asks first, reads messages as they come, and keeps answers from pages that are not listed."""
    turn = threading.Event()

    def whole(connection: Connection, asked: Asked) -> None:
        more = [("x-price", "12"), ("x-hidden", "a")]
        if asked.get(":path") == "/shop.v1.Cart/Gone":
            connection.head(asked, 200, [CONTENT, *more, ("grpc-status", "5")], ends=True)
            return
        connection.head(asked, 200, [CONTENT, *more])
        connection.data(asked, message(b"first"))
        assert turn.wait(DEADLINE)
        connection.data(asked, message(b"second"))
        connection.trailers(asked, [("grpc-status", "0")])

    host = "shop.localhost"
    with origin(whole) as upstream:

        def text(page: str) -> str:
            settings = {"cors": {"origins": page, "headers": "authorization", "exposed": "x-price"}}
            whole = json.loads(configuration(upstream.port, settings))
            respond = {"status": 200, "headers": {"content-type": "text/html"}, "body": "<p>a page"}
            whole["routes"].append({"hosts": host, "path": "/", "to": {"respond": respond}})
            return json.dumps(whole)

        with gateway(text("https://other.test")) as running:
            page_of = f"http://{host}:{running.port}"

            def made(page: Page, method: str) -> None:
                url = json.dumps(f"http://127.0.0.1:{running.port}/shop.v1.Cart/{method}")
                page.evaluate(f"(() => {{ const URL = {url}; {SCRIPT} }})()")

            def ended(page: Page) -> Any:
                assert wait_until(lambda: page.evaluate("window.ended !== null"), DEADLINE)
                return page.evaluate("window.ended")

            with browser(tmp_path / "profile", host) as page:
                page.open(page_of + "/")
                made(page, "Gone")
                assert ended(page) == [0, "", None, None, None]
                assert not upstream.asked
                running.reload(text(page_of))
                made(page, "Gone")
                assert ended(page) == [200, "", "12", "5", None]
                made(page, "Watch")
                first = "AAAAAAVmaXJzdA=="
                assert wait_until(lambda: page.evaluate("window.seen").count(first) > 0, DEADLINE)
                turn.set()
                status, seen, *_ = ended(page)
                assert status == 200 and seen.startswith(first + "AAAAAAZzZWNvbmQ=")
        assert [asked.get("authorization") for asked in upstream.asked] == ["Bearer a"] * 2
        assert {asked.get("content-type") for asked in upstream.asked} == {"application/grpc"}
