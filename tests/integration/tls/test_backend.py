# SPDX-License-Identifier: Apache-2.0
"""TLS to endpoints: who they are is verified, and inside of it is spoken what is spoken without it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from typing import Any

import pytest

from tests.integration.supervised import supervised
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.backends import asked, backend, configuration, handshakes, local, trusts
from tests.integration.tls.client import TIMEOUT, ask, connect, entries, request
from tidegate.testing import Reply, RunningGateway, endpoint, gateway, wait_until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_requests_follow_each_other_on_a_connection_to_an_endpoint(
    authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    with endpoint(tls=pair.origin(version)) as origin:
        with gateway(configuration(local(origin.port), tls=trusts(authority))) as running:
            for _ in range(3):
                assert asked(running) == (200, b"ok\n")
            messages = origin.wait_for(3)
            # It is the client that speaks without TLS.
            assert {message.get("x-forwarded-proto") for message in messages} == {"http"}
            assert len(origin.connections) == 1
            told = handshakes(running)
            assert (told["new"], told["resumed"], told["failed"]) == (1, 0, {})
        agreed = origin.connections[0].agreed
        assert agreed is not None and agreed.version == version.name.replace("_", ".")


def test_large_bodies_go_both_ways_unchanged(authority: Authority, pair: Pair) -> None:
    body = bytes(range(256)) * (4 << 10)
    with (
        endpoint(Reply(body=body), tls=pair.origin()) as origin,
        gateway(configuration(local(origin.port), tls=trusts(authority))) as running,
    ):
        with connect(running) as client:
            sender = threading.Thread(
                target=client.sendall,
                args=(request(method="POST", more=f"Content-Length: {len(body)}\r\n") + body,),
            )
            sender.start()
            seen = bytearray()
            while not seen.endswith(body[-1024:]) or len(seen) < len(body):
                piece = client.recv(65_536)
                assert piece
                seen += piece
            sender.join()
        assert seen.endswith(body)
        [message] = origin.wait_for(1)
        assert message.body == body


def test_sessions_are_taken_up_again(authority: Authority, pair: Pair) -> None:
    for version in (TLS12, TLS13):
        with endpoint(Reply(headers=[("connection", "close")]), tls=pair.origin(version)) as origin:
            with gateway(configuration(local(origin.port), tls=trusts(authority))) as running:
                for _ in range(4):
                    assert asked(running)[0] == 200
                told = handshakes(running)
                assert (told["new"], told["resumed"]) == (1, 3)
            resumed = [each.agreed.is_resumed for each in origin.connections if each.agreed is not None]
            assert resumed == [False, True, True, True]


def test_a_server_that_speaks_another_protocol_is_told_so(authority: Authority, pair: Pair) -> None:
    context = pair.origin()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with endpoint(tls=context) as origin:
        with gateway(configuration(local(origin.port), tls=trusts(authority))) as running:
            assert asked(running)[0] == 200
        agreed = origin.connections[0].agreed
        assert agreed is not None and agreed.protocol == "http/1.1"


def test_a_handshake_that_stalls_is_given_up_in_time(authority: Authority, pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, endpoint(tls=pair.origin()) as origin:
        first = local(silent.getsockname()[1])
        # The silent one is asked first, and its silence costs no retry: nothing was sent.
        both = [{"address": first}, {"address": local(origin.port), "priority": 1}]
        text = json.loads(
            configuration(
                tls=trusts(authority), timeouts={"connect": "300ms"}, passive_health={"failures": 1}
            )
        )
        text["backends"]["shop"]["endpoints"] = both
        text["routes"][0]["retries"] = {"attempts": 0}
        with gateway(json.dumps(text)) as running:
            assert asked(running, method="POST", more="Content-Length: 0\r\n") == (200, b"ok\n")
            assert handshakes(running)["failed"] == {"timeout": 1}
            assert backend(running)["endpoints"][0]["exclusions"] == 1
        text["backends"]["shop"]["endpoints"] = [first]
        with gateway(json.dumps(text)) as running:
            assert asked(running)[0] == 504
            [entry] = entries(running, 1)
            assert entry["error"] == "connection_timeout" and "handshake" in entry["detail"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "not_tls"),
        (b"\x00\x01\x02", "not_tls"),
        (b"\x16\x03\x03\x00\x05\xff\xff\xff\xff\xff", "malformed"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "alert"),
        (b"", "closed"),
    ],
)
def test_what_is_no_tls_is_no_answer(authority: Authority, sent: bytes, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.recv(65_536)
                client.sendall(sent)

        thread = threading.Thread(target=serve)
        thread.start()
        text = configuration(local(server.getsockname()[1]), tls=trusts(authority))
        with gateway(text) as running:
            assert asked(running)[0] == 502
            assert handshakes(running)["failed"] == {reason: 1}
        thread.join()


@pytest.mark.parametrize("says_end", [True, False])
def test_a_response_that_ends_without_a_word_was_cut(
    authority: Authority, pair: Pair, says_end: bool
) -> None:
    raw = b"HTTP/1.1 200 OK\r\n\r\nhalf of it"
    with (
        endpoint(raw=raw, tls=pair.origin(), says_end=says_end) as origin,
        gateway(configuration(local(origin.port), tls=trusts(authority))) as running,
    ):
        seen = b""
        with connect(running) as client:
            client.sendall(request(more="Connection: close\r\n"))
            with _resets() as is_cut:
                while piece := client.recv(65_536):
                    seen += piece
        [entry] = entries(running, 1)
        if says_end:
            assert seen.endswith(b"0\r\n\r\n") and not is_cut and "error" not in entry
        else:
            assert not seen.endswith(b"0\r\n\r\n") and entry["error"] == "http_response_incomplete"


class _resets:  # noqa: N801 - reads as a statement
    """Takes a reset for an end; true if there was one."""

    def __enter__(self) -> list[bool]:
        self.found: list[bool] = []
        return self.found

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None and issubclass(kind, ConnectionResetError):
            self.found.append(True)
            return True
        return False


def _reached(running: RunningGateway, origin: Any, count: int) -> None:
    """The gateway has opened `count` connections to it in all."""
    assert asked(running)[0] == 200
    assert len(origin.connections) == count


def test_a_reload_with_other_terms_uses_no_connection_of_before(authority: Authority, pair: Pair) -> None:
    other = Authority(authority.folder, "another", file="another")
    with endpoint(tls=pair.origin()) as origin:
        first = configuration(local(origin.port), tls={"insecure_skip_verification": True})
        with gateway(first) as running:
            _reached(running, origin, 1)
            _reached(running, origin, 1)
            # The same again, and something else of the backend: the connection stays, and its session.
            running.reload(
                configuration(local(origin.port), tls={"insecure_skip_verification": True}, host="keep")
            )
            running.reload(
                configuration(local(origin.port), tls={"insecure_skip_verification": True}, pool={"idle": 10})
            )
            _reached(running, origin, 1)
            # What was not verified is not used once it has to be.
            running.reload(configuration(local(origin.port), tls={"ca": str(other.file)}))
            assert asked(running)[0] == 502
            running.reload(configuration(local(origin.port), tls=trusts(authority)))
            assert asked(running)[0] == 200
            assert handshakes(running)["resumed"] == 0


CHECK = {"interval": "100ms", "quick_interval": "100ms", "healthy_after": 1, "unhealthy_after": 1}


def _health(running: RunningGateway) -> str:
    found: str = backend(running)["endpoints"][0]["health"]
    return found


def test_checks_speak_tls_by_the_same_terms(authority: Authority, pair: Pair) -> None:
    with endpoint(tls=pair.origin()) as origin:
        for check in (
            {"type": "http", "path": "/healthz", "headers": {"authorization": "secret"}},
            {"type": "tcp"},
            {"type": "tcp", "send": "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "expect": "200"},
        ):
            text = configuration(local(origin.port), tls=trusts(authority), health_check={**check, **CHECK})
            with gateway(text) as running:
                assert wait_until(lambda: _health(running) == "up", TIMEOUT), check
    with endpoint(tls=authority.pair("other.example").origin()) as origin:
        for kind in ("http", "tcp"):
            text = configuration(
                local(origin.port), tls=trusts(authority), health_check={"type": kind, **CHECK}
            )
            with gateway(text) as running:
                assert wait_until(lambda: _health(running) == "down", TIMEOUT), kind
        assert origin.messages == []
        # A bare connection may be enough, and says nothing.
        bare = {"type": "tcp", "tls": False, **CHECK}
        with gateway(configuration(local(origin.port), tls=trusts(authority), health_check=bare)) as running:
            assert wait_until(lambda: _health(running) == "up", TIMEOUT)
            assert asked(running)[0] == 502


def test_checks_follow_the_terms_of_now(authority: Authority, pair: Pair) -> None:
    other = Authority(authority.folder, "another", file="another")
    with endpoint(tls=pair.origin()) as origin:
        check = {"type": "http", **CHECK}
        text = configuration(local(origin.port), tls={"ca": str(other.file)}, health_check=check)
        with gateway(text) as running:
            assert wait_until(lambda: _health(running) == "down", TIMEOUT)
            running.reload(configuration(local(origin.port), tls=trusts(authority), health_check=check))
            assert wait_until(lambda: _health(running) == "up", TIMEOUT)


def test_an_upgraded_connection_carries_bytes_both_ways(authority: Authority, pair: Pair) -> None:
    switched = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with (
        endpoint(lambda _: switched, tls=pair.origin()) as origin,
        gateway(configuration(local(origin.port), tls=trusts(authority))) as running,
        connect(running) as client,
    ):
        client.sendall(request("/ws", more="Connection: upgrade\r\nUpgrade: websocket\r\n"))
        seen = b""
        while not seen.endswith(b"\r\n\r\n"):
            seen += client.recv(65_536)
        # It sends back what it gets.
        sent = bytes(range(256)) * 2000
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        echoed = bytearray()
        while len(echoed) < len(sent):
            piece = client.recv(65_536)
            assert piece
            echoed += piece
        sender.join()
        assert echoed == sent


def test_copies_and_retries_go_over_tls(authority: Authority, pair: Pair) -> None:
    with (
        endpoint(503, tls=pair.origin()) as failing,
        endpoint(tls=pair.origin()) as working,
        endpoint(tls=pair.origin()) as copied,
    ):
        text = json.loads(configuration(tls=trusts(authority)))
        text["backends"]["shop"]["endpoints"] = [
            {"address": local(failing.port)},
            {"address": local(working.port), "priority": 1},
        ]
        text["backends"]["copy"] = {"endpoints": [local(copied.port)], "tls": trusts(authority)}
        text["routes"][0] |= {"mirror": {"to": "copy"}, "retries": {"statuses": [503]}}
        with gateway(json.dumps(text)) as running:
            assert asked(running) == (200, b"ok\n")
            failing.wait_for(1)
            [message] = copied.wait_for(1)
            assert message.get("x-mirrored-by") is not None


def test_tcp_goes_on_inside_of_tls_and_asks_for_no_protocol(authority: Authority, pair: Pair) -> None:
    context = pair.origin()
    context.set_alpn_protocols(["http/1.1"])
    with endpoint(tls=context) as origin:
        text = json.dumps(
            {
                "gateway": {"threads": 1},
                "listeners": {"web": {"port": 60_080, "protocol": "tcp"}},
                "backends": {"shop": {"endpoints": [local(origin.port)], "tls": trusts(authority)}},
                "routes": [{"type": "tcp", "listeners": "web", "to": "shop"}],
            }
        )
        with gateway(text) as running:
            assert asked(running) == (200, b"ok\n")
            told = handshakes(running)
            assert (told["new"], told["failed"]) == (1, {})
        [connection] = origin.connections
        assert connection.agreed is not None and connection.agreed.protocol is None


def test_metrics_tell_of_handshakes_and_of_our_certificate(authority: Authority, pair: Pair) -> None:
    own = authority.pair("the gateway", file="own")
    certificate = {"cert": str(own.cert), "key": str(own.key)}
    with endpoint(tls=pair.origin()) as origin:
        text = configuration(
            local(origin.port), "localhost:1", tls=trusts(authority, certificate=certificate)
        )
        with gateway(text) as running:
            assert asked(running)[0] == 200
            with socket.create_connection(("127.0.0.1", running.ports["admin"]), TIMEOUT) as admin:
                told = ask(admin, path="/metrics")[1].decode()
    assert 'tidegate_backend_tls_handshakes_total{backend="shop",session="new"} 1\n' in told
    assert 'tidegate_backend_tls_handshakes_failed_total{backend="shop",reason="expired"} 0\n' in told
    assert (
        f'tidegate_backend_certificate_expiry_timestamp_seconds{{backend="shop",certificate="{own.cert}"}}'
        in told
    )


def _host(told: dict[str, Any]) -> str:
    found: list[str] = [value for name, value in told["upstream"]["headers"] if name == "Host"]
    return found[0]


def test_443_is_not_said_to_an_endpoint_that_sees_its_own_address(authority: Authority, pair: Pair) -> None:
    with endpoint(tls=pair.origin()) as origin:
        text = configuration(local(origin.port), tls=trusts(authority), host="endpoint")
        with gateway(text) as running:
            assert asked(running)[0] == 200
            [message] = origin.wait_for(1)
            assert message.get("host") == local(origin.port)
            told = running.explain({"method": "GET", "url": "http://localhost/", "listener": "web"})
            assert _host(told) == local(origin.port)
    with gateway(configuration("https://api.internal", host="endpoint")) as running:
        told = running.explain({"method": "GET", "url": "http://localhost/", "listener": "web"})
        assert told["endpoint"] == "api.internal:443"
        assert _host(told) == "api.internal"


def test_status_shows_backends_with_tls(authority: Authority, pair: Pair) -> None:
    file = authority.folder / "trusted.pem"
    file.write_bytes(Authority(authority.folder, "another", file="another").file.read_bytes())
    with endpoint(tls=pair.origin()) as origin:
        text = json.loads(configuration(local(origin.port), tls={"ca": "trusted.pem"}))
        del text["gateway"]
        text["listeners"]["web"] = {"address": "127.0.0.1", "port": "PORT"}
        with supervised(authority.folder, json.dumps(text).replace('"PORT"', "PORT"), "--watch") as running:

            def status() -> int:
                with socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as client:
                    return int(ask(client)[0].split()[1])

            assert status() == 502
            told = running.run("status").stdout
            assert "by trusted.pem" in told and "1 unknown_issuer" in told
            # The log of the node says it as well, once.
            running.wait_event("no TLS with endpoint", "of shop: ", "unknown issuer")
            file.write_bytes(authority.file.read_bytes())
            assert wait_until(lambda: status() == 200, TIMEOUT)
