# SPDX-License-Identifier: Apache-2.0
"""Without control traffic goes on, and a node that dies starts again from its last snapshot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tidegate.protocol import Refused
from tidegate.testing import FakeEndpoint, Wire, endpoint, wait_until

from .site import TIMEOUT, Site, kill

GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def configuration(port: int, upstream: FakeEndpoint) -> dict[str, Any]:
    return {
        "listeners": {"web": {"address": "127.0.0.1", "port": port}},
        "routes": [{"path": "/", "to": upstream.url}],
    }


def fetch(port: int) -> int:
    with Wire(("127.0.0.1", port), timeout=TIMEOUT) as wire:
        wire.send(GET, "GET")
        assert wire.wait_final(1), (wire.closed, bytes(wire.received))
        return wire.final_responses[0].status


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing at all, and cannot be replaced since it has not ended."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def replaced(site: Site, snapshot: str = "") -> None:
    """Kills the node and waits for another that has a snapshot; it finds `snapshot` on disk, if given."""
    pid = site.call("status")["pid"]
    if snapshot:
        # It may be about to write its own once more.
        os.kill(pid, signal.SIGSTOP)
        (site.directory / "snapshot.json").write_text(snapshot)
    death = kill(pid)

    def is_up() -> bool:
        status = site.call("status")
        return bool(status["pid"] != death.pid and status["snapshot"] > 0)

    assert wait_until(is_up, TIMEOUT), site.output()


def test_a_node_starts_from_its_last_snapshot_while_control_is_dead(tmp_path: Path):
    port = free_port()
    with endpoint() as upstream, Site(tmp_path, configuration(port, upstream)) as site:
        number = site.reload(configuration(port, upstream) | {"gateway": {"name": "second"}})["number"]
        saved = site.directory / "snapshot.json"
        assert wait_until(lambda: f'"number":{number},' in saved.read_text())
        with stopped(site.pid("control")):
            assert fetch(port) == 200
            for _ in range(3):
                replaced(site)
                assert fetch(port) == 200
                assert site.call("status")["snapshot"] == number
        assert saved.stat().st_mode & 0o777 == 0o600
        # Control is back and goes on from there.
        assert site.reload(configuration(port, upstream))["number"] == number + 1
        assert len(upstream.messages) == 4


def test_a_broken_file_keeps_nobody_from_starting_again(tmp_path: Path):
    port = free_port()
    with endpoint() as upstream, Site(tmp_path, configuration(port, upstream)) as site:
        # What was acknowledged a moment ago may not be on disk yet.
        assert wait_until((site.directory / "snapshot.json").exists)
        # Answered when the supervisor knows that the start went well; a control that dies before it is
        # started anew with the file as it is then, and a gateway that never served ends with a broken one.
        site.ask_control("reload")
        site.file.write_text("routes: [")
        kill(site.pid("control"))
        replaced(site)
        with pytest.raises(Refused):
            site.ask_control("reload")
        assert fetch(port) == 200
        site.write(configuration(port, upstream) | {"gateway": {"name": "mended"}})
        site.ask_control("reload")
        assert fetch(port) == 200
        assert upstream.messages[-1].get("via") == "1.1 mended"


def test_a_snapshot_that_cannot_be_read_is_put_aside_and_sent_again(tmp_path: Path):
    port = free_port()
    with endpoint() as upstream, Site(tmp_path, configuration(port, upstream)) as site:
        saved = site.directory / "snapshot.json"
        assert wait_until(saved.exists)
        replaced(site, '{"schema": 1, "base": 0, "number": 7, "set"')
        assert fetch(port) == 200
        assert (site.directory / "snapshot.refused.json").exists()
        assert "refuses its last snapshot" in site.output()
