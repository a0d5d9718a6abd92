# SPDX-License-Identifier: Apache-2.0
"""What is served over the other versions is served over HTTP/3: heads, content both ways, trailers, files."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http3.client import Answer, client
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import Reply, endpoint, gateway

LARGE = 2 << 20
CHUNKED = [("Transfer-Encoding", "chunked")]
Web = Callable[..., dict[str, Any]]


def test_it_is_spoken_and_the_log_says_so(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web())) as running:
        with client(running, authority) as connected:
            answers = [connected.ask("/") for _ in range(3)]
        assert [(answer.status, bytes(answer.body)) for answer in answers] == [(200, b"here")] * 3
        entry = running.log(3)[-1]
        assert (entry["protocol"], entry["status"], entry["tls"]) == ("HTTP/3", 200, "TLSv1.3")
        assert entry["client"] == "127.0.0.1"


def test_the_endpoint_sees_the_request_and_the_client_the_response(authority: Authority, web: Web) -> None:
    reply = Reply(headers=[("X-Answer", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], body=b"yes")
    with endpoint(reply) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            answer = connected.ask(
                "/a%20b?q=1", headers=[("x-given", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
            )
            [message] = upstream.wait_for(1)
    assert message.target == "/a%20b?q=1"
    assert message.get("host") == "localhost"
    assert message.get("x-given") == "2"
    assert message.all("cookie") == ["a=1; b=2"]
    assert message.get("via") == "3 tidegate"
    assert message.get("x-forwarded-proto") == "https"
    assert message.get("x-forwarded-for") == "127.0.0.1"
    assert (answer.status, bytes(answer.body)) == (200, b"yes")
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert answer.get("x-answer") == "1"
    assert answer.get("content-length") == "3"
    assert answer.get("via") == "1.1 tidegate"
    assert answer.get("date")
    assert answer.get("alt-svc") is None
    assert not {"connection", "transfer-encoding", "keep-alive"} & {name for name, _ in answer.headers}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_is_where_it_belongs(authority: Authority, web: Web, method: str) -> None:
    for status in (200, 204, 304, 404, 503):
        with endpoint(Reply(status, body=b"" if status in (204, 304) else b"content")) as upstream:
            text = tls.configuration(web(), {"path": "/", "to": upstream.url})
            with gateway(text) as running, client(running, authority) as connected:
                answers = connected.wait(*(connected.send("/", method=method) for _ in range(3)))
        for answer in answers:
            assert (answer.status, answer.ended) == (status, True)
            expected = b"" if method == "HEAD" or status in (204, 304) else b"content"
            assert bytes(answer.body) == expected


def content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@pytest.mark.parametrize("is_told", [True, False])
def test_content_goes_up_unchanged(authority: Authority, web: Web, is_told: bool) -> None:
    lengths = [0, 1, 16_384, 100_000, LARGE]
    with endpoint() as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url, "body_size": "20MiB"})
        with gateway(text) as running, client(running, authority) as connected:
            for length in lengths:
                told = [("content-length", str(length))] if is_told else []
                body = content(length)
                assert connected.ask("/up", method="POST", headers=told, body=body).status == 200
            messages = upstream.wait_for(len(lengths))
    for length, message in zip(lengths, messages, strict=True):
        assert message.body == content(length)
        if is_told:
            assert message.get("content-length") == str(length)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_content_comes_down_unchanged(authority: Authority, web: Web, framing: str) -> None:
    for length in (0, 1, 16_384, 100_000, LARGE):
        body = content(length)
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
            text = tls.configuration(web(), {"path": "/", "to": upstream.url})
            with gateway(text) as running, client(running, authority) as connected:
                answer = connected.ask("/")
        assert (answer.status, answer.ended) == (200, True)
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


def test_trailers_go_both_ways(authority: Authority, web: Web) -> None:
    reply = Reply(headers=CHUNKED, body=b"2\r\nok\r\n0\r\nX-Sum: down\r\n\r\n")
    with endpoint(reply) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            answer = connected.ask("/", method="POST", body=b"up", trailers=[("x-sum", "up")])
            [message] = upstream.wait_for(1)
    assert (bytes(answer.body), answer.trailers) == (b"ok", [("x-sum", "down")])
    assert (message.body, list(message.trailers)) == (b"up", [(b"x-sum", b"up")])


def test_interim_responses_are_passed_on(authority: Authority, web: Web) -> None:
    with endpoint(Reply(interim=[103, 103])) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            answer = connected.ask("/")
    assert (answer.interim, answer.status) == ([103, 103], 200)


def test_content_that_is_held_back_is_asked_for(authority: Authority, web: Web) -> None:
    with endpoint() as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            expects = [("expect", "100-continue"), ("content-length", "4")]
            stream = connected.send("/", method="POST", headers=expects, ends=False)
            while not connected.answers[stream].interim:
                assert connected.step()
            connected.upload(stream, b"held")
            [answer] = connected.wait(stream)
            [message] = upstream.wait_for(1)
    assert (answer.interim, answer.status, message.body) == ([100], 200, b"held")


def test_requests_of_one_connection_are_balanced_one_by_one(authority: Authority, web: Web) -> None:
    with endpoint() as first, endpoint() as second:
        both = {"endpoints": [first.address, second.address], "balancing": "round_robin"}
        text = tls.configuration(web(), {"path": "/", "to": "both"}, backends={"both": both})
        with gateway(text) as running, client(running, authority) as connected:
            connected.wait(*(connected.send("/") for _ in range(20)))
            assert [len(each.messages) for each in (first, second)] == [10, 10]


def test_a_response_that_is_late_keeps_no_other_waiting(authority: Authority, web: Web) -> None:
    held = threading.Event()
    with endpoint(delay=held) as late, endpoint(Reply(body=b"at once")) as prompt:
        text = tls.configuration(web(), {"path": "/late", "to": late.url}, {"path": "/", "to": prompt.url})
        with gateway(text) as running, client(running, authority) as connected:
            waiting = [connected.send("/late") for _ in range(3)]
            late.wait_for(3)
            assert [bytes(connected.ask("/").body) for _ in range(20)] == [b"at once"] * 20
            held.set()
            assert [answer.status for answer in connected.wait(*waiting)] == [200] * 3


def test_many_large_responses_share_a_connection(authority: Authority, web: Web) -> None:
    body = content(200_000)
    with endpoint(Reply(body=body)) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running, client(running, authority) as connected:
            answers = connected.wait(*(connected.send(f"/{number}") for number in range(20)))
    assert all(bytes(answer.body) == body for answer in answers)


def test_files_redirects_and_errors_are_served(authority: Authority, web: Web, tmp_path: Path) -> None:
    file = content(500_000)
    (tmp_path / "www").mkdir()
    (tmp_path / "www/large.bin").write_bytes(file)
    text = tls.configuration(
        web(proxy_status=True),
        {"path": "/", "to": {"files": {"root": str(tmp_path / "www")}}},
        {"path": "/moved", "to": {"redirect": {"path": "/there"}}},
        {"path": "/down", "to": "http://127.0.0.1:1"},
    )
    with gateway(text) as running, client(running, authority) as connected:
        assert connected.ask("/large.bin").body == file
        ranged = connected.ask("/large.bin", headers=[("range", "bytes=100000-100009")])
        assert (ranged.status, bytes(ranged.body)) == (206, file[100_000:100_010])
        moved = connected.ask("/moved")
        assert (moved.status, moved.get("location")) == (302, "https://localhost/there")
        down = connected.ask("/down")
        assert (down.status, bytes(down.body)) == (502, b"502 Bad Gateway\n")
        assert down.get("proxy-status") == "tidegate; error=connection_refused"
        missing = connected.ask("/nothing")
        assert (missing.status, bytes(missing.body)) == (404, b"404 Not Found\n")
        head = connected.ask("/nothing", method="HEAD")
        assert (head.status, bytes(head.body), head.ended) == (404, b"", True)


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


def test_no_route_is_another_answer_than_a_wrong_request(authority: Authority, web: Web) -> None:
    text = tls.configuration(web(), tls.HERE | {"path": "/here"})
    with gateway(text) as running, client(running, authority) as connected:
        streams = [connected.send(path) for path in ("/here", "/there", "/%zz", "/" + "a" * 9000)]
        assert statuses(connected.wait(*streams)) == [200, 404, 400, 414]


def test_an_upload_goes_no_faster_than_its_endpoint_takes_it(authority: Authority, web: Web) -> None:
    body = content(4 << 20)
    with socket.create_server(("127.0.0.1", 0)) as slow, endpoint() as upstream:
        slow.settimeout(tls.TIMEOUT)
        url = f"http://127.0.0.1:{slow.getsockname()[1]}"
        routes = [{"path": "/slow", "to": url}, {"path": "/", "to": upstream.url}]
        with gateway(tls.configuration(web(), *routes)) as running, client(running, authority) as connected:
            length = [("content-length", str(len(body)))]
            stream = connected.send("/slow", method="POST", headers=length, body=body)
            inner = slow.accept()[0]
            inner.settimeout(tls.TIMEOUT)
            # Nobody reads there: what came is held where QUIC's windows end, and other requests go on.
            assert statuses([connected.ask("/") for _ in range(20)]) == [200] * 20
            seen = b""
            while len(seen) < len(body):
                inner.settimeout(0.05)
                try:
                    seen += inner.recv(1 << 20)
                except TimeoutError:
                    connected.step(0.05)
                    continue
                if b"\r\n\r\n" in seen[:4096]:
                    seen = seen.partition(b"\r\n\r\n")[2]
                connected.step(0)
            inner.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            [answer] = connected.wait(stream)
            inner.close()
    assert (answer.status, seen == body) == (200, True)


def test_the_other_versions_say_that_it_is_spoken(authority: Authority, web: Web) -> None:
    own = Reply(headers=[("Alt-Svc", 'h3=":9"')])
    with endpoint(own) as upstream:
        routes = [tls.HERE, {"path": "/own", "to": upstream.url}]

        def said(path: str = "/", **more: object) -> list[str]:
            with (
                gateway(tls.configuration(web(**more), *routes)) as running,
                tls.secured(running, authority.client()) as connected,
            ):
                head = tls.ask(connected, path=path)[0].decode().lower()
                told = f'h3=":{running.port}"; ma='
                lines = [line for line in head.split("\r\n") if line.startswith("alt-svc:")]
                return [line.partition(": ")[2].replace(told, "here ") for line in lines]

        assert said() == ["here 86400"]
        assert said(http3={"max_age": "1h", "port": 8}) == ['h3=":8"; ma=3600']
        assert said(http3={"advertise": False}) == []
        assert said(http3=False) == []
        assert said("/own") == ['h3=":9"']
        assert said("/nothing") == ["here 86400"]
