# SPDX-License-Identifier: Apache-2.0
"""What is read from an authority's answers, and whom one speaks with."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.integration.tls.authority import Authority
from tidegate.issuing.client import AuthorityError, Client


class Answering(http.server.BaseHTTPRequestHandler):
    """A directory, nonces, and one answer to everything else."""

    answer: ClassVar[tuple[int, dict[str, str], bytes]] = (200, {}, b"{}")
    site: ClassVar[str] = ""

    def _send(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Replay-Nonce": "nonce", **fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        names = ("newNonce", "newAccount", "newOrder")
        self._send(200, {}, json.dumps({name: f"{self.site}/{name}" for name in names}).encode())

    def do_HEAD(self) -> None:
        self._send(200, {}, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(*self.answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def trusted(tmp_path: Path) -> Iterator[str]:
    """The file that the site is trusted by."""
    own = Authority(tmp_path)
    pair = own.pair("localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Answering.site = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield str(own.file)
    server.shutdown()
    thread.join()
    server.server_close()


def failure(roots: str | None, url: str) -> AuthorityError:
    with pytest.raises(AuthorityError) as raised:
        Client(roots, "0").open_account(url, [], None)
    return raised.value


def test_an_authority_that_limits_says_for_how_long(trusted: str) -> None:
    limit = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many", "status": 429}
    Answering.answer = (429, {"Retry-After": "7200"}, json.dumps(limit).encode())
    found = failure(trusted, f"{Answering.site}/dir")
    assert (found.kind, str(found), found.retry_after) == ("rateLimited", "too many", 7200)


def test_answers_that_make_no_sense_are_no_crash(trusted: str) -> None:
    for status, body in ((200, b"<html>"), (400, b"\xff"), (500, b""), (201, b"[]"), (302, b"")):
        Answering.answer = (status, {}, body)
        assert failure(trusted, f"{Answering.site}/dir").kind


def test_a_site_that_is_not_trusted_or_not_there_is_named(trusted: str, tmp_path: Path) -> None:
    found = failure(None, f"{Answering.site}/dir")
    assert found.kind == "unreachable" and "gateway.acme.roots" in str(found)
    assert "refused" in str(failure(trusted, "https://localhost:1/dir"))
    before = Answering.site
    Answering.site = "http://localhost:1"
    assert "without TLS" in str(failure(trusted, f"{before}/dir"))
    with pytest.raises(AuthorityError, match="no PEM file"):
        Client(str(tmp_path / "missing.pem"), "0")
