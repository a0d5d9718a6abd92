# SPDX-License-Identifier: Apache-2.0
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tidegate.testing import FakeEndpoint, Reply, RunningGateway, Wire, endpoint, gateway, wait_until

from .kit import ask, error, shows, small


def _states(running: RunningGateway) -> dict[str, str]:
    backends = running.status()["backends"]
    return {one["address"]: one["health"] for backend in backends for one in backend["endpoints"]}


@pytest.fixture
def refusing() -> Iterator[FakeEndpoint]:
    with endpoint(fail="refuse") as upstream:
        yield upstream


@shows("Backend.protocol", "Backend.balancing", "Endpoint.address", "Endpoint.weight")
def test_round_robin_takes_endpoints_in_turn() -> None:
    with endpoint() as one, endpoint() as two, small(one, two, backend="balancing: round_robin") as running:
        for _ in range(6):
            assert ask(running).status == 200
        assert (len(one.messages), len(two.messages)) == (3, 3)


@shows("Backend.hash", "HashPart.kind", "HashPart.name")
@pytest.mark.parametrize(
    ("part", "same", "others"),
    [
        ("{ header: X-User }", ["/ X-User: ann"], ["/ X-User: {}"]),
        ("{ cookie: sid }", ["/ Cookie: a=1; sid=ann", "/ Cookie: sid=ann"], ["/ Cookie: sid={}"]),
        ("{ query: q }", ["/?q=a+b", "/x?r=1&q=a%20b"], ["/?q={}"]),
        ("path", ["/a?x=1", "/a?x=2", "/%61"], ["/{}"]),
        ("host", ["/ Host: ann.test", "/a Host: ANN.test"], ["/ Host: n{}.test"]),
        ("[host, { header: X-User }]", ["/ X-User: ann"], ["/ X-User: {}"]),
    ],
)
@pytest.mark.parametrize("balancing", ["maglev", "{ type: ring_hash, load_bound_percent: null }"])
def test_a_key_meets_one_endpoint_and_keys_meet_all(
    balancing: str, part: str, same: list[str], others: list[str]
) -> None:
    settings = f"balancing: {balancing}, hash: {part}"
    with endpoint() as one, endpoint() as two, small(one, two, backend=settings, threads=2) as running:

        def send(request: str) -> None:
            target, *headers = request.split(" ", 1)
            assert ask(running, target, headers=headers).status == 200

        for request in same * 5:
            send(request)
        assert sorted((len(one.messages), len(two.messages)))[0] == 0
        for number in range(40):
            send(others[0].format(number))
        assert min(len(one.messages), len(two.messages)) >= 5


def test_a_request_without_the_key_is_drawn_by_weight() -> None:
    settings = "balancing: maglev, hash: [{ cookie: sid }, { header: X-User }]"
    with endpoint() as one, endpoint() as two, small(one, two, backend=settings) as running:
        for _ in range(60):
            ask(running)
        assert min(len(one.messages), len(two.messages)) >= 5


def test_the_keys_of_an_endpoint_that_is_gone_move_and_come_back() -> None:
    settings = "balancing: maglev, hash: { query: k }, passive_health: { enabled: false }"
    with endpoint() as one, endpoint() as two, small(one, two, backend=settings) as running:
        keys = [str(number) for number in range(30)]

        def homes() -> dict[str, str]:
            told = {key: running.explain(f"GET http://a.test/?k={key}")["endpoint"] for key in keys}
            for key in keys:
                before = len(one.messages)
                ask(running, f"/?k={key}")
                assert told[key] == (one.address if len(one.messages) > before else two.address)
            return told

        before = homes()
        assert set(before.values()) == {one.address, two.address}
        text = f"""
listeners: {{ web: {{ port: 0, proxy_status: true }} }}
backends: {{ b: {{ endpoints: ["{two.address}"], {settings} }} }}
routes: [{{ name: r, path: /, to: b }}]
"""
        running.reload(text)
        assert set(homes().values()) == {two.address}
        running.reload(text.replace('["', f'["{one.address}", "'))
        assert homes() == before


@shows("Endpoint.zone")
def test_the_zone_is_told() -> None:
    with endpoint() as upstream, small(upstream) as running:
        changed = f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: [{{ address: "{upstream.address}", zone: az-1 }}] }} }}
routes: [{{ path: /, to: b }}]
"""
        running.reload(changed)
        assert running.status()["backends"][0]["endpoints"][0]["zone"] == "az-1"


@shows("Endpoint.draining", "Endpoint.found_by")
def test_an_endpoint_that_drains_gets_nothing_new() -> None:
    with endpoint() as stays, endpoint() as leaves, small(stays) as running:
        changed = f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: ["{stays.address}", {{ address: "{leaves.address}", draining: true }}] }} }}
routes: [{{ path: /, to: b }}]
"""
        running.reload(changed)
        for _ in range(6):
            assert ask(running).status == 200
        assert (len(stays.messages), len(leaves.messages)) == (6, 0)
        told = running.status()["backends"][0]["endpoints"]
        assert [each["draining"] for each in told] == [False, True]
        assert {each["source"] for each in told} == {"configuration"}


@shows("Backend.health_check")
def test_an_endpoint_that_fails_its_check_gets_nothing() -> None:
    often = "interval: 20ms, timeout: 10s, healthy_after: 1, unhealthy_after: 1"
    check = f"health_check: {{ type: http, path: /up, {often} }}"

    def sick(message: object) -> Reply:
        return Reply(500 if getattr(message, "target", "") == "/up" else 200)

    with endpoint() as well, endpoint(sick) as ill, small(well, ill, backend=check) as running:
        assert wait_until(lambda: _states(running) == {well.address: "up", ill.address: "down"})
        before = [message for message in ill.messages if message.target != "/up"]
        for _ in range(4):
            assert ask(running).status == 200
        assert [message for message in ill.messages if message.target != "/up"] == before


@shows("Backend.health_check")
def test_an_endpoint_that_accepts_no_connection_gets_nothing_until_it_does() -> None:
    check = "health_check: { type: tcp, interval: 20ms, timeout: 10s, healthy_after: 1, unhealthy_after: 1 }"
    # Passive health would take it out as well.
    check += ", passive_health: { enabled: false }, balancing: round_robin"
    with endpoint() as well, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ b: {{ endpoints: ["{well.address}", "{address}"], {check} }} }}
routes: [{{ path: /, to: b, retries: 0 }}]
"""
        with gateway(text, threads=1) as running:
            assert wait_until(lambda: _states(running) == {well.address: "up", address: "down"})
            assert [ask(running).status for _ in range(6)] == [200] * 6
            closed.listen()
            assert wait_until(lambda: _states(running) == {well.address: "up", address: "up"})


@shows("Backend.passive_health", "PassiveHealth.failures", "PassiveHealth.exclude_for")
def test_an_endpoint_that_fails_in_traffic_is_out_for_a_time(refusing: FakeEndpoint) -> None:
    passive = "balancing: round_robin, passive_health: { failures: 2, exclude_for: 400ms }"
    with endpoint() as well, small(well, refusing, backend=passive) as running:
        assert _states(running)[refusing.address] == "unchecked"
        assert ask(running).status == ask(running).status == 200
        assert _states(running)[refusing.address] == "unchecked", "one failure of two"
        assert ask(running).status == ask(running).status == 200
        assert _states(running)[refusing.address] == "excluded"
        assert wait_until(lambda: _states(running)[refusing.address] == "unchecked")


@shows("PassiveHealth.enabled", "PassiveHealth.max_excluded_percent")
@pytest.mark.parametrize("setting", ["enabled: false", "max_excluded_percent: 0"])
def test_an_endpoint_is_never_excluded_where_that_is_off(setting: str, refusing: FakeEndpoint) -> None:
    passive = f"balancing: round_robin, passive_health: {{ failures: 1, exclude_for: 1h, {setting} }}"
    with endpoint() as well, small(well, refusing, backend=passive) as running:
        for _ in range(6):
            ask(running)
        assert "excluded" not in _states(running).values()


@shows("Backend.timeouts", "BackendTimeouts.connect")
def test_connecting_ends_in_time() -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):  # a full queue drops what comes next
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(full.getsockname())
        waiting.append(one)
    host, port = full.getsockname()
    settings = "timeouts: { connect: 200ms }"
    with endpoint() as upstream:
        upstream.host, upstream.port = host, port
        with small(upstream, backend=settings) as running:
            response = ask(running)
            assert (response.status, error(response)) == (504, "connection_timeout")
    for one in (*waiting, full):
        one.close()


@shows("BackendTimeouts.pending", "Backend.limits", "BackendLimits.connections")
def test_a_request_waits_for_room_and_not_for_ever() -> None:
    held = threading.Event()
    settings = "limits: { connections: 1 }, timeouts: { pending: 300ms }"
    with (
        endpoint(delay=held) as upstream,
        small(upstream, backend=settings) as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        upstream.wait_for(1)
        response = ask(running)
        assert (response.status, error(response)) == (503, "pending_timeout")
        held.set()
        assert wire.wait_final(1) and wire.final_responses[0].status == 200


def _has_answer(wire: Wire) -> bool:
    return wire._run(lambda: bool(wire.final_responses), 0.05)


@shows("BackendLimits.pending")
def test_no_more_requests_wait_than_configured() -> None:
    held = threading.Event()
    settings = "limits: { connections: 1, pending: 1 }, timeouts: { pending: 20s }"
    with endpoint(delay=held) as upstream, small(upstream, backend=settings) as running:
        wires = [Wire(("127.0.0.1", running.port)) for _ in range(3)]
        wires[0].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        upstream.wait_for(1)
        for wire in wires[1:]:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wait_until(lambda: any(_has_answer(wire) for wire in wires[1:]))
        refused = [wire for wire in wires[1:] if wire.final_responses]
        assert [wire.final_responses[0].status for wire in refused] == [503]
        held.set()
        for wire in wires:
            assert wire.wait_final(1)
            wire.close()


@shows("BackendTimeouts.first_byte")
def test_a_silent_endpoint_is_a_504() -> None:
    with (
        endpoint(fail="silent") as upstream,
        small(upstream, backend="timeouts: { first_byte: 200ms }") as running,
    ):
        response = ask(running, method="POST", body=b"x")
        assert (response.status, error(response)) == (504, "http_response_timeout")


@shows("BackendTimeouts.stall")
def test_a_response_that_stops_is_cut_and_cannot_pass_for_whole() -> None:
    partial = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"
    with (
        endpoint(partial) as upstream,
        small(upstream, backend="timeouts: { stall: 200ms }") as running,
        Wire(("127.0.0.1", running.port)) as wire,
    ):
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wire.wait_closed() and wire.responses == [] and wire.closed == "reset"
        assert running.log(1)[0]["error"] == "connection_read_timeout"


@shows("BackendLimits.header_size", "BackendLimits.header_fields")
@pytest.mark.parametrize("setting", ["header_size: 1KiB", "header_fields: 20"])
def test_a_response_with_too_much_of_a_header_is_a_502(setting: str) -> None:
    long = Reply(headers=[(f"X-{number}", "x" * 60) for number in range(40)])
    with endpoint(long) as upstream, small(upstream, backend=f"limits: {{ {setting} }}") as running:
        response = ask(running)
        assert (response.status, error(response)) == (502, "http_response_header_section_size")
    with endpoint(long) as upstream, small(upstream) as running:
        assert ask(running).status == 200


@shows("Backend.pool", "Pool.idle")
@pytest.mark.parametrize(("idle", "connections"), [(10, 1), (0, 3)])
def test_connections_are_kept_as_configured(idle: int, connections: int) -> None:
    with endpoint() as upstream, small(upstream, backend=f"pool: {{ idle: {idle} }}") as running:
        for _ in range(3):
            ask(running)
        assert len(upstream.connections) == connections


@shows("Pool.idle_time")
def test_an_idle_connection_is_closed_after_its_time() -> None:
    with endpoint() as upstream, small(upstream, backend="pool: { idle_time: 300ms }") as running:
        begun = time.monotonic()
        ask(running)
        assert upstream.wait(lambda one: one.connections[0].closed)
        assert time.monotonic() - begun >= 0.3


@shows("Pool.unsafe_idle_time")
def test_an_unsafe_request_takes_no_connection_that_rested_long() -> None:
    settings = "pool: { idle_time: 20s, unsafe_idle_time: 1ms }"
    with endpoint() as upstream, small(upstream, backend=settings) as running:
        ask(running)
        ask(running)
        assert len(upstream.connections) == 1
        threading.Event().wait(0.05)  # time is what is tested: the connection rests longer than 1 ms
        ask(running, method="POST", body=b"x")
        assert len(upstream.connections) == 2


@shows("Backend.retry_budget", "RetryBudget.percent", "RetryBudget.floor_per_second")
@pytest.mark.parametrize(
    ("budget", "is_retried"),
    [
        ("percent: 0, floor_per_second: 0", False),
        ("percent: 100, floor_per_second: 0", True),
        ("percent: 0, floor_per_second: 9", True),
    ],
)
def test_retries_stop_at_their_budget(budget: str, is_retried: bool) -> None:
    settings = f"balancing: round_robin, retry_budget: {{ {budget} }}, passive_health: {{ enabled: false }}"
    with (
        endpoint() as well,
        endpoint(reset=True, cut_at=0) as flaky,
        small(well, flaky, backend=settings) as running,
    ):
        statuses = {ask(running).status for _ in range(6)}
        assert statuses == ({200} if is_retried else {200, 502})


def test_a_connect_that_failed_costs_no_retry(refusing: FakeEndpoint) -> None:
    none = "retry_budget: { percent: 0, floor_per_second: 0 }, passive_health: { enabled: false }"
    settings = f"balancing: round_robin, {none}"
    with (
        endpoint() as well,
        small(well, refusing, backend=settings, route="retries: { attempts: 0 }") as running,
    ):
        assert {ask(running, method="POST", body=b"x").status for _ in range(6)} == {200}


@shows("Backend.host")
def test_the_endpoint_sees_the_host_it_is_meant_to() -> None:
    with endpoint() as upstream, small(upstream, backend="host: keep") as running:
        ask(running)
        assert upstream.messages[0].get("host") == "a.test"
    with endpoint() as upstream, small(upstream, backend="host: endpoint") as running:
        ask(running)
        assert upstream.messages[0].get("host") == upstream.address
        assert upstream.messages[0].get("x-forwarded-host") == "a.test"


@shows("Backend.policies")
def test_a_backends_policy_changes_what_it_is_sent() -> None:
    policy = "policies: [{ type: request_headers, set: { X-Inner: b }, remove: [X-Secret] }]"
    with endpoint() as upstream, small(upstream, backend=policy) as running:
        ask(running, headers=["X-Secret: 1"])
        message = upstream.messages[0]
        assert (message.get("x-inner"), message.get("x-secret")) == ("b", None)
