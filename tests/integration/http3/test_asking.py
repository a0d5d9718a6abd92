# SPDX-License-Identifier: Apache-2.0
"""Our own client of HTTP/2 and HTTP/3, which the demo's tour asks with: it believes nobody unasked."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate import _engine
from tidegate.testing import Reply, RunningGateway, endpoint, gateway

Web = Callable[..., dict[str, Any]]
Told = tuple[str, int, list[tuple[str, str]], bytes]
LARGE = 3 << 20
"""More than the windows of a connection."""


def ask(
    running: RunningGateway | int, authority: Authority, version: str, path: str = "/", **more: Any
) -> Told:
    port = running if isinstance(running, int) else running.port
    asked: dict[str, Any] = {
        "server_name": "localhost",
        "authority": f"localhost:{port}",
        "fields": [],
        "authorities": authority.file.read_text(),
        "patience": 60.0,
    }
    return _engine.ask(**{"version": version, "address": f"127.0.0.1:{port}", "path": path, **asked, **more})


@pytest.fixture(params=["2", "3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_asks_and_tells_what_was_agreed_on(authority: Authority, web: Web, version: str) -> None:
    reply = Reply(status=404, headers=[("X-Answer", "1"), ("X-Answer", "2")], body=b"gone")
    with endpoint(reply) as upstream:
        text = tls.configuration(web(), {"path": "/", "to": upstream.url})
        with gateway(text) as running:
            told = ask(running, authority, version, "/a%20b?q=1", fields=[("X-Given", "3")])
            entry = running.log(1)[-1]
        [message] = upstream.wait_for(1)
    protocol, status, fields, body = told
    assert (protocol, status, body) == (f"h{version}", 404, b"gone")
    assert [value for name, value in fields if name == "x-answer"] == ["1", "2"]
    assert (entry["protocol"], entry["tls"]) == ({"2": "HTTP/2", "3": "HTTP/3"}[version], "TLSv1.3")
    assert (message.target, message.get("x-given")) == ("/a%20b?q=1", "3")
    assert message.get("host") == f"localhost:{running.port}"


def test_content_is_larger_than_any_window(
    authority: Authority, web: Web, version: str, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (LARGE // 256)
    (tmp_path / "large").write_bytes(content)
    text = tls.configuration(web(), {"path": "/", "to": {"files": {"root": str(tmp_path)}}})
    with gateway(text) as running:
        assert ask(running, authority, version, "/large")[3] == content


def test_who_can_not_be_believed_is_not_asked(
    web: Web, version: str, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "a stranger", "stranger")
    with endpoint() as upstream:
        with gateway(tls.configuration(web(), {"path": "/", "to": upstream.url})) as running:
            with pytest.raises(ConnectionError, match="signed by an unknown issuer, `a test's authority`"):
                ask(running, stranger, version)
            with pytest.raises(
                ConnectionError,
                match=r"^the endpoint's certificate is not for `other\.example` but for `localhost`",
            ):
                ask(running, authority, version, server_name="other.example")
            # Nor is one who is known to nobody but his own authority, by those of the system.
            with pytest.raises((ConnectionError, ValueError)):
                ask(running, authority, version, authorities=None)
            assert ask(running, authority, version)[1] == 200
        assert len(upstream.messages) == 1


def test_who_does_not_speak_it_is_told_at_once(authority: Authority, web: Web) -> None:
    begin = time.monotonic()
    with gateway(tls.configuration({**web(), "http3": False, "http2": False})) as running:
        with pytest.raises(ConnectionError, match="nobody speaks QUIC there"):
            ask(running, authority, "3")
        with pytest.raises(ConnectionError):
            ask(running, authority, "2")
    with pytest.raises(ConnectionError, match="refused"):
        ask(running.port, authority, "2")
    assert time.monotonic() - begin < 50, "none of it waits for the patience of a minute"


def test_who_says_nothing_is_waited_for_and_no_longer(authority: Authority, version: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with socket.socket(type=socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", port))
            with pytest.raises(ConnectionError, match="no answer within"):
                ask(port, authority, version, patience=0.3)


def test_what_can_not_be_asked_is_said(authority: Authority) -> None:
    with pytest.raises(ValueError, match="2 or 3"):
        ask(1, authority, "1.1")
    with pytest.raises(ValueError, match="IP:port"):
        ask(1, authority, "2", address="localhost")
    with pytest.raises(ValueError, match="PEM"):
        ask(1, authority, "2", authorities="nothing")
    with pytest.raises(ValueError, match="x-a"):
        ask(1, authority, "2", fields=[("x-a", "a\r\nb")])
