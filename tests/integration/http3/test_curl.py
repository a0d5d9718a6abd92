# SPDX-License-Identifier: Apache-2.0
"""curl, with the QUIC of ngtcp2 and the HTTP/3 of nghttp3: another client than aioquic."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from curl_cffi import CurlHttpVersion
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException

from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import Reply, RunningGateway, endpoint, gateway

TIMEOUT = 30.0
LARGE = bytes(range(256)) * (8 << 10)
HTTP3 = CurlHttpVersion.V3ONLY
Web = Callable[..., dict[str, Any]]


def ask(
    running: RunningGateway, authority: Authority, session: Session[Response], path: str, **more: Any
) -> Response:
    """One request, by HTTP/3 unless `version` says otherwise, of whom can prove to be localhost."""
    return session.request(
        more.pop("method", "GET"),
        f"https://localhost:{running.port}{path}",
        http_version=more.pop("version", HTTP3),
        verify=str(authority.file),  # type: ignore[arg-type]
        timeout=TIMEOUT,
        **more,
    )


def test_curl_asks_sends_and_takes_large_content(authority: Authority, web: Web, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    routes = [
        {"path": "/files", "to": {"files": str(tmp_path)}},
        {"path": "/", "to": {"respond": {"body": "here"}}},
    ]
    with endpoint(Reply(body=b"taken")) as upstream:
        routes.insert(0, {"path": "/up", "to": upstream.url})
        with gateway(tls.configuration(web(), *routes)) as running, Session() as session:
            answer = ask(running, authority, session, "/")
            assert (answer.status_code, answer.content, answer.http_version) == (
                200,
                b"here",
                CurlHttpVersion.V3,
            )
            answer = ask(running, authority, session, "/files/large")
            assert answer.content == LARGE
            answer = ask(running, authority, session, "/up", method="POST", data=LARGE)
            assert (answer.status_code, answer.content) == (200, b"taken")
            assert ask(running, authority, session, "/files/none").status_code == 404
            assert ask(running, authority, session, "/", method="HEAD").content == b""
            assert {entry["protocol"] for entry in running.log(5)} == {"HTTP/3"}
        assert upstream.wait_for(1)[0].body == LARGE


def test_curl_follows_what_is_said_of_http3(authority: Authority, web: Web) -> None:
    with gateway(tls.configuration(web())) as running, Session() as session:
        first = ask(running, authority, session, "/", version=CurlHttpVersion.V2TLS)
        assert (first.headers["alt-svc"] or "").startswith(f'h3=":{running.port}"')
        # Both are tried, and the first to stand is used.
        assert ask(running, authority, session, "/", version=CurlHttpVersion.V3).status_code == 200


def test_many_of_curls_connections_at_a_time(authority: Authority, web: Web) -> None:
    def one(_: int) -> tuple[int, bytes]:
        with Session() as session:
            answer = ask(running, authority, session, "/")
            return answer.status_code, answer.content

    threads = concurrent.futures.ThreadPoolExecutor(8)
    with gateway(tls.configuration(web())) as running, threads as several:
        assert list(several.map(one, range(24))) == [(200, b"here")] * 24


def test_curl_believes_nobody_else(authority: Authority, web: Web, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another authority", "other")
    with gateway(tls.configuration(web())) as running, Session() as session:
        with pytest.raises(RequestException):
            ask(running, other, session, "/")
        assert ask(running, authority, session, "/").status_code == 200
