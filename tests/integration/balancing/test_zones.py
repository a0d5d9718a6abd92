# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.settings.kit import ask, error
from tests.integration.supervised import supervised
from tidegate.testing import FakeEndpoint, Wire, endpoint, wait_until

from .kit import asked, counts, placed, told

OUT = "passive_health: { failures: 1, exclude_for: 1h, max_excluded_percent: 99 }"


@pytest.fixture
def trio() -> Iterator[list[FakeEndpoint]]:
    with endpoint() as one, endpoint() as two, endpoint() as three:
        yield [one, two, three]


@pytest.fixture
def refusing() -> Iterator[FakeEndpoint]:
    with endpoint(fail="refuse") as upstream:
        yield upstream


def test_the_own_zone_comes_first(trio: list[FakeEndpoint]) -> None:
    one, two, three = trio
    places = [(one, "zone: a"), (two, "zone: a"), (three, "zone: b")]
    with placed(*places, settings="zone: a") as running:
        assert told(running) == {one.address: 0.5, two.address: 0.5}
        assert asked(running, 20) == {200: 20}
        assert counts(*trio) == [10, 10, 0]


def test_no_zone_is_preferred_where_that_is_not_wanted(trio: list[FakeEndpoint]) -> None:
    places = [(trio[0], "zone: a"), (trio[1], "zone: a"), (trio[2], "zone: b")]
    with placed(*places, settings="zone: a", backend="zones: { prefer: none }") as running:
        assert asked(running, 30) == {200: 30}
        assert counts(*trio) == [10, 10, 10]


@pytest.mark.parametrize(("percent", "local"), [(100, 0.5), (140, 0.7), (200, 1.0)])
def test_what_the_own_zone_cannot_carry_spills_over(
    trio: list[FakeEndpoint], refusing: FakeEndpoint, percent: int, local: float
) -> None:
    one, two, three = trio
    places = [(one, "zone: a"), (refusing, "zone: a"), (two, "zone: b"), (three, "zone: b")]
    more = f"{OUT}, failover: {{ overprovisioning_percent: {percent} }}"
    with placed(*places, settings="zone: a", backend=more) as running:
        assert wait_until(lambda: ask(running).status == 200 and len(told(running)) != 2)
        shares = told(running)
        assert shares.get(one.address) == pytest.approx(local)
        assert refusing.address not in shares
        before = counts(*trio)
        assert asked(running, 300) == {200: 300}, "no client notices"
        here, *there = (now - then for now, then in zip(counts(*trio), before, strict=True))
        # Five standard deviations of 300 draws.
        assert abs(here - 300 * local) <= 5 * (300 * local * (1 - local)) ** 0.5
        assert sum(there) == 300 - here and (local == 1 or abs(there[0] - there[1]) <= 30)


def test_a_busy_own_zone_spills_over() -> None:
    held = threading.Event()
    with endpoint(delay=held) as here, endpoint() as there:
        places = [(here, "zone: a, weight: 2"), (there, "zone: b")]
        with placed(*places, settings="zone: a", backend="zones: { spill_at: 2 }") as running:
            with contextlib.ExitStack() as stack:
                for number in range(4):
                    wire = stack.enter_context(Wire(("127.0.0.1", running.port)))
                    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
                    here.wait_for(number + 1)
                assert told(running) == {there.address: 1.0}
                assert asked(running, 3) == {200: 3}
                assert counts(here, there) == [4, 3]
                held.set()
            assert wait_until(lambda: told(running) == {here.address: 1.0})


def test_a_full_own_zone_spills_over_before_anyone_waits() -> None:
    held = threading.Event()
    with endpoint(delay=held) as here, endpoint() as there:
        places = [(here, "zone: a"), (there, "zone: b")]
        with (
            placed(*places, settings="zone: a", backend="limits: { connections: 1 }") as running,
            Wire(("127.0.0.1", running.port)) as wire,
        ):
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            here.wait_for(1)
            assert ask(running).status == 200
            assert counts(here, there) == [1, 1]
            held.set()


@pytest.mark.parametrize("settings", ["", "zone: a"])
def test_a_retry_leaves_the_zone_where_the_first_try_failed(settings: str) -> None:
    off = "passive_health: { enabled: false }"
    with (
        endpoint() as there,
        endpoint(reset=True, cut_at=0) as one,
        endpoint(reset=True, cut_at=0) as two,
        endpoint(fail="refuse") as far,
    ):
        places = [(one, "zone: a"), (two, "zone: a"), (there, "zone: b"), (far, "zone: c, priority: 1")]
        with placed(*places, settings=settings, backend=off) as running:
            # One retry: a second try in zone a would be the last.
            assert asked(running, 12) == {200: 12}
            assert counts(far) == [0], "another priority is no nearer"


def test_a_zone_of_many_dead_endpoints_costs_nobody_the_request() -> None:
    off = "passive_health: { enabled: false }"
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(endpoint(fail="refuse")) for _ in range(6)]
        there = stack.enter_context(endpoint())
        places = [*((each, "zone: a") for each in dead), (there, "zone: b")]
        with placed(*places, settings="zone: a", backend=off) as running:
            # More than the four connects that a request may fail at.
            assert {ask(running, method="POST", body=b"x").status for _ in range(6)} == {200}


def test_the_zone_of_the_gateway_can_change(trio: list[FakeEndpoint]) -> None:
    one, two, _ = trio
    with placed((one, "zone: a"), (two, "zone: b"), settings="zone: a") as running:
        assert told(running) == {one.address: 1.0}
        running.reload(
            f"""
gateway: {{ zone: b }}
listeners: {{ web: {{ port: 0, proxy_status: true }} }}
backends:
  b:
    balancing: round_robin
    endpoints: [{{ address: "{one.address}", zone: a }}, {{ address: "{two.address}", zone: b }}]
routes: [{{ name: r, path: /, to: b }}]
"""
        )
        assert told(running) == {two.address: 1.0}
        assert running.status()["zone"] == "b"


def test_the_next_priority_takes_over_when_the_first_fails(trio: list[FakeEndpoint]) -> None:
    first, second, last = trio
    places = [(first, ""), (second, "priority: 1"), (last, "priority: 2")]
    with placed(*places, backend=OUT) as running:
        assert asked(running, 5) == {200: 5}
        assert counts(*trio) == [5, 0, 0]
        first.close()
        assert asked(running, 5) == {200: 5}, "the connect that failed is tried elsewhere"
        assert counts(*trio) == [5, 5, 0]
        assert told(running) == {second.address: 1.0}


@pytest.mark.parametrize(("percent", "panics"), [(0, False), (30, False), (50, True)])
def test_below_the_threshold_health_is_not_believed(
    trio: list[FakeEndpoint], percent: int, panics: bool
) -> None:
    one, two, three = trio
    more = f"{OUT}, failover: {{ panic_percent: {percent} }}"
    with placed((one, ""), (two, ""), (three, ""), backend=more) as running:
        two.close()
        three.close()
        assert asked(running, 6) == {200: 6}
        # One of three is well.
        assert (len(told(running)) == 3) is panics
        groups = running.status()["backends"][0]["groups"]
        assert [group["panic"] for group in groups] == [panics]


@pytest.mark.parametrize(("percent", "kind"), [(0, "destination_unavailable"), (1, "connection_refused")])
def test_with_none_well_requests_fail_fast_or_try(refusing: FakeEndpoint, percent: int, kind: str) -> None:
    check = "health_check: { type: tcp, interval: 20ms, timeout: 1s, unhealthy_after: 1 }"
    more = f"{check}, failover: {{ panic_percent: {percent} }}"
    with placed((refusing, ""), backend=more) as running:
        told = "down"
        assert wait_until(lambda: running.status()["backends"][0]["endpoints"][0]["health"] == told)
        assert wait_until(lambda: error(ask(running)) == kind)
        assert ask(running).status == (503 if percent == 0 else 502)


def test_a_zone_is_drained_by_command_and_taken_in_again(tmp_path: Path) -> None:
    with endpoint() as here, endpoint() as there:
        text = f"""
gateway: {{ threads: 1, zone: a }}
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends:
  b:
    endpoints: [{{ address: "{here.address}", zone: a }}, {{ address: "{there.address}", zone: b }}]
  only: {{ endpoints: [{{ address: "{here.address}", zone: a }}] }}
routes: [{{ name: r, path: /, to: b }}, {{ name: only, path: /only, to: only }}]
"""
        with supervised(tmp_path, text) as running:
            running.get()
            assert counts(here, there) == [1, 0]
            said = running.run("zone", "drain", "a")
            assert (said.returncode, said.stdout) == (0, "t: zone a takes no new requests (2 endpoints)\n")
            for _ in range(3):
                running.get()
            assert counts(here, there) == [1, 3]
            status = running.run("status").stdout
            assert "drained    zones a" in status and " draining " in status
            told = json.loads(running.run("explain", "GET", "/", "--live", "--json").stdout)
            assert told["endpoint"] == there.address
            running.get("/only")
            assert counts(here, there) == [2, 3], "a backend that is nowhere else goes on"
            running.write(text + "  # changed\n")
            assert running.run("reload").returncode == 0
            running.get()
            assert counts(here, there) == [2, 4], "a reload takes no zone in"
            running.process.send_signal(9)
            running.wait()
            running.again()
            running.wait_ready()
            running.get()
            assert counts(here, there) == [2, 5]
            said = running.run("zone", "undrain", "a", "--json")
            assert json.loads(said.stdout)["drained"] == []
            running.get()
            assert counts(here, there) == [3, 5]


def test_only_a_zone_that_is_there_is_drained(tmp_path: Path) -> None:
    with endpoint() as here:
        text = f"""
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends: {{ b: {{ endpoints: [{{ address: "{here.address}", zone: a }}] }} }}
routes: [{{ path: /, to: b }}]
"""
        with supervised(tmp_path, text) as running:
            said = running.run("zone", "drain", "A")
            assert said.returncode == 3
            assert "A: no endpoint stands in this zone; there is a" in said.stderr
