# SPDX-License-Identifier: Apache-2.0
"""What is served over HTTP/1.1 is served over HTTP/2: heads, content both ways, trailers, many at a time."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from tests.integration.http2.client import HERE, Answer, client, configuration, secured
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import Reply, endpoint, gateway

LARGE = 10 << 20
CHUNKED = [("Transfer-Encoding", "chunked")]


def test_with_tls_it_is_agreed_on_and_the_log_says_so(authority: Authority, pair: Pair) -> None:
    with gateway(tls.configuration(pair.listener())) as running:
        with secured(running, authority.client()) as connected:
            answers = [connected.ask("/") for _ in range(3)]
        assert [(answer.status, bytes(answer.body)) for answer in answers] == [(200, b"here")] * 3
        entry = running.log(3)[-1]
        assert (entry["protocol"], entry["status"], entry["tls"]) == ("HTTP/2", 200, "TLSv1.3")


def test_without_tls_it_is_spoken_with_prior_knowledge_where_the_listener_says_so() -> None:
    with gateway(configuration()) as running, client(running) as connected:
        assert connected.ask("/").body == b"here"
    for refusing in (False, None):
        with gateway(configuration(listener={"http2": refusing})) as running, client(running) as connected:
            with pytest.raises(AssertionError, match="the connection ended"):
                connected.ask("/")
            assert running.log(1)[0]["status"] == 505


def test_a_listener_with_tls_may_leave_it_out(authority: Authority, pair: Pair) -> None:
    listener = {**pair.listener(), "http2": False}
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with gateway(tls.configuration(listener)) as running, tls.secured(running, context) as connected:
        assert connected.selected_alpn_protocol() == "http/1.1"
        assert tls.ask(connected)[1] == b"here"


def test_the_endpoint_sees_the_request_and_the_client_the_response() -> None:
    reply = Reply(headers=[("X-Answer", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], body=b"yes")
    with endpoint(reply) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answer = connected.ask(
                "/a%20b?q=1", headers=[("x-given", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
            )
            [message] = upstream.wait_for(1)
    assert message.target == "/a%20b?q=1"
    assert message.get("host") == "localhost"
    assert message.get("x-given") == "2"
    assert message.all("cookie") == ["a=1; b=2"]
    assert message.get("via") == "2 tidegate"
    assert message.get("x-forwarded-proto") == "http"
    assert (answer.status, bytes(answer.body)) == (200, b"yes")
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert answer.get("x-answer") == "1"
    assert answer.get("content-length") == "3"
    assert answer.get("via") == "1.1 tidegate"
    assert answer.get("date")
    assert not {"connection", "transfer-encoding", "keep-alive"} & {name for name, _ in answer.headers}


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_is_where_it_belongs(method: str, status: int) -> None:
    with endpoint(Reply(status, body=b"" if status in (204, 304) else b"content")) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answers = connected.wait(*(connected.send("/", method=method) for _ in range(3)))
    for answer in answers:
        assert (answer.status, answer.ended) == (status, True)
        assert bytes(answer.body) == (b"" if method == "HEAD" or status in (204, 304) else b"content")


@pytest.mark.parametrize("length", [0, 1, 16_384, 100_000, LARGE])
@pytest.mark.parametrize("is_told", [True, False])
def test_content_goes_up_unchanged(length: int, is_told: bool) -> None:
    body = bytes(range(256)) * (length // 256 + 1)
    body = body[:length]
    with endpoint() as upstream:
        text = configuration({"path": "/", "to": upstream.url, "body_size": "20MiB"})
        with gateway(text) as running, client(running) as connected:
            told = [("content-length", str(length))] if is_told else []
            assert connected.ask("/up", method="POST", headers=told, body=body).status == 200
            [message] = upstream.wait_for(1)
            assert message.body == body
            if is_told:
                assert message.get("content-length") == str(length)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("length", [0, 1, 16_384, 100_000, LARGE])
def test_content_comes_down_unchanged(length: int, framing: str) -> None:
    body = (bytes(range(256)) * (length // 256 + 1))[:length]
    match framing:
        case "length":
            reply: Reply | bytes = Reply(body=body)
        case "chunked":
            pieces = [body[start : start + 50_000] for start in range(0, length, 50_000)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            reply = Reply(headers=CHUNKED, body=chunks + b"0\r\n\r\n")
        case _:
            reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    with endpoint(reply, keep=framing != "close") as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answer = connected.ask("/")
    assert (answer.status, answer.ended) == (200, True)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


def test_trailers_go_both_ways() -> None:
    reply = Reply(headers=CHUNKED, body=b"2\r\nok\r\n0\r\nX-Sum: down\r\n\r\n")
    with endpoint(reply) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answer = connected.ask("/", method="POST", body=b"up", trailers=[("x-sum", "up")])
            [message] = upstream.wait_for(1)
    assert (bytes(answer.body), answer.trailers) == (b"ok", [("x-sum", "down")])
    assert (message.body, list(message.trailers)) == (b"up", [(b"x-sum", b"up")])


def test_interim_responses_are_passed_on() -> None:
    with endpoint(Reply(interim=[103, 103])) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answer = connected.ask("/")
    assert (answer.interim, answer.status) == ([103, 103], 200)


def test_content_that_is_held_back_is_asked_for() -> None:
    with endpoint() as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            expects = [("expect", "100-continue"), ("content-length", "4")]
            stream = connected.send("/", method="POST", headers=expects, ends=False)
            while not connected.answers[stream].interim:
                assert connected.step()
            connected.upload(stream, b"held")
            [answer] = connected.wait(stream)
            [message] = upstream.wait_for(1)
    assert (answer.interim, answer.status, message.body) == ([100], 200, b"held")


def test_requests_of_one_connection_are_balanced_one_by_one() -> None:
    with endpoint() as first, endpoint() as second:
        both = {"endpoints": [first.address, second.address], "balancing": "round_robin"}
        text = configuration({"path": "/", "to": "both"}, backends={"both": both})
        with gateway(text) as running, client(running) as connected:
            connected.wait(*(connected.send("/") for _ in range(20)))
            assert [len(each.messages) for each in (first, second)] == [10, 10]


def test_a_response_that_is_late_keeps_no_other_waiting() -> None:
    held = threading.Event()
    with endpoint(delay=held) as late, endpoint(Reply(body=b"at once")) as prompt:
        text = configuration({"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url})
        with gateway(text) as running, client(running) as connected:
            waiting = [connected.send("/late") for _ in range(3)]
            late.wait_for(3)
            assert [bytes(connected.ask("/").body) for _ in range(20)] == [b"at once"] * 20
            held.set()
            assert [answer.status for answer in connected.wait(*waiting)] == [200] * 3


def test_many_large_responses_share_a_connection() -> None:
    body = bytes(range(256)) * 4_000
    with endpoint(Reply(body=body)) as upstream:
        text = configuration({"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running) as connected:
            answers = connected.wait(*(connected.send(f"/{number}") for number in range(30)))
    assert all(bytes(answer.body) == body for answer in answers)


def test_files_redirects_and_errors_are_served(tmp_path: Path) -> None:
    content = bytes(range(251)) * 20_000
    (tmp_path / "www").mkdir()
    (tmp_path / "www/large.bin").write_bytes(content)
    text = configuration(
        {"path": "/", "to": {"files": {"root": str(tmp_path / "www")}}},
        {"path": "/moved", "to": {"redirect": {"path": "/there"}}},
        {"path": "/down", "to": "http://127.0.0.1:1"},
        listener={"proxy_status": True},
    )
    with gateway(text) as running, client(running) as connected:
        assert connected.ask("/large.bin").body == content
        ranged = connected.ask("/large.bin", headers=[("range", "bytes=100000-100009")])
        assert (ranged.status, bytes(ranged.body)) == (206, content[100_000:100_010])
        moved = connected.ask("/moved")
        assert (moved.status, moved.get("location")) == (302, "http://localhost/there")
        down = connected.ask("/down")
        assert (down.status, bytes(down.body)) == (502, b"502 Bad Gateway\n")
        assert down.get("proxy-status") == "tidegate; error=connection_refused"
        assert down.get("cache-control") == "no-store"
        missing = connected.ask("/nothing")
        assert (missing.status, bytes(missing.body)) == (404, b"404 Not Found\n")
        head = connected.ask("/nothing", method="HEAD")
        assert (head.status, bytes(head.body), head.ended) == (404, b"", True)


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


def test_no_route_is_another_answer_than_a_wrong_request() -> None:
    with gateway(configuration(HERE | {"path": "/here"})) as running, client(running) as connected:
        streams = [connected.send(path) for path in ("/here", "/there", "/%zz", "/" + "a" * 9000)]
        assert statuses(connected.wait(*streams)) == [200, 404, 400, 414]
