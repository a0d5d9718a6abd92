# SPDX-License-Identifier: Apache-2.0
"""SIGTERM drains: what is in flight ends as it would have, what is idle is closed, the exit code is 0."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tidegate.testing import FakeEndpoint, Wire, endpoint, wait_until

from .site import TIMEOUT, Site

GET = b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n"


def configuration(port: int, held: FakeEndpoint, quick: FakeEndpoint, grace: str) -> dict[str, Any]:
    return {
        "gateway": {"graceful_stop": grace},
        "listeners": {"web": {"address": "127.0.0.1", "port": port}},
        "routes": [{"path": "/held", "to": held.url}, {"path": "/", "to": quick.url}],
    }


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(TIMEOUT)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def ended(site: Site) -> int:
    assert site.process is not None
    return site.process.wait(TIMEOUT)


def test_sigterm_finishes_what_is_in_flight_and_closes_what_is_idle(tmp_path: Path, release: threading.Event):
    port, address = free_port(), "127.0.0.1"
    with (
        endpoint(delay=release) as held,
        endpoint() as quick,
        Site(tmp_path, configuration(port, held, quick, "60s")) as site,
        Wire((address, port), timeout=TIMEOUT) as busy,
        Wire((address, port), timeout=TIMEOUT) as upload,
        Wire((address, port), timeout=TIMEOUT) as idle,
        Wire((address, port), timeout=TIMEOUT) as silent,
    ):
        busy.send(GET % b"held", "GET")
        upload.send(b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello", "POST")
        idle.send(GET % b"", "GET")
        assert idle.wait_final(1)
        held.wait_for(1, TIMEOUT)
        assert quick.wait(lambda each: any(b"hello" in c.unfinished for c in each.connections), TIMEOUT)
        os.kill(site.supervisor, signal.SIGTERM)
        assert idle.wait_closed() and idle.closed == "fin"
        assert silent.wait_closed() and silent.closed == "fin"
        # Not left to wait for somebody who will never accept.
        assert wait_until(lambda: is_refused(port), TIMEOUT)
        upload.send(b"world")
        release.set()
        for wire in (busy, upload):
            assert wire.wait_final(1), wire.closed
            assert wire.final_responses[0].status == 200
            assert wire.wait_closed() and wire.closed == "fin"
        assert [each.body for each in quick.messages if each.method == "POST"] == [b"helloworld"]
        assert ended(site) == 0


def test_who_waits_in_the_queue_at_sigterm_is_served(tmp_path: Path):
    """The kernel has taken their connections and requests: to close the queue would reset them."""
    port = free_port()
    with (
        endpoint() as held,
        endpoint() as quick,
        Site(tmp_path, configuration(port, held, quick, "60s")) as site,
        contextlib.ExitStack() as clients,
    ):
        node = int(site.call("status")["pid"])
        os.kill(node, signal.SIGSTOP)
        try:
            waiting = [clients.enter_context(Wire(("127.0.0.1", port), timeout=TIMEOUT)) for _ in range(100)]
            for wire in waiting:
                wire.send(GET % b"", "GET")
            os.kill(site.supervisor, signal.SIGTERM)
            # The supervisor's own copies are closed before it tells the node.
            assert wait_until(lambda: is_pending(node, signal.SIGTERM), TIMEOUT)
        finally:
            os.kill(node, signal.SIGCONT)
        for wire in waiting:
            assert wire.wait_final(1), wire.closed
            assert wire.final_responses[0].status == 200
            assert wire.wait_closed() and wire.closed == "fin"
        assert ended(site) == 0


def is_pending(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(line.partition(":")[2] for line in lines if line.startswith("ShdPnd:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tmp_path: Path, release: threading.Event, again: int):
    port = free_port()
    with (
        endpoint(delay=release) as held,
        endpoint() as quick,
        Site(tmp_path, configuration(port, held, quick, "10m")) as site,
        Wire(("127.0.0.1", port), timeout=TIMEOUT) as busy,
        Wire(("127.0.0.1", port), timeout=TIMEOUT) as idle,
    ):
        busy.send(GET % b"held", "GET")
        held.wait_for(1, TIMEOUT)
        os.kill(site.supervisor, signal.SIGTERM)
        assert idle.wait_closed()
        os.kill(site.supervisor, again)
        assert busy.wait_closed() and not busy.received
        assert ended(site) == 0


def test_what_outlasts_the_grace_is_cut_and_the_exit_code_is_still_0(
    tmp_path: Path, release: threading.Event
):
    port = free_port()
    with (
        endpoint(delay=release) as held,
        endpoint() as quick,
        Site(tmp_path, configuration(port, held, quick, "500ms")) as site,
        Wire(("127.0.0.1", port), timeout=TIMEOUT) as busy,
    ):
        busy.send(GET % b"held", "GET")
        held.wait_for(1, TIMEOUT)
        os.kill(site.supervisor, signal.SIGTERM)
        assert busy.wait_closed() and not busy.received
        assert ended(site) == 0
        assert not list(site.directory.parent.glob("*/*")), "files of the runtime directory are left"


def test_a_stream_ends_whole_while_draining(tmp_path: Path, release: threading.Event):
    """Its head went out long before: the end of it must still come."""
    port = free_port()
    origin = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connected, _ = origin.accept()
        with connected, contextlib.suppress(OSError):
            connected.recv(65536)
            connected.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            release.wait(TIMEOUT)
            connected.sendall(b"4\r\nlast\r\n0\r\n\r\n")

    server = threading.Thread(target=serve)
    server.start()
    address = "{}:{}".format(*origin.getsockname())
    base = {
        "gateway": {"graceful_stop": "60s"},
        "listeners": {"web": {"address": "127.0.0.1", "port": port}},
        "routes": [{"path": "/", "to": f"http://{address}"}],
    }
    try:
        with (
            Site(tmp_path, base) as site,
            Wire(("127.0.0.1", port), timeout=TIMEOUT) as stream,
            Wire(("127.0.0.1", port), timeout=TIMEOUT) as idle,
        ):
            stream.send(GET % b"", "GET")
            assert stream.wait_bytes(b"first")
            os.kill(site.supervisor, signal.SIGTERM)
            assert idle.wait_closed()
            release.set()
            assert stream.wait_final(1), stream.closed
            assert stream.final_responses[0].body == b"firstlast"
            assert ended(site) == 0
    finally:
        release.set()
        server.join()
        origin.close()
