# SPDX-License-Identifier: Apache-2.0
"""`tidegate top` and `tidegate slow` on a running instance."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tidegate.cli.top_frame import frame, lines
from tidegate.testing import FakeEndpoint, Message, Wire, endpoint, wait_until

TEXT = """
gateway: { threads: 1, slow_request: 100ms }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends: { shop: { endpoints: ["UPSTREAM"] } }
routes: [{ name: home, path: /, to: shop }]
"""


def respond(request: Message) -> int:
    time.sleep(0.2 if request.target.startswith("/slow") else 0)
    return 500 if request.target == "/bad" else 200


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint(respond=respond) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeEndpoint) -> Iterator[Supervised]:
    with supervised(tmp_path_factory.mktemp("top"), TEXT.replace("UPSTREAM", upstream.address)) as running:
        yield running


def ask(gateway: Supervised, *paths: str) -> None:
    with Wire(("127.0.0.1", gateway.port), timeout=DEADLINE) as wire:
        for count, path in enumerate(paths, 1):
            wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "GET")
            assert wire.wait_final(count), wire.closed


def top_while_asked(gateway: Supervised, *arguments: str) -> str:
    """What `tidegate top` printed while requests came."""
    command = [sys.executable, "-m", "tidegate", "top", *arguments]
    with subprocess.Popen(command, env=gateway._environment, stdout=subprocess.PIPE, text=True) as running:
        while running.poll() is None:
            ask(gateway, "/", "/bad")
        assert running.stdout is not None and running.returncode == 0
        return running.stdout.read()


def test_top_tells_rates_errors_and_times_per_route_and_endpoint(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    shown = json.loads(top_while_asked(gateway, "--json"))
    [route], [at] = shown["routes"], shown["endpoints"]
    assert route["name"] == "home" and route["requests_per_s"] > 0
    assert 0 < route["errors_per_s"] < route["requests_per_s"]
    assert 0 < route["p50_ms"] <= route["p99_ms"]
    assert at["address"] == upstream.address and at["requests_per_s"] > 0
    assert 0 < at["p50_ms"] <= at["p99_ms"] <= route["p99_ms"] + 1000
    assert shown["requests_per_s"] > 0 and shown["connections"] >= 0


def test_top_that_goes_to_no_terminal_is_one_frame_without_colour(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    said = top_while_asked(gateway)
    assert "\x1b" not in said
    assert re.search(r"^home +[\d.,]+ ", said, re.MULTILINE)
    assert f"shop {upstream.address}" in said


def test_frames_are_recorded_and_shown_again(gateway: Supervised, tmp_path: Path) -> None:
    file = tmp_path / "top.jsonl"
    top_while_asked(gateway, "--once", "--record", str(file))
    [recorded] = [json.loads(line) for line in file.read_text().splitlines()]
    said = gateway.run("top", "--replay", str(file), "--json").stdout
    assert json.loads(said) == recorded
    file.write_text("{}\n")
    refused = gateway.run("top", "--replay", str(file))
    assert refused.returncode == 1 and "top.jsonl:1: no frame" in refused.stderr


def test_a_terminal_shows_frames_until_q_and_is_put_back(gateway: Supervised) -> None:
    ask(gateway, "/")
    leader, follower = pty.openpty()
    environment = {**gateway._environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tidegate", "top"]
    with subprocess.Popen(
        command, env=environment, stdin=follower, stdout=follower, stderr=follower
    ) as running:
        os.close(follower)
        seen = bytearray()

        def shows(text: bytes) -> bool:
            while select.select([leader], [], [], 0.05)[0]:
                try:
                    seen.extend(os.read(leader, 1 << 16))
                except OSError:
                    break
            return text in seen

        try:
            assert wait_until(lambda: shows(b"sort: requests"), DEADLINE), bytes(seen)
            os.write(leader, b"s")
            assert wait_until(lambda: shows(b"sort: p99"), DEADLINE), bytes(seen)
            os.write(leader, b"p")
            assert wait_until(lambda: shows(b"go on (held)"), DEADLINE), bytes(seen)
            os.write(leader, b"q")
            assert wait_until(lambda: shows(b"\x1b[?1049l"), DEADLINE), bytes(seen)
            assert running.wait(DEADLINE) == 0
            assert not re.search(rb"\x1b\[\d+m", bytes(seen)), "NO_COLOR"
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGKILL)
            os.close(leader)


def test_slow_requests_are_shown_with_where_their_time_went(gateway: Supervised) -> None:
    ask(gateway, "/slow")
    said = gateway.run("slow").stdout
    assert "GET /slow" in said and "WAIT" in said
    [entry] = [each for each in json.loads(gateway.run("slow", "--json").stdout)["entries"]
               if each["path"] == "/slow"]  # fmt: skip
    assert entry["timing"]["endpoint_ms"] >= 100


def test_credentials_are_shown_by_nothing_although_there_is_no_access_log(gateway: Supervised) -> None:
    with Wire(("127.0.0.1", gateway.port), timeout=DEADLINE) as wire:
        wire.send(b"GET /slow?token=sesame&a=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wire.wait_final(1), wire.closed

    def slow() -> list[dict[str, Any]]:
        entries = json.loads(gateway.run("slow", "--json").stdout)["entries"]
        return [each for each in entries if each.get("query")]

    assert wait_until(lambda: bool(slow()), DEADLINE)
    [entry] = slow()
    assert entry["query"] == "token=[redacted]&a=1"
    assert "sesame" not in gateway.run("slow").stdout
    for arguments in ((), ("--json",)):
        told = gateway.run("why", entry["request_id"], *arguments)
        assert told.returncode == 0 and "[redacted]" in told.stdout and "sesame" not in told.stdout


def sample(requests: int, routes: int = 1) -> dict[str, Any]:
    """An answer of the node to `top`."""
    one = {"requests": requests, "by_class": [0, 0, requests, 0, 0, 1], "retries": 0, "bytes_out": requests,
           "p50_us": 1500, "p99_us": None}  # fmt: skip
    address = {"address": "10.0.0.1:80", "health": "down", "requests": requests, "failures": 0,
               "in_flight": 2, "connections": 3, "p50_us": 250, "p99_us": 900}  # fmt: skip
    return {
        "time_us": requests * 1_000_000, "instance": "t", "version": "1", "snapshot": 1, "uptime_s": 5,
        "requests": requests, "connections_accepted": 0, "connections_refused": 0, "memory": None,
        "listeners": [{"connections": 4}],
        "routes": [{"name": f"r{at}\x1b[2J" * 9, **one} for at in range(routes)],
        "backends": [{"name": "b", "endpoints": [address]}],
    }  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_frame_fits_the_terminal_and_steers_nothing(width: int) -> None:
    shown = frame(sample(1), sample(3, routes=50))
    text = lines(shown, width=width, height=24, sort="name", note="q quit")
    assert len(text) <= 24 and text[-1] == "q quit"
    assert max(map(len, text)) <= width
    assert not any("\x1b" in line for line in text)
    assert any("10.0.0.1:80" in line for line in text) or width == 40


def test_counters_of_a_node_that_was_replaced_count_from_0() -> None:
    before, now = sample(5), sample(9)
    now["requests"] = 2
    assert frame(before, now)["requests_per_s"] == 0.5
