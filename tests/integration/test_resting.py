# SPDX-License-Identifier: Apache-2.0
"""Idle connections rest after a second, without task, timer and watch. Their clients see no difference."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tidegate.testing import RunningGateway, Wire, gateway, wait_until

TIMEOUT = 30.0
COUNT = 70
"""More than are taken from the kernel in one call."""
ASK = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
TEXT = """
gateway: {threads: 1}
listeners: {web: {port: 0, SETTINGS}}
routes: [{path: /, to: {respond: here}}]
"""


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def started(stack: contextlib.ExitStack, settings: str = "timeouts: {idle: 60s}") -> RunningGateway:
    return stack.enter_context(gateway(TEXT.replace("SETTINGS", settings)))


def connected(running: RunningGateway, stack: contextlib.ExitStack) -> Wire:
    return stack.enter_context(Wire(("127.0.0.1", running.port), timeout=TIMEOUT))


def wait_resting(running: RunningGateway, count: int) -> None:
    assert wait_until(lambda: running.status()["connections_resting"] == count, TIMEOUT)


def ask(*wires: Wire) -> None:
    """One request on each, all under way at once."""
    before = [len(wire.final_responses) for wire in wires]
    for wire in wires:
        wire.send(ASK, "GET")
    for wire, count in zip(wires, before, strict=True):
        assert wire.wait_final(count + 1)
        assert wire.final_responses[-1].body == b"here"


def test_those_that_rest_are_served_when_they_ask(stack: contextlib.ExitStack) -> None:
    running = started(stack)
    wires = [connected(running, stack) for _ in range(COUNT)]
    for _ in range(3):
        ask(*wires)
        wait_resting(running, COUNT)
    assert running.status()["connections_accepted"] == COUNT


def test_a_client_that_has_said_nothing_yet_rests_too(stack: contextlib.ExitStack) -> None:
    running = started(stack)
    wire = connected(running, stack)
    wait_resting(running, 1)
    wire.send(ASK[:9])
    wait_resting(running, 0)
    wire.send(ASK[9:], "GET")
    assert wire.wait_final(1)


def test_who_leaves_while_resting_gives_the_place_back(stack: contextlib.ExitStack) -> None:
    running = started(stack, "limits: {connections: 2}")
    wires = [connected(running, stack) for _ in range(2)]
    ask(*wires)
    wait_resting(running, 2)
    with contextlib.suppress(ConnectionResetError):
        connected(running, stack)
    assert wait_until(lambda: running.status()["connections_refused"] == 1, TIMEOUT)
    wires[0].close()
    wires[1].reset()
    wait_resting(running, 0)
    assert wait_until(lambda: running.status()["listeners"][0]["connections"] == 0, TIMEOUT)
    ask(*[connected(running, stack) for _ in range(2)])


def test_rest_ends_with_the_idle_time(stack: contextlib.ExitStack) -> None:
    running = started(stack, "timeouts: {idle: 3s}")
    wire = connected(running, stack)
    ask(wire)
    begun = time.monotonic()
    wait_resting(running, 1)
    assert wire.wait_closed()
    assert wire.closed == "fin"
    assert time.monotonic() - begun > 2.5


def test_rest_ends_with_the_listener_and_with_the_node(stack: contextlib.ExitStack) -> None:
    more = "listeners: {web: {port: 0}, other: {port: 0}}\nroutes: [{path: /, to: {respond: here}}]"
    running = stack.enter_context(gateway(more))
    stays = stack.enter_context(Wire(("127.0.0.1", running.ports["web"]), timeout=TIMEOUT))
    goes = stack.enter_context(Wire(("127.0.0.1", running.ports["other"]), timeout=TIMEOUT))
    ask(stays, goes)
    wait_resting(running, 2)
    running.reload(more.replace(", other: {port: 0}", ""))
    assert goes.wait_closed()
    ask(stays)
    wait_resting(running, 1)
    running.stop()
    assert stays.wait_closed()
