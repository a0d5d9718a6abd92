# SPDX-License-Identifier: Apache-2.0
"""Little memory: the node sheds load before the kernel ends it, and takes it again afterwards."""

import contextlib
import resource
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.testing import RunningGateway, Wire, gateway, wait_until

TIMEOUT = 60
MIB = 1 << 20
LIMIT = 64 * MIB
UPLOAD = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 131_072
LARGE = "x" * MIB
"""A response that its clients do not read. The kernel takes the first few, the node holds the next: as it
is and as bytes to send."""


def config(upstream: str, settings: str) -> str:
    return f"""
gateway: {{ threads: 2, {settings} admin: {{ address: 127.0.0.1, port: 9180 }} }}
listeners:
  web:
    port: 0
    limits: {{ body_size: 1GiB, connections_per_address: 10000 }}
    timeouts: {{ idle: 1h }}
backends:
  stuck:
    endpoints: [ "{upstream}" ]
    timeouts: {{ stall: 1h, first_byte: 1h }}
    limits: {{ connections: 10000 }}
routes:
  - {{ name: small, path: /small, to: {{ respond: small }} }}
  - {{ name: large, path: /large, to: {{ respond: {LARGE} }} }}
  - {{ name: up, path: /up, to: stuck }}
"""


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """An endpoint that accepts and reads nothing."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def flood(running: RunningGateway, stack: contextlib.ExitStack, count: int) -> list[socket.socket]:
    """Clients that take next to nothing of what they are sent, and stay; those that were let in."""
    clients = []
    for _ in range(count):
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionError):
            client.connect(("127.0.0.1", running.port))
            client.setblocking(False)
            clients.append(client)
    return clients


def send(clients: list[socket.socket], message: bytes) -> None:
    for client in clients:
        with contextlib.suppress(ConnectionError, BlockingIOError):
            client.send(message)


def served(running: RunningGateway, listener: str = "web", path: str = "/small") -> bool:
    with (
        contextlib.suppress(ConnectionError),
        Wire(("127.0.0.1", running.ports[listener]), timeout=TIMEOUT) as wire,
    ):
        wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "GET")
        return wire.wait_final(1) and wire.final_responses[0].status == 200
    return False


def metric(running: RunningGateway, name: str) -> float:
    with Wire(("127.0.0.1", running.ports["admin"]), timeout=TIMEOUT) as wire:
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wire.wait_final(1)
        lines = wire.final_responses[0].body.decode().splitlines()
    # An error that never happened has no line.
    return float(next((line.split()[-1] for line in lines if line.startswith(name + " ")), 0))


@contextlib.contextmanager
def small_node() -> Iterator[RunningGateway]:
    with deaf() as address, gateway(config(address, "memory: 64MiB,")) as running:
        assert wait_until(lambda: running.status()["memory"], TIMEOUT)
        assert running.status()["memory"]["source"] == "gateway.memory"
        yield running
        recovers(running)


def made_group(limit: int) -> Path:
    """A control group of either version with this limit; skips where none can be made."""
    name = f"tidegate-{uuid.uuid4().hex}"
    for top, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(top, name)
        with contextlib.suppress(OSError):
            folder.mkdir()
            try:
                (folder / file).write_text(str(limit))
            except OSError:
                folder.rmdir()
                raise
            return folder
    pytest.skip("needs to make a control group with a limit of memory")


@contextlib.contextmanager
def group(limit: int) -> Iterator[Path]:
    folder = made_group(limit)
    try:
        yield folder
    finally:
        assert wait_until(lambda: not (folder / "cgroup.procs").read_text(), TIMEOUT)
        folder.rmdir()


def recovers(running: RunningGateway) -> None:
    assert wait_until(lambda: running.status()["memory"]["state"] == "ample", TIMEOUT)
    # What clients that are gone had sent may still be in the queue, and cost memory once more.
    assert wait_until(lambda: all(served(running) for _ in range(20)), TIMEOUT)
    assert running.status()["panics"] == 0


def test_responses_that_nobody_reads_are_refused_before_they_take_all_memory() -> None:
    with small_node() as running, contextlib.ExitStack() as stack:
        for _ in range(10):
            send(flood(running, stack, 10), b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 8)
            assert running.status()["memory"]["used"] < LIMIT
        assert metric(running, 'tidegate_errors_total{kind="memory_limit_reached"}') > 0
        assert wait_until(lambda: served(running), TIMEOUT)


def test_the_limit_of_a_control_group_is_kept_without_a_setting() -> None:
    with group(2 * LIMIT) as folder, deaf() as address, gateway(config(address, "")) as running:
        (folder / "cgroup.procs").write_text(str(running.pid))
        source = str(folder)
        assert wait_until(lambda: (running.status()["memory"] or {}).get("source") == source, TIMEOUT)
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                send(flood(running, stack, 30), UPLOAD)
            assert wait_until(lambda: served(running), TIMEOUT), running.status()["memory"]
            status = running.status()
            assert (status["memory"]["limit"], status["memory"]["source"]) == (2 * LIMIT, source)
            shed = metric(running, 'tidegate_connections_refused_total{reason="memory"}')
            assert shed + metric(running, 'tidegate_errors_total{kind="memory_limit_reached"}') > 0
        recovers(running)


def test_an_rlimit_counts_as_well() -> None:
    limit = 1 << 40
    with deaf() as address, gateway(config(address, "")) as running:
        resource.prlimit(running.pid, resource.RLIMIT_DATA, (limit, limit))
        assert wait_until(lambda: (running.status()["memory"] or {}).get("limit") == limit, TIMEOUT)
        assert running.status()["memory"]["source"] == "rlimit"


def test_a_flood_of_uploads_is_shed_and_others_are_served() -> None:
    with small_node() as running, contextlib.ExitStack() as stack:
        for _ in range(50):
            send(flood(running, stack, 30), UPLOAD)
        status = running.status()
        assert status["memory"]["used"] < LIMIT
        assert metric(running, "tidegate_memory_limit_bytes") == LIMIT
        shed = metric(running, 'tidegate_connections_refused_total{reason="memory"}')
        assert shed + metric(running, 'tidegate_errors_total{kind="memory_limit_reached"}') > 0
        # With the flood still there, others are served again.
        assert wait_until(lambda: served(running), TIMEOUT), running.status()["memory"]


def test_connections_that_hold_most_end_when_little_memory_is_left() -> None:
    """Heads that stop in the middle, all at once, on connections that were idle before. Those that are idle
    close as well, and whoever asks how the node is gets an answer."""
    with small_node() as running, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Wire(("127.0.0.1", running.port), timeout=TIMEOUT)) for _ in range(10)]
        for wire in idle:
            wire.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
            assert wire.wait_final(1)
        clients = flood(running, stack, 2500)
        send(clients, b"GET /small HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 30_000)
        assert wait_until(lambda: running.status()["connections_ended"] > 0, TIMEOUT), running.status()[
            "memory"
        ]
        assert metric(running, "tidegate_connections_ended_total") > 0
        assert all(wire.wait_closed(TIMEOUT) for wire in idle)
        assert running.output().count("bytes of memory are used") == 1
        assert wait_until(lambda: served(running), TIMEOUT), running.status()["memory"]
