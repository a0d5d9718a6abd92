# SPDX-License-Identifier: Apache-2.0
import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.settings.kit import ask, error
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.testing import Message, Reply, RunningGateway, Wire, endpoint, wait_until

from .kit import asked, counts, placed


def _backend(running: RunningGateway) -> dict[str, object]:
    found: dict[str, object] = running.status()["backends"][0]
    return found


def _health(running: RunningGateway) -> dict[str, str]:
    endpoints = running.status()["backends"][0]["endpoints"]
    return {each["address"]: each["health"] for each in endpoints}


def _metrics(running: RunningGateway) -> dict[str, float]:
    text = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@contextlib.contextmanager
def sent(running: RunningGateway, *targets: str) -> Iterator[list[Wire]]:
    """Requests under way, each on a connection of its own; the next only when the last has arrived."""
    with contextlib.ExitStack() as stack:
        wires = []
        for target in targets:
            before = _backend(running)
            wire = stack.enter_context(Wire(("127.0.0.1", running.port)))
            wire.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "GET")
            wires.append(wire)
            total = int(str(before["in_flight"])) + int(str(before["pending"]))
            assert wait_until(lambda most=total: _arrived(running) > most)  # type: ignore[misc]
        yield wires


def _arrived(running: RunningGateway) -> int:
    now = _backend(running)
    return int(str(now["in_flight"])) + int(str(now["pending"]))


@pytest.mark.parametrize("limit", ["requests: 1", "connections: 1", "total_requests: 1"])
def test_a_limit_of_requests_is_kept_and_the_rest_waits_in_order(limit: str) -> None:
    held = threading.Event()
    with endpoint(delay=held) as one:
        more = f"limits: {{ {limit} }}, timeouts: {{ pending: 30s }}"
        with placed((one, ""), backend=more) as running:
            targets = [f"/{number}" for number in range(8)]
            with sent(running, *targets) as wires:
                assert _backend(running)["pending"] == 7
                assert one.wait_for(1)
                assert counts(one) == [1]
                held.set()
                for wire in wires:
                    assert wire.wait_final(1) and wire.final_responses[0].status == 200
            assert [message.target for message in one.messages] == targets, "first come, first served"


def test_a_limit_of_all_endpoints_together_is_kept() -> None:
    held = threading.Event()
    with endpoint(delay=held) as one, endpoint(delay=held) as two:
        more = "limits: { total_requests: 3, pending: 0 }"
        with placed((one, ""), (two, ""), backend=more) as running, sent(running, "/1", "/2", "/3"):
            response = ask(running)
            assert (response.status, error(response)) == (503, "connection_limit_reached")
            told = running.explain("GET http://a.test/")
            assert told["without_endpoint"][0]["why"] == "every endpoint is at its limit"
            held.set()


@pytest.mark.parametrize(
    ("setting", "kind", "reason"),
    [
        ("limits: { requests: 1, pending: 0 }", "connection_limit_reached", "queue_full"),
        ("limits: { requests: 1 }, timeouts: { pending: 50ms }", "pending_timeout", "queue_late"),
    ],
)
def test_who_is_refused_is_told_when_to_come_back_and_counted(setting: str, kind: str, reason: str) -> None:
    held = threading.Event()
    with (
        endpoint(delay=held) as one,
        placed((one, ""), backend=setting, settings="admin: {}") as running,
        sent(running, "/held"),
    ):
        response = ask(running)
        assert (response.status, error(response)) == (503, kind)
        assert response.get("retry-after") == "1"
        metrics = _metrics(running)
        assert metrics[f'tidegate_backend_refused_total{{backend="b",reason="{reason}"}}'] == 1
        assert _backend(running)["refused"] == {"queue_full": 0, "queue_late": 0, reason: 1}
        held.set()


def test_open_connections_of_a_backend_are_limited() -> None:
    held = threading.Event()
    with endpoint(delay=held) as one, endpoint() as two:
        more = "limits: { total_connections: 1 }, passive_health: { enabled: false }"
        with placed((one, ""), (two, "weight: 0"), backend=more) as running:
            with sent(running, "/held") as wires:
                response = ask(running)
                assert (response.status, error(response)) == (503, "connection_limit_reached")
                held.set()
                assert wires[0].wait_final(1)
            assert ask(running).status == 200, "the idle one serves again"
            assert len(one.connections) == 1


def test_an_idle_connection_makes_way_for_one_that_is_needed() -> None:
    with (
        endpoint() as one,
        endpoint() as two,
        placed((one, ""), (two, ""), backend="limits: { total_connections: 1 }") as running,
    ):
        assert asked(running, 6) == {200: 6}
        assert counts(one, two) == [3, 3]
        assert wait_until(lambda: _open(running) <= 1)


def _open(running: RunningGateway) -> int:
    return sum(each["connections"] for each in running.status()["backends"][0]["endpoints"])


def test_listed_responses_are_failures_and_are_passed_on() -> None:
    more = "passive_health: { failures: 2, exclude_for: 1h, statuses: [503] }"
    with (
        endpoint() as well,
        endpoint(Reply(503)) as ill,
        placed((well, ""), (ill, ""), backend=more) as running,
    ):
        assert asked(running, 8) == {200: 6, 503: 2}
        assert _health(running)[ill.address] == "excluded"
        said = f"endpoint {ill.address} of b is left out for 3600 s: it failed 2 times in a row"
        assert wait_until(lambda: said in running.output())
    with (
        endpoint() as well,
        endpoint(Reply(500)) as ill,
        placed((well, ""), (ill, ""), backend=more) as running,
    ):
        assert asked(running, 8) == {200: 4, 500: 4}, "those that are not listed are not"


def test_an_endpoint_that_comes_back_sick_is_excluded_again() -> None:
    more = "passive_health: { failures: 1, exclude_for: 100ms, exclude_at_most: 150ms, statuses: [503] }"
    with (
        endpoint() as well,
        endpoint(Reply(503)) as ill,
        placed((well, ""), (ill, ""), backend=more) as running,
    ):

        def exclusions() -> list[int]:
            asked(running, 2)
            return [each["exclusions"] for each in running.status()["backends"][0]["endpoints"]]

        assert wait_until(lambda: exclusions()[1] >= 4), "none of them was for long"
        assert exclusions()[0] == 0


@pytest.mark.parametrize("percent", [50, 99])
def test_the_last_endpoint_is_never_excluded(percent: int) -> None:
    most = f"max_excluded_percent: {percent}"
    more = f"passive_health: {{ failures: 1, exclude_for: 1h, statuses: [503], {most} }}"
    with endpoint(Reply(503)) as one, endpoint(Reply(503)) as two:
        with placed((one, ""), (two, ""), backend=more) as running:
            assert asked(running, 10) == {503: 10}
            assert Counter(_health(running).values())["excluded"] == 1
        with placed((one, ""), backend=more) as running:
            assert asked(running, 3) == {503: 3}
            assert _health(running) == {one.address: "unchecked"}


def test_an_endpoint_that_fails_more_than_the_others_is_left_out() -> None:
    outliers = "success_rate: { deviations_percent: 150, requests: 5, endpoints: 4 }"
    more = (
        f"passive_health: {{ failures: 1000, interval: 200ms, exclude_for: 1h, statuses: [503], {outliers} }}"
    )
    turn = itertools.count()

    def flaky(message: Message) -> Reply:
        return Reply(503 if next(turn) % 2 else 200)

    with (
        endpoint() as one,
        endpoint() as two,
        endpoint() as three,
        endpoint(flaky) as ill,
        placed((one, ""), (two, ""), (three, ""), (ill, ""), backend=more) as running,
    ):

        def is_out() -> bool:
            asked(running, 24)
            return _health(running)[ill.address] == "excluded"

        assert wait_until(is_out)
        assert Counter(_health(running).values()) == {"excluded": 1, "unchecked": 3}
        assert "is left out" in running.output() and "of its requests succeed" in running.output()


def test_an_endpoint_that_is_much_slower_is_left_out() -> None:
    outliers = "latency: { factor_percent: 300, requests: 3, endpoints: 3, least: 1ms }"
    more = f"passive_health: {{ interval: 1s, exclude_for: 1h, {outliers} }}"
    with (
        endpoint() as one,
        endpoint() as two,
        endpoint(delay=0.3) as slow,
        placed((one, ""), (two, ""), (slow, ""), backend=more) as running,
    ):

        def is_out() -> bool:
            with contextlib.ExitStack() as stack:
                wires = [stack.enter_context(Wire(("127.0.0.1", running.port))) for _ in range(12)]
                for wire in wires:
                    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
                for wire in wires:
                    assert wire.wait_final(1)
            return _health(running)[slow.address] == "excluded"

        assert wait_until(is_out)
        assert "it answers in" in running.output()


def test_adaptive_concurrency_finds_what_the_backend_can_do() -> None:
    """Four workers of 30 ms each, asked by 40 clients that never rest."""
    workers = threading.Semaphore(4)
    most_at_once, inside, lock = [0], [0], threading.Lock()

    def busy(message: Message) -> Reply:
        with lock:
            inside[0] += 1
            most_at_once[0] = max(most_at_once[0], inside[0])
        with workers:
            threading.Event().wait(0.03)
        with lock:
            inside[0] -= 1
        return Reply(200)

    more = (
        "limits: { pending: 1000 }, timeouts: { pending: 30s }, "
        "adaptive_concurrency: { least: 2, window: 100ms, tolerance_percent: 150 }"
    )
    with endpoint(busy) as one, placed((one, ""), backend=more, settings="admin: {}") as running:
        over = threading.Event()

        def client() -> None:
            while not over.is_set():
                assert ask(running).status == 200

        clients = [threading.Thread(target=client) for _ in range(40)]
        for each in clients:
            each.start()
        try:
            assert wait_until(lambda: len(one.messages) > 300)
            adaptive = running.status()["backends"][0]["adaptive"]
            assert 2 <= adaptive["limit"] <= 30 and adaptive["idle_us"] >= 30_000
            assert _metrics(running)['tidegate_backend_concurrency_limit{backend="b"}'] >= 2
            assert most_at_once[0] < 40, "not everybody was let in"
        finally:
            over.set()
            for each in clients:
                each.join()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("adaptive_concurrency: { least: 9, most: 3 }", "`least` is above `most`"),
        ("limits: { total_requests: 0 }", "1"),
        ("passive_health: { statuses: [200] }", "400"),
        ("passive_health: { latency: { factor_percent: 50 } }", "110"),
    ],
)
def test_a_mistake_is_told_with_its_place(setting: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(
            'listeners: { web: { port: 80 } }\nbackends:\n  b:\n    endpoints: ["a:1"]\n'
            f"    {setting}\nroutes: [{{ path: /, to: b }}]\n"
        )
    assert any(says in str(problem) and problem.line == 5 for problem in caught.value.problems), caught.value
