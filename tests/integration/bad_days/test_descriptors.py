# SPDX-License-Identifier: Apache-2.0
"""A node out of descriptors: it accepts no more for a while, serves what it has, and goes on afterwards."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from tidegate.protocol import Channel
from tidegate.testing import RunningGateway, Wire, endpoint, gateway, wait_until

from .site import TIMEOUT

LIMIT = 120
"""Descriptors the node may have: a good deal more than it needs to run, far fewer than are asked for."""
CLIENTS = 300


def limited(running: RunningGateway) -> tuple[int, int]:
    """Takes the node's descriptors away but for `LIMIT`; returns what it had."""
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (LIMIT, hard))
    return soft, hard


def clients(running: RunningGateway, stack: contextlib.ExitStack, path: str) -> list[Wire]:
    """Connections that have asked and stay open."""
    wires = []
    for _ in range(CLIENTS):
        wire = stack.enter_context(Wire(("127.0.0.1", running.port), timeout=TIMEOUT))
        wire.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode(), "GET")
        wires.append(wire)
    return wires


def answered(wires: list[Wire]) -> list[Wire]:
    """Those that have an answer by now."""
    for wire in wires:
        wire.wait_closed(0)  # takes what is there
    return [wire for wire in wires if wire.final_responses]


def test_accepting_pauses_and_resumes():
    text = "listeners: {web: {port: 0}}\nroutes: [{path: /, to: {respond: here}}]"
    with gateway(text) as running, contextlib.ExitStack() as stack:
        before = limited(running)
        waiting = clients(running, stack, "/")
        assert wait_until(lambda: running.status()["connections_refused"] > 0, TIMEOUT)
        # Some are kept back: whoever asks the node what is wrong gets an answer.
        with Channel.to(running.runtime_directory / "node.sock", TIMEOUT) as channel:
            assert channel.call("status", timeout=TIMEOUT)["connections_refused"] > 0
        served = 0
        while waiting:
            # Whoever is served leaves, and makes room for those the kernel holds.
            assert wait_until(lambda: answered(waiting), TIMEOUT), (served, len(waiting))
            for wire in answered(waiting):
                assert wire.final_responses[0].status == 200
                wire.close()
                waiting.remove(wire)
                served += 1
        assert served == CLIENTS
        assert running.status()["panics"] == 0
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, before)
        with Wire(("127.0.0.1", running.port), timeout=TIMEOUT) as wire:
            wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
            assert wire.wait_final(1)


def test_without_descriptors_for_endpoints_requests_are_answered_and_service_comes_back():
    with endpoint() as upstream, contextlib.ExitStack() as stack:
        text = f"listeners: {{web: {{port: 0}}}}\nroutes: [{{path: /, to: '{upstream.url}'}}]"
        with gateway(text) as running:
            before = limited(running)
            waiting = clients(running, stack, "/")
            served: list[int] = []
            while waiting:
                assert wait_until(lambda: answered(waiting), TIMEOUT), (served, len(waiting))
                for wire in answered(waiting):
                    served.append(wire.final_responses[0].status)
                    wire.close()
                    waiting.remove(wire)
            assert len(served) == CLIENTS
            assert set(served) <= {200, 503}, served
            assert served.count(200) > 0
            resource.prlimit(running.pid, resource.RLIMIT_NOFILE, before)
            # The endpoint was never at fault.
            [backend] = running.status()["backends"]
            assert backend["endpoints"][0]["failures"] == 0
            with Wire(("127.0.0.1", running.port), timeout=TIMEOUT) as wire:
                wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
                assert wire.wait_final(1) and wire.final_responses[0].status == 200


def test_the_log_goes_on_after_descriptors_ran_out(tmp_path: Path):
    """Reopened while there is none left: lines are dropped and counted, then written again."""
    text = "listeners: {web: {port: 0}}\nroutes: [{path: /, to: {respond: here}}]"
    with gateway(text) as running, contextlib.ExitStack() as stack:
        before = limited(running)
        wires = clients(running, stack, "/")
        assert wait_until(lambda: running.status()["connections_refused"] > 0, TIMEOUT)
        running.call("logs.reopen")
        for wire in wires:
            wire.close()
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, before)

        def written() -> bool:
            with Wire(("127.0.0.1", running.port), timeout=TIMEOUT) as wire:
                wire.send(b"GET /again HTTP/1.1\r\nhost: a\r\n\r\n", "GET")
                assert wire.wait_final(1)
            return any(entry["path"] == "/again" for entry in running.log())

        assert wait_until(written, TIMEOUT)
