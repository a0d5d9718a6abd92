# SPDX-License-Identifier: Apache-2.0
"""Health checks by calls of gRPC, against a server of gRPC's own library."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.http2.server import Asked, Connection, origin
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import RunningGateway, endpoint, gateway, wait_until

PATIENCE = 30.0
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class Server:
    """A server whose health a test changes: an answer of the health service, or a code to end it with."""

    def __init__(self, health: bytes | grpc.StatusCode | None, shown: Pair | None = None) -> None:
        self.health = health
        self.asked: list[bytes] = []
        """Questions of health."""
        self.served = 0
        """Calls that were no questions of health."""
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=(self,))
        if shown is None:
            self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([(shown.key.read_bytes(), shown.cert.read_bytes())])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def service(self, details: Any) -> Any:
        """The handler of a call, for gRPC's library."""
        is_health = details.method == "/grpc.health.v1.Health/Check"
        if is_health and self.health is None:
            return None
        return grpc.unary_unary_rpc_method_handler(self._check if is_health else self._serve)

    def _check(self, message: bytes, context: Any) -> bytes:
        self.asked.append(message)
        if isinstance(self.health, grpc.StatusCode):
            context.abort(self.health, "as the test wants it")
        assert isinstance(self.health, bytes)
        return self.health

    def _serve(self, message: bytes, context: Any) -> bytes:
        self.served += 1
        return message

    def stop(self) -> None:
        """Ends it at once."""
        self._server.stop(None).wait()


@contextmanager
def server(health: bytes | grpc.StatusCode | None = SERVING, shown: Pair | None = None) -> Iterator[Server]:
    """A server for a while."""
    running = Server(health, shown)
    try:
        yield running
    finally:
        running.stop()


def text(*addresses: str, backend: Any = (), **check: Any) -> str:
    """A configuration whose endpoints are checked often."""
    often = {"interval": "50ms", "timeout": "20s", "healthy_after": 1, "unhealthy_after": 1}
    told = {
        "endpoints": list(addresses),
        "http2": True,
        "balancing": "round_robin",
        "passive_health": {"enabled": False},
        "health_check": {"type": "grpc", **often, **check},
        **dict(backend),
    }
    return json.dumps(
        {
            "listeners": {"web": {"port": 60_080, "http2": True}},
            "backends": {"b": told},
            "routes": [{"type": "grpc", "to": "b"}],
        }
    )


def states(running: RunningGateway) -> list[tuple[str, str]]:
    """What checks say of each endpoint, and why the last one failed."""
    each = running.status()["backends"][0]["endpoints"]
    return [(str(one["health"]), str(one["check_failed"])) for one in each]


def settled(running: RunningGateway) -> tuple[str, str]:
    """The state of the one endpoint once a check has ended."""
    assert wait_until(lambda: states(running)[0][0] != "unchecked", PATIENCE)
    return states(running)[0]


UNWELL = [
    (NOT_SERVING, "the service `shop.v1.Cart` does not serve (NOT_SERVING)"),
    (SERVICE_UNKNOWN, "it does not know the service `shop.v1.Cart` (SERVICE_UNKNOWN)"),
    (b"", "whether the service `shop.v1.Cart` serves is not known (UNKNOWN)"),
    (b"\xff", "its answer is no HealthCheckResponse"),
    (None, "it has no health service, grpc.health.v1.Health (unimplemented)"),
    (grpc.StatusCode.NOT_FOUND, "it does not know the service `shop.v1.Cart` (not_found)"),
    (grpc.StatusCode.UNAUTHENTICATED, "its health service may not be asked by us (unauthenticated)"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "asked for its health, it answered resource_exhausted"),
]


@pytest.mark.parametrize(("health", "why"), UNWELL)
def test_all_but_serving_is_down_and_says_why(health: bytes | grpc.StatusCode | None, why: str) -> None:
    with (
        server(health) as upstream,
        gateway(text(f"127.0.0.1:{upstream.port}", service="shop.v1.Cart"), threads=1) as running,
    ):
        assert settled(running) == ("down", why)
        said = f"endpoint 127.0.0.1:{upstream.port} of b is down: {why}"
        assert wait_until(lambda: said in running.output(), PATIENCE)


def test_it_asks_for_the_service_of_the_settings() -> None:
    with server() as upstream:
        address = f"127.0.0.1:{upstream.port}"
        with gateway(text(address, service="shop.v1.Cart"), threads=1) as running:
            assert settled(running) == ("up", "")
            assert upstream.asked[-1] == b"\x0a\x0cshop.v1.Cart"
            running.reload(text(address))
            assert wait_until(lambda: upstream.asked[-1] == b"", PATIENCE)


def test_an_endpoint_gets_no_calls_while_it_does_not_serve() -> None:
    with server() as well, server() as changing:
        addresses = [f"127.0.0.1:{each.port}" for each in (well, changing)]
        with (
            gateway(text(*addresses), threads=2) as running,
            grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            call = channel.unary_unary("/shop.v1.Cart/Add")

            def calls(count: int) -> None:
                for number in range(count):
                    assert call(b"%d" % number, timeout=PATIENCE) == b"%d" % number

            assert wait_until(lambda: states(running) == [("up", "")] * 2, PATIENCE)
            for _ in range(2):
                before = changing.served
                calls(10)
                assert changing.served > before
                changing.health = NOT_SERVING
                assert wait_until(lambda: states(running)[1][0] == "down", PATIENCE)
                before = changing.served
                calls(10)
                assert changing.served == before
                changing.health = SERVING
                assert wait_until(lambda: states(running)[1] == ("up", ""), PATIENCE)


def test_over_tls_it_asks_as_calls_do(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.pair("localhost")
    tls = {"tls": {"ca": str(authority.file)}}
    with (
        server(shown=shown) as upstream,
        gateway(text(f"localhost:{upstream.port}", backend=tls), threads=1) as running,
    ):
        assert settled(running) == ("up", "")
        upstream.health = NOT_SERVING
        assert wait_until(
            lambda: states(running) == [("down", "the server does not serve (NOT_SERVING)")], PATIENCE
        )


def test_a_certificate_that_is_not_trusted_is_down(tmp_path: Path) -> None:
    shown = Authority(tmp_path).pair("localhost")
    other = Authority(tmp_path, file="other")
    tls = {"tls": {"ca": str(other.file)}}
    with (
        server(shown=shown) as upstream,
        gateway(text(f"localhost:{upstream.port}", backend=tls), threads=1) as running,
    ):
        health, why = settled(running)
        assert health == "down" and "certificate" in why
        assert upstream.asked == []


def test_a_server_of_http_1_is_down() -> None:
    with endpoint() as upstream, gateway(text(upstream.address), threads=1) as running:
        assert settled(running) == ("down", "it answered in HTTP/1.1, without TLS")


def test_one_that_does_not_answer_in_time_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with gateway(text(address, timeout="300ms"), threads=1) as running:
            assert settled(running) == ("down", "no answer in time")


def test_the_authority_is_that_of_the_settings() -> None:
    def serving(connection: Connection, asked: Asked) -> None:
        content = [("content-type", "application/grpc")]
        connection.answer(asked, 200, content, b"\0\0\0\0\x02" + SERVING, [("grpc-status", "0")])

    with (
        origin(serving) as upstream,
        gateway(text(f"127.0.0.1:{upstream.port}", host="shop.test"), threads=1) as running,
    ):
        assert settled(running) == ("up", "")
        asked = upstream.wait_for(1)[0]
        assert asked.get(":authority") == "shop.test"
        assert (asked.get(":path"), asked.get("te")) == ("/grpc.health.v1.Health/Check", "trailers")
        assert asked.get("content-length") is None and asked.get("transfer-encoding") is None
