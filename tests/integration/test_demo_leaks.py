# SPDX-License-Identifier: Apache-2.0
"""What the last step of the tour looks for is found wherever it is planted."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from tidegate.demo.client import Ledger, Pending, Told, request
from tidegate.demo.tour.leaks import leaks

HIDDEN = ("127.0.1.11:7070", "127.0.10.1:7080")
GOOD = Told(
    "/",
    200,
    "OK",
    [("content-type", "text/html"), ("x-served-by", "user-1"), ("location", "/users/7070")],
    b"see http://127.0.0.1:8080/, 127.0.1.110, 127.0.1.112:80, version 7070, 10.127.0.1.11x :70701",
)


def found(**change: object) -> list[str]:
    ledger = Ledger([GOOD, Told(**{**vars(GOOD), "path": "/x", **change})])
    return leaks(ledger, HIDDEN)


def test_what_tells_nothing_is_no_leak() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"head": [("Server", "gunicorn")]}, "Server: gunicorn"),
        ({"head": [("x-powered-by", "Express")]}, "x-powered-by: Express"),
        ({"head": [("Set-Cookie", "a=1"), ("Set-Cookie", "b@127.0.1.11")]}, "127.0.1.11 in Set-Cookie"),
        ({"head": [("Location", "http://127.0.10.1/x")]}, "127.0.10.1 in Location"),
        ({"head": [("Link", "<http://app:7070/>; rel=next")]}, ":7070 in Link"),
        ({"reason": "from 127.0.1.11"}, "127.0.1.11 in its reason"),
        ({"body": b"connect to 127.0.1.11 failed"}, "127.0.1.11 in its body"),
        ({"body": b'{"next": "http://inner:7080/2"}', "status": 502}, ":7080 in its body"),
    ],
)  # fmt: skip
def test_what_gives_a_service_away_is_found(change: dict[str, object], says: str) -> None:
    [leak] = found(**change)
    assert leak.startswith(f"/x: {says}")


class Talkative(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def talkative() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Talkative) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_answer_is_kept_whoever_reads_it(talkative: str) -> None:
    ledger = Ledger()
    assert request(talkative, "/some", ledger=ledger).status == 200
    assert request(talkative, "/none", ledger=ledger).status == 404
    Pending(talkative, "/late", ledger=ledger).finish()
    request(talkative, "/not-a-customer")
    request("127.0.0.1:1", "/nobody", ledger=ledger)
    assert [(told.path, told.status, told.body) for told in ledger.answers] == [
        ("/some", 200, b"hello"), ("/none", 404, b"hello"), ("/late", 200, b"hello"),
    ]  # fmt: skip
    assert len(leaks(ledger, HIDDEN)) == 3
