# SPDX-License-Identifier: Apache-2.0
"""Calls by what they end with: made again, judged by passive health, counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.integration.grpc.calls import CALL, CONTENT, call, message, reply, status
from tests.integration.http2.client import Field, client
from tests.integration.http2.server import Asked, Connection, Origin, origin
from tidegate import ConfigError, Retries
from tidegate.cli.top_frame import _errors
from tidegate.testing import RunningGateway, gateway, wait_until

UNAVAILABLE = ("grpc-status", "14")
TIMEOUT = 30.0
Handler = Callable[[Connection, Asked], None]


def configuration(
    origins: Iterable[Origin], retries: Any = (), route: Any = (), listener: Any = (), **backend: Any
) -> str:
    """One route of gRPC to some origin servers, which are asked in turn."""
    endpoints = [f"127.0.0.1:{each.port}" for each in origins]
    shop = {"endpoints": endpoints, "http2": True, "balancing": "round_robin", **backend}
    shop = {"passive_health": {"enabled": False}, **shop}
    return json.dumps(
        {
            "gateway": {"threads": 1, "admin": {"port": 60_999}},
            "listeners": {"web": {"port": 60_080, "http2": True, **dict(listener)}},
            "backends": {"shop": shop},
            "routes": [
                {"name": "calls", "type": "grpc", "to": "shop", "retries": dict(retries), **dict(route)}
            ],
        }
    )


def at_once(*told: Field, code: int = 200) -> Handler:
    """Ends calls with the head of their answers."""

    def ended(connection: Connection, asked: Asked) -> None:
        connection.head(asked, code, [CONTENT, *told], ends=True)

    return ended


def codes(running: RunningGateway, count: int = 4, **parts: Any) -> set[str | None]:
    """What some calls end with."""
    with client(running) as connected:
        return {status(call(connected, **parts))[1] for _ in range(count)}


LISTED = {"grpc_statuses": ["unavailable", "resource_exhausted"]}


@pytest.mark.parametrize(
    ("ends", "retries", "expected"),
    [
        (at_once(UNAVAILABLE), LISTED, {"0"}),
        (at_once(("grpc-status", "8")), LISTED, {"0"}),
        (at_once(UNAVAILABLE, ("grpc-retry-pushback-ms", "0")), LISTED, {"0"}),
        # Not named, not allowed, or not so soon.
        (at_once(UNAVAILABLE), {}, {"0", "14"}),
        (at_once(("grpc-status", "13")), LISTED, {"0", "13"}),
        (at_once(UNAVAILABLE), {**LISTED, "attempts": 0}, {"0", "14"}),
        (at_once(UNAVAILABLE, ("grpc-retry-pushback-ms", "-1")), LISTED, {"0", "14"}),
        (at_once(UNAVAILABLE, ("grpc-retry-pushback-ms", "800")), LISTED, {"0", "14"}),
    ],
)
def test_a_call_that_ends_at_once_is_made_again_elsewhere(
    ends: Handler, retries: Any, expected: set[str]
) -> None:
    with (
        origin(reply) as well,
        origin(ends) as ill,
        gateway(configuration((well, ill), retries)) as running,
    ):
        assert codes(running, body=message(b"said once")) == expected
        retried = [entry["retries"] for entry in running.log(4)]
    assert (sum(retried) > 0) == (expected == {"0"})
    assert ill.asked
    assert {bytes(asked.body) for asked in well.asked} == {message(b"said once")}


def test_an_answer_that_has_begun_is_passed_on() -> None:
    """Trailers behind a head or a message come too late for another try."""

    def begun(connection: Connection, asked: Asked) -> None:
        content = message(b"a") if asked.get(":path") == "/a.B/C" else b""
        connection.head(asked, 200, [CONTENT])
        connection.data(asked, content)
        connection.trailers(asked, [UNAVAILABLE])

    with origin(begun) as one, origin(begun) as two:
        with gateway(configuration((one, two), LISTED)) as running, client(running) as connected:
            for path, body in (("/a.B/C", message(b"a")), ("/a.B/D", b"")):
                answer = call(connected, path)
                assert (status(answer)[1], bytes(answer.body)) == ("14", body)
        assert len(one.asked + two.asked) == 2


def test_a_connection_that_breaks_is_what_its_client_would_be_told() -> None:
    def breaks(connection: Connection, asked: Asked) -> None:
        connection.close()

    with origin(reply) as well, origin(breaks) as ill:
        for retries, expected in ((LISTED, {"0"}), ({"grpc_statuses": ["internal"]}, {"0", "14"})):
            with gateway(configuration((well, ill), retries)) as running:
                assert codes(running) == expected


def test_an_answer_of_http_is_what_its_client_would_read() -> None:
    with (
        origin(reply) as well,
        origin(at_once(code=503)) as ill,
        gateway(configuration((well, ill), LISTED)) as running,
        client(running) as connected,
    ):
        for _ in range(4):
            assert status(call(connected))[:2] == (200, "0")


@pytest.mark.parametrize(("size", "expected"), [(4_000, "0"), (40_000, "14")])
def test_a_call_that_still_sends_is_made_again_with_what_was_kept(size: int, expected: str) -> None:
    """Up to 16 KiB are kept; beyond that the messages are gone, and the answer is the client's."""
    let_go, seen = threading.Event(), list[Asked]()

    def begun(connection: Connection, asked: Asked) -> None:
        seen.append(asked)
        if asked is seen[0]:
            assert let_go.wait(TIMEOUT)
            connection.head(asked, 200, [CONTENT, UNAVAILABLE], ends=True)

    def whole(connection: Connection, asked: Asked) -> None:
        if asked is not seen[0]:
            reply(connection, asked)

    first, rest = message(b"a" * size), message(b"more")
    with (
        origin(whole, begun) as one,
        origin(whole, begun) as two,
        gateway(configuration((one, two), LISTED)) as running,
        client(running) as connected,
    ):
        stream = connected.send("/a.B/C", method="POST", headers=CALL, ends=False, body=first)
        assert wait_until(lambda: seen and bytes(seen[0].body) == first, TIMEOUT)
        let_go.set()
        if expected == "0":
            assert wait_until(lambda: len(seen) == 2 and bytes(seen[1].body) == first, TIMEOUT)
            connected.upload(stream, rest)
        [answer] = connected.wait(stream)
        assert status(answer)[1] == expected
        assert bytes(answer.body) == (first + rest if expected == "0" else b"")


def test_the_budget_bounds_them() -> None:
    budget = {"percent": 0, "floor_per_second": 0}
    with (
        origin(reply) as well,
        origin(at_once(UNAVAILABLE)) as ill,
        gateway(configuration((well, ill), LISTED, retry_budget=budget)) as running,
    ):
        assert codes(running) == {"0", "14"}


def test_a_client_of_grpcs_own_library_never_sees_a_server_that_is_going() -> None:
    """One server of the library ends every call with `unavailable`, the other serves."""

    def serve(ill: bool) -> tuple[Any, int]:
        def answer(content: bytes, context: Any) -> bytes:
            if ill:
                context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            return content

        def handler(details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

        class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, details: Any) -> Any:
                return handler(details)

        server = grpc.server(ThreadPoolExecutor(2), handlers=(Handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, port

    servers = [serve(ill) for ill in (False, True)]
    try:
        text = json.loads(configuration((), LISTED))
        text["backends"]["shop"]["endpoints"] = [f"127.0.0.1:{port}" for _, port in servers]
        with (
            gateway(json.dumps(text)) as running,
            # It would try again by itself.
            grpc.insecure_channel(f"127.0.0.1:{running.port}", [("grpc.enable_retries", 0)]) as channel,
        ):
            add = channel.unary_unary("/shop.v1.Cart/Add")
            assert [add(b"%d" % number, timeout=TIMEOUT) for number in range(10)] == [
                b"%d" % number for number in range(10)
            ]
            assert sum(entry["retries"] for entry in running.log(10)) >= 4
    finally:
        for server, _ in servers:
            server.stop(None).wait()


@pytest.mark.parametrize(
    ("code", "statuses", "is_out"),
    [
        ("14", [503], True),
        ("4", [504], True),
        ("13", [500], True),
        ("8", [503], False),
        ("5", [500, 503], False),
    ],
)
@pytest.mark.parametrize("is_at_once", [True, False])
def test_passive_health_judges_what_calls_end_with(
    code: str, statuses: list[int], is_out: bool, is_at_once: bool
) -> None:
    def ends(connection: Connection, asked: Asked) -> None:
        told = [("grpc-status", code)]
        if is_at_once:
            connection.head(asked, 200, [CONTENT, *told], ends=True)
        else:
            connection.answer(asked, 200, [CONTENT], message(b"a"), told)

    passive = {"failures": 2, "statuses": statuses, "exclude_for": "1h"}
    with origin(reply) as well, origin(ends) as ill:
        with gateway(configuration((well, ill), passive_health=passive)) as running:
            codes(running, 12)
            health = [each["health"] for each in running.status()["backends"][0]["endpoints"]]
            assert health == ["unchecked", "excluded" if is_out else "unchecked"]
        assert len(ill.asked) == (2 if is_out else 6)


def test_calls_are_counted_by_what_they_end_with() -> None:
    def ends(connection: Connection, asked: Asked) -> None:
        path = asked.get(":path") or ""
        connection.answer(asked, 200, [CONTENT], message(b"a"), [("grpc-status", path.rpartition("/")[2])])

    with origin(ends) as upstream, gateway(configuration((upstream,))) as running:
        with client(running) as connected:
            for code in ("0", "0", "14", "5", "99", "no"):
                call(connected, f"/a.B/{code}")
            assert connected.ask("/", method="POST", body=b"no call").status == 404
        running.log(7)
        name = "tidegate_grpc_calls_total"
        found = [line for line in metrics(running).splitlines() if line.startswith(name)]
        labels = [("ok", 2), ("unknown", 1), ("not_found", 1), ("unavailable", 1)]
        assert found == [f'{name}{{route="calls",code="{code}"}} {count}' for code, count in labels]
        shown = running.call("top", window_ms=1000)["routes"][0]
        assert shown["grpc_calls"] == dict(labels)
        assert _errors(shown) == 2


def metrics(running: RunningGateway) -> str:
    """What the admin listener shows."""
    connected = http.client.HTTPConnection("127.0.0.1", running.ports["admin"], timeout=TIMEOUT)
    with contextlib.closing(connected):
        connected.request("GET", "/metrics")
        return connected.getresponse().read().decode()


@pytest.mark.parametrize("written", ["UNAVAILABLE", "resource-exhausted"])
def test_codes_are_written_in_one_way(written: str) -> None:
    code = written.lower().replace("-", "_")
    with pytest.raises(ConfigError, match=f"write `{code}`"):
        Retries(grpc_statuses=[written])
    assert Retries(grpc_statuses=[code]).grpc_statuses == [code]


@pytest.mark.parametrize("settings", [{"grpc_statuses": ["ok"]}, {"retry_on": "unavailable"}])
def test_what_is_no_failure_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigError, match=r"(not one of them|write `statuses`, or)"):
        Retries(**settings)
