# SPDX-License-Identifier: Apache-2.0
"""The check through a real node."""

import contextlib
import http.client
import threading
import time

import pytest

from tidegate.testing import (
    FakeEndpoint,
    Message,
    Reply,
    RunningGateway,
    Script,
    endpoint,
    gateway,
    wait_until,
)

PATIENCE = 30.0


def text(*endpoints: FakeEndpoint, check: str = "") -> str:
    """A configuration whose endpoints are checked often."""
    named = ", ".join(f"'{each.address}'" for each in endpoints)
    often = f"interval: 50ms, healthy_after: 1, unhealthy_after: 1{check}"
    return (
        "listeners: {web: {port: 0}}\n"
        f"backends: {{b: {{endpoints: [{named}], health_check: {{type: http, {often}}}}}}}\n"
        "routes: [{path: /, to: b}]"
    )


def states(running: RunningGateway) -> list[str]:
    """What checks say of each endpoint."""
    return [str(each["health"]) for each in running.status()["backends"][0]["endpoints"]]


def status(running: RunningGateway) -> int:
    """What one request is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status


def health(script: Script, check: str = "") -> str:
    """What the check says of an endpoint that answers like this."""
    with (
        endpoint(script.respond, raw=script.raw) as upstream,
        gateway(text(upstream, check=check), threads=1) as running,
    ):
        assert wait_until(lambda: states(running) != ["unchecked"], PATIENCE)
        return states(running)[0]


@pytest.mark.parametrize("interim", [(), (103,), (100, 102, 103)])
def test_what_is_sent_before_the_response_is_not_judged(interim: tuple[int, ...]) -> None:
    assert health(Script(Reply(200, interim=interim))) == "up"
    assert health(Script(Reply(503, interim=interim))) == "down"


def test_an_endpoint_that_only_announces_a_response_is_down() -> None:
    assert health(Script(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n")) == "down"


def test_the_request_is_that_of_the_settings() -> None:
    check = ", method: POST, path: /deep?full=1, host: shop.test, headers: {X-Key: k}"
    with endpoint() as upstream, gateway(text(upstream, check=check), threads=1):
        first = upstream.wait_for(1)[0]
        assert (first.method, first.target) == ("POST", "/deep?full=1")
        assert (b"Host", b"shop.test") in first.fields
        assert (b"x-key", b"k") in first.fields


@pytest.mark.parametrize(
    ("statuses", "status", "says"),
    [("[204]", 200, "down"), ("[200, '300-399']", 302, "up"), ("['300-399']", 400, "down")],
)
def test_only_listed_statuses_count_as_well(statuses: str, status: int, says: str) -> None:
    assert health(Script(Reply(status, headers=[("Location", "/")])), f", statuses: {statuses}") == says


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall we\r\n2\r\nll\r\n0\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\nis it all well?"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall"


@pytest.mark.parametrize(
    ("raw", "within", "says"),
    [
        (CHUNKED, "64KiB", "up"),
        (CHUNKED, "7B", "down"),
        (UNTIL_CLOSED, "64KiB", "up"),
        (UNTIL_CLOSED, "13B", "down"),
        (UNTIL_CLOSED, "14B", "up"),
        (CUT, "64KiB", "down"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick", "64KiB", "down"),
    ],
)
def test_the_expected_text_is_looked_for_in_the_body(raw: bytes, within: str, says: str) -> None:
    assert health(Script(raw=raw), f", body: all well, body_within: {within}") == says


def test_so_many_probes_in_a_row_decide_for_all_threads() -> None:
    """Each probe is held until it is known what the one before has changed."""
    let_go = threading.Semaphore(0)
    verdicts: list[int] = []

    def answer(message: Message) -> Reply:
        if message.target != "/check":
            return Reply(200)
        let_go.acquire(timeout=PATIENCE)
        return Reply(verdicts.pop(0))

    patient = ", path: /check, quick_interval: 50ms, timeout: 1m"
    with endpoint() as other, endpoint(answer) as upstream:
        often = text(upstream, other, check=patient)
        often = often.replace("healthy_after: 1, unhealthy_after: 1", "healthy_after: 2, unhealthy_after: 3")
        often = often.replace("backends: {b: {", "backends: {b: {balancing: round_robin, ")

        def probes() -> int:
            return sum(message.target == "/check" for message in upstream.messages)

        def after(verdict: int) -> str:
            """What is said of it after one more probe."""
            verdicts.append(verdict)
            wanted = probes() + 1
            let_go.release()
            assert wait_until(lambda: probes() >= wanted, PATIENCE)
            return states(running)[0]

        with gateway(often, threads=4) as running:
            assert wait_until(lambda: probes() == 1, PATIENCE)
            told = [after(verdict) for verdict in (200, 200, 503, 503, 200, 503, 503, 503)]
            assert told == ["unchecked", *["up"] * 6, "down"]
            before = len(upstream.messages)
            assert [status(running) for _ in range(40)] == [200] * 40
            assert len(upstream.messages) == before, "no thread sends it anything"
            assert [after(verdict) for verdict in (200, 503, 200, 200)] == [*["down"] * 3, "up"]
            assert probes() == 13, "four threads ask no more often than one"
            for _ in range(8):
                status(running)
            assert len(upstream.messages) > before + 4
            verdicts.append(200)
            let_go.release()


def test_a_head_request_waits_for_no_body() -> None:
    assert health(Script(Reply(200, body=b"never sent")), ", method: HEAD") == "up"


def test_the_start_sends_no_503_and_a_backend_without_a_healthy_endpoint_still_tries() -> None:
    never = threading.Event()
    sick = Reply(500)

    def answer(message: Message) -> Reply:
        if message.target == "/check":
            never.wait(0.2)
            return sick
        return Reply(200)

    with endpoint(answer) as upstream, gateway(text(upstream, check=", path: /check"), threads=2) as running:
        assert status(running) == 200, "before the first check has ended"
        assert wait_until(lambda: states(running) == ["down"], PATIENCE)
        assert status(running) == 200, "the only one there is"


def test_what_is_known_survives_a_reload_that_leaves_the_check_alone() -> None:
    sick = threading.Event()

    def answer(message: Message) -> Reply:
        return Reply(500 if sick.is_set() else 200)

    with endpoint(answer) as upstream, gateway(text(upstream), threads=1) as running:
        assert wait_until(lambda: states(running) == ["up"], PATIENCE)
        for round_ in range(3):
            changed = text(upstream).replace("endpoints:", f"limits: {{pending: {round_ + 7}}}, endpoints:")
            running.reload(changed)
            assert states(running) == ["up"], "never unchecked in between"
        sick.set()
        assert wait_until(lambda: states(running) == ["down"], PATIENCE)
        running.reload(text(upstream))
        assert states(running) == ["down"]


def test_checks_of_many_endpoints_do_not_coincide() -> None:
    times: list[float] = []

    def answer(message: Message) -> Reply:
        times.append(time.monotonic())
        return Reply(200)

    upstreams = [endpoint(answer) for _ in range(20)]
    try:
        check = ", quick_interval: 100ms"
        configuration = text(*upstreams, check=check).replace(" interval: 50ms", " interval: 1s")
        with gateway(configuration, threads=1) as running:
            assert wait_until(lambda: states(running) == ["up"] * 20, PATIENCE)
            begun, count = time.monotonic(), len(times)
            assert wait_until(lambda: len(times) >= count + 100, PATIENCE)
        late = [moment - begun for moment in times[count:]]
        span = max(late)
        assert span > 1, "a pace of one second for each"
        # In step, all 20 of a round would fall into one of ten equal parts of a second.
        tenths = [sum(1 for moment in late if int(moment * 10) % 10 == part) for part in range(10)]
        assert max(tenths) < len(late) / 2, tenths
    finally:
        for each in upstreams:
            each.close()


def test_an_endpoint_that_is_down_is_asked_at_the_quick_pace() -> None:
    sick = threading.Event()
    sick.set()

    def answer(message: Message) -> Reply:
        return Reply(500 if sick.is_set() else 200)

    with endpoint(answer) as upstream:
        # The first check of an endpoint comes within a tenth of the interval.
        slow = text(upstream, check=", quick_interval: 20ms").replace(" interval: 50ms", " interval: 10s")
        with gateway(slow, threads=1) as running:
            assert wait_until(lambda: states(running) == ["down"], PATIENCE)
            count = len(upstream.messages)
            assert wait_until(lambda: len(upstream.messages) >= count + 5, PATIENCE)
            sick.clear()
            assert wait_until(lambda: states(running) == ["up"], PATIENCE)
