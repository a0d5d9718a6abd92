# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: each is with the client before the next is made, whatever is spoken on either side."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from curl_cffi import CurlHttpVersion
from curl_cffi.requests import Session

from tests.integration.http2 import server as http2
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import gateway

TIMEOUT = 30.0
EVENTS = 4
VERSIONS = [CurlHttpVersion.V1_1, CurlHttpVersion.V2TLS, CurlHttpVersion.V3ONLY]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(number: int) -> bytes:
    return b"data: %d\n\n" % number


@contextmanager
def http1_origin(seen: threading.Semaphore) -> Iterator[int]:
    """Answers one request with events, each made when the one before has been `seen`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(HEAD)
            for number in range(EVENTS):
                text = event(number)
                connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))
                assert seen.acquire(timeout=TIMEOUT)
            connection.sendall(b"0\r\n\r\n")

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield listening.getsockname()[1]
    finally:
        serving.join()
        listening.close()


@contextmanager
def http2_origin(seen: threading.Semaphore) -> Iterator[int]:
    """The same over HTTP/2."""

    def reply(connection: http2.Connection, asked: http2.Asked) -> None:
        connection.head(asked, headers=[("content-type", "text/event-stream")])
        for number in range(EVENTS):
            connection.data(asked, event(number))
            assert seen.acquire(timeout=TIMEOUT)
        connection.data(asked, b"", ends=True)

    with http2.origin(reply) as upstream:
        yield upstream.port


@pytest.mark.parametrize("version", VERSIONS, ids=["http1", "http2", "http3"])
@pytest.mark.parametrize("origin", [http1_origin, http2_origin])
def test_an_event_comes_before_the_next_is_made(
    authority: Authority, web: Callable[..., dict[str, Any]], version: CurlHttpVersion, origin: Any
) -> None:
    seen = threading.Semaphore(0)
    with origin(seen) as port:
        backend = {"endpoints": [f"127.0.0.1:{port}"], "http2": origin is http2_origin}
        text = tls.configuration(web(), {"path": "/", "to": "b"}, backends={"b": backend})
        with gateway(text) as running, Session() as session:
            answer = session.get(
                f"https://localhost:{running.port}/events",
                http_version=version,
                verify=str(authority.file),
                timeout=TIMEOUT,
                stream=True,
            )
            assert answer.headers["content-type"] == "text/event-stream"
            came = b""
            for piece in answer.iter_content():
                came += piece
                if came.endswith(b"\n\n"):
                    seen.release()
            assert came == b"".join(event(number) for number in range(EVENTS))
            answer.close()
