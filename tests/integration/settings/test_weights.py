# SPDX-License-Identifier: Apache-2.0
"""Weights that change while the gateway runs: slow start and reported load."""

import struct
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tidegate.testing import FakeEndpoint, Message, Reply, RunningGateway, endpoint, gateway, wait_until

from .kit import ask, shows


def configuration(settings: str, *endpoints: FakeEndpoint) -> str:
    addresses = ", ".join(f'"{each.address}"' for each in endpoints)
    return f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: [{addresses}], balancing: round_robin, {settings} }} }}
routes: [{{ name: r, path: /, to: b }}]
"""


def weights(running: RunningGateway) -> dict[str, float]:
    [backend] = running.status()["backends"]
    return {each["address"]: each["weight_now"] for each in backend["endpoints"]}


@shows("Backend.slow_start", "SlowStart.duration", "SlowStart.from_percent")
@pytest.mark.parametrize(
    "balancing", ["round_robin", "random", "least_request", "least_connections", "peak_ewma"]
)
def test_a_new_endpoint_begins_with_a_part_of_its_weight(balancing: str) -> None:
    slow = "slow_start: { duration: 1h, from_percent: 1 }"
    with endpoint() as one, endpoint() as two:
        text = configuration(slow, one, two).replace("round_robin", balancing)
        with gateway(configuration(slow, one), threads=1) as running:
            running.reload(text)
            assert wait_until(lambda: weights(running)[two.address] < 0.1)
            assert weights(running)[one.address] == 1.0
            for _ in range(100):
                assert ask(running).status == 200
            assert len(one.messages) >= 90
            told = running.explain("GET http://a.test/")["endpoints"]
            assert {each["address"]: each["share"] < 0.1 for each in told} == {
                one.address: False,
                two.address: True,
            }
            running.reload(text.replace("1h", "300ms"))
            assert wait_until(lambda: weights(running)[two.address] == 1.0)


@pytest.mark.parametrize(
    ("balancing", "keys"),
    [
        ("maglev", "hash: { query: k }"),
        ("{ type: ring_hash, load_bound_percent: null }", "hash: { query: k }"),
        ("ip_hash", ""),
    ],
)
def test_a_new_endpoint_gets_few_keys_at_first(balancing: str, keys: str) -> None:
    slow = f"slow_start: {{ duration: 1h, from_percent: 1 }}, {keys}"
    with endpoint() as one, endpoint() as two:
        trusts = "gateway: { trusted_proxies: [127.0.0.0/8] }\n"
        base, both = (
            trusts + configuration(slow, *each).replace("balancing: round_robin", f"balancing: {balancing}")
            for each in ((one,), (one, two))
        )
        with gateway(base, threads=1) as running:
            running.reload(both)
            assert wait_until(lambda: weights(running)[two.address] < 0.1)
            for number in range(100):
                ask(running, f"/?k={number}", headers=[f"X-Forwarded-For: 192.0.2.{number}"])
            assert len(two.messages) <= 15


def test_an_endpoint_that_comes_back_starts_slowly() -> None:
    well = [True]
    check = (
        "health_check: { type: http, path: /up, interval: 20ms, timeout: 1s, healthy_after: 1, "
        "unhealthy_after: 1 }, slow_start: { duration: 1h, from_percent: 5 }"
    )

    def sometimes(message: object) -> Reply:
        return Reply(200 if well[0] or getattr(message, "target", "") != "/up" else 500)

    def health(running: RunningGateway, of: FakeEndpoint) -> str:
        [backend] = running.status()["backends"]
        return next(str(each["health"]) for each in backend["endpoints"] if each["address"] == of.address)

    with (
        endpoint() as one,
        endpoint(sometimes) as two,
        gateway(configuration(check, one, two), threads=1) as running,
    ):
        assert wait_until(lambda: health(running, two) == "up")
        assert weights(running) == {one.address: 1.0, two.address: 1.0}
        well[0] = False
        assert wait_until(lambda: health(running, two) == "down")
        well[0] = True
        assert wait_until(lambda: health(running, two) == "up")
        assert wait_until(lambda: weights(running)[two.address] < 0.1)
        assert weights(running)[one.address] == 1.0


def reporting(name: str, value: Callable[[], str]) -> Callable[[object], Reply]:
    return lambda _message: Reply(headers=[(name, value())])


@shows("Backend.load_report", "LoadReport.header", "LoadReport.metric")
@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ("header: X-Load", "X-Load", "{}"),
        ("metric: cpu_utilization", "endpoint-load-metrics", "TEXT mem_utilization=1, cpu_utilization={}"),
        ("metric: mem_utilization", "Endpoint-Load-Metrics", 'JSON {{"mem_utilization": {}}}'),
        ("metric: named_metrics.q", "endpoint-load-metrics", 'JSON {{"named_metrics": {{"q": {}}}}}'),
    ],
)
def test_less_goes_where_more_load_is_reported_and_the_client_sees_no_report(
    settings: str, name: str, value: str
) -> None:
    report = f"load_report: {{ {settings}, smoothing: 50ms }}"
    with (
        endpoint(reporting(name, lambda: value.format(0.2))) as idle,
        endpoint(reporting(name, lambda: value.format(0.8))) as busy,
        gateway(configuration(report, idle, busy), threads=1) as running,
    ):

        def tells_apart() -> bool:
            for _ in range(5):
                assert ask(running).get(name) is None
            now = weights(running)
            return now[idle.address] > 1.2 and now[busy.address] < 0.8

        assert wait_until(tells_apart)
        before = len(idle.messages) - len(busy.messages)
        for _ in range(100):
            ask(running)
        assert len(idle.messages) - len(busy.messages) > before


def binary(load: float) -> str:
    """`OrcaLoadReport` of xds.data.orca.v3 with `cpu_utilization` and a map, as gRPC writes it."""
    member = b"\x0a\x01q\x11" + struct.pack("<d", load)
    report = b"\x09" + struct.pack("<d", load) + b"\x42" + bytes([len(member)]) + member
    return b64encode(report).decode().rstrip("=")


def trailers(response: Message) -> set[str]:
    return {name.decode().lower() for name, _ in response.trailers}


@pytest.mark.parametrize("metric", ["cpu_utilization", "named_metrics.q"])
@pytest.mark.parametrize("is_trailer", [False, True])
def test_reports_may_be_binary_and_in_trailers(metric: str, is_trailer: bool) -> None:
    name = "endpoint-load-metrics-bin"

    def answer(load: float) -> Reply:
        if not is_trailer:
            return Reply(headers=[(name, binary(load))])
        body = f"2\r\nok\r\n0\r\n{name}: {binary(load)}\r\nX-Sum: 1\r\n\r\n"
        return Reply(headers=[("Transfer-Encoding", "chunked")], body=body.encode())

    report = f"load_report: {{ metric: {metric}, smoothing: 50ms }}"
    with (
        endpoint(answer(0.2)) as idle,
        endpoint(answer(0.8)) as busy,
        gateway(configuration(report, idle, busy), threads=1) as running,
    ):

        def tells_apart() -> bool:
            for _ in range(5):
                response = ask(running)
                assert response.get(name) is None and name not in trailers(response)
                assert ("x-sum" in trailers(response)) is is_trailer
            now = weights(running)
            return now[idle.address] > 1.2 and now[busy.address] < 0.8

        assert wait_until(tells_apart)


@shows("LoadReport.most", "LoadReport.expire_after")
def test_a_report_is_bounded_and_expires() -> None:
    report = "load_report: { header: X-Load, smoothing: 20ms, expire_after: 500ms, most: 2 }"
    with (
        endpoint(reporting("X-Load", lambda: "0")) as greedy,
        endpoint(reporting("X-Load", lambda: "0.9")) as honest,
        gateway(configuration(report, greedy, honest), threads=1) as running,
    ):
        seen: list[dict[str, float]] = []

        def is_bounded() -> bool:
            for _ in range(5):
                ask(running)
            seen.append(weights(running))
            return seen[-1][honest.address] == 0.5

        assert wait_until(is_bounded)
        assert all(now[greedy.address] <= 2 and now[honest.address] >= 0.5 for now in seen)
        assert wait_until(lambda: set(weights(running).values()) == {1.0})


@shows("LoadReport.smoothing")
@pytest.mark.parametrize(("smoothing", "follows"), [("20ms", True), ("1h", False)])
def test_a_load_that_changes_is_followed_as_smoothly_as_said(smoothing: str, follows: bool) -> None:
    load = {"one": "0.2", "two": "0.8"}
    report = f"load_report: {{ header: X-Load, smoothing: {smoothing} }}"
    with (
        endpoint(reporting("X-Load", lambda: load["one"])) as one,
        endpoint(reporting("X-Load", lambda: load["two"])) as two,
        gateway(configuration(report, one, two), threads=1) as running,
    ):

        def prefers(first: FakeEndpoint, second: FakeEndpoint) -> bool:
            for _ in range(5):
                ask(running)
            now = weights(running)
            return now[first.address] > 1.2 * now[second.address]

        assert wait_until(lambda: prefers(one, two))
        load.update(one="0.8", two="0.01")
        if follows:
            assert wait_until(lambda: prefers(two, one))
        else:
            assert not any(prefers(two, one) for _ in range(30))


@pytest.mark.parametrize(
    "value", ["-1", "nan", "1e999", "x" * 5000, "JSON {", "TEXT cpu_utilization=", "BIN AAAA", "\x7f"]
)
def test_a_report_that_is_none_changes_nothing(value: str) -> None:
    report = "load_report: { smoothing: 20ms }"
    headers = [("endpoint-load-metrics", value)]
    with ExitStack() as stack:
        mad = stack.enter_context(endpoint(Reply(headers=headers)))
        sane = stack.enter_context(endpoint(reporting("endpoint-load-metrics", lambda: "0.5")))
        running = stack.enter_context(gateway(configuration(report, mad, sane), threads=1))
        if value == "\x7f":  # no field value at all: the response is refused as ever
            assert {ask(running).status for _ in range(4)} <= {200, 502}
            return
        for _ in range(20):
            response = ask(running)
            assert response.status == 200 and response.get("endpoint-load-metrics") is None
        assert set(weights(running).values()) == {1.0}
