# SPDX-License-Identifier: Apache-2.0
"""A new version takes over under traffic, and the old one takes over again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.bad_days.load import Bench, Load, Origin
from tests.integration.reload.streams import LongOrigin
from tests.integration.supervised import DEADLINE, wait_gone
from tidegate.testing import Wire, endpoint, wait_until

from .lasting import Lasting
from .packages import NEW, OLD, PATIENCE, finished, is_alive, upgraded

TEXT = """
gateway: { threads: 2, graceful_stop: 60s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
routes: [{ path: /, to: "http://ORIGIN" }]
"""
GET = b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def long_origin(bench: Bench) -> Iterator[LongOrigin]:
    with closing(LongOrigin(bench)) as running:
        yield running


def assert_all_served(load: Load) -> None:
    assert {shot.outcome for shot in load.stop()} == {"ok"}, load.report()


def test_upgrade_and_downgrade_under_load_lose_nothing(
    tmp_path: Path, bench: Bench, long_origin: LongOrigin
) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", long_origin.address)) as gateway:
        load = Load(bench, gateway.port, 100.0)
        for version, other in ((NEW, OLD), (OLD, NEW)):
            before, old = gateway.node()
            assert old == other
            lasting = Lasting(bench, gateway.port, long_origin)
            assert wait_until(lasting.is_under_way, DEADLINE)
            gateway.packages.install(version)
            command = gateway.begin_upgrade()
            draining = gateway.wait_draining()
            # The new one answers; the old one has the upload, the stream and the WebSocket.
            after, now = gateway.node()
            assert now == version and after != before
            assert (draining["pid"], draining["version"]) == (before, other)
            assert draining["connections"] >= 3 and 0 < draining["left_s"] <= 60
            load.wait_more(50)
            lasting.end()
            record = finished(command)
            assert record["exit"] == 0 and record["state"] == "done", record
            assert [each["cut"] for each in record["drained"]] == [0]
            assert record["old"] == {"version": other, "pid": before}
            assert record["new"] == {"version": version, "pid": after}
            # It was told to come again, once, and did.
            assert lasting.connected == 2
            assert not is_alive(before)
        assert_all_served(load)
        assert gateway.stop() == 0
        assert not list((tmp_path / "run").glob("t/*"))


def test_what_exceeds_the_drain_time_is_cut_counted_and_shown(
    tmp_path: Path, bench: Bench, release: threading.Event
) -> None:
    with endpoint(delay=release) as held:
        text = TEXT.replace("ORIGIN", held.address).replace(
            "routes: [", "routes: [{ path: /quick, to: { respond: quick } }, "
        )
        with upgraded(tmp_path, text) as gateway:
            wires = [Wire(("127.0.0.1", gateway.port), timeout=PATIENCE) for _ in range(4)]
            *busy, idle = wires
            try:
                for wire in busy:
                    wire.send(GET % b"held", "GET")
                held.wait_for(len(busy), DEADLINE)
                idle.send(GET % b"quick", "GET")
                assert idle.wait_final(1)
                gateway.packages.install(NEW)
                said = gateway.run("upgrade", "--drain-time", "2s")
                assert said.returncode == 0, said.stderr
                assert "reached its drain time: 3 connections were cut" in said.stdout
                assert "3 connections left, cut in" in said.stdout or "4 connections left" in said.stdout
                for wire in busy:
                    assert wire.wait_closed() and not wire.received
                # Kept and silent: closed in time, and no loss.
                assert idle.wait_closed() and idle.closed == "fin"
                assert gateway.get("/quick") == "quick"
                assert gateway.node()[1] == NEW
            finally:
                for wire in wires:
                    wire.close()


def test_a_kept_connections_next_request_is_answered_as_its_last(tmp_path: Path) -> None:
    with endpoint() as upstream, upgraded(tmp_path, TEXT.replace("ORIGIN", upstream.address)) as gateway:
        with Wire(("127.0.0.1", gateway.port), timeout=DEADLINE) as kept:
            kept.send(GET % b"first", "GET")
            assert kept.wait_final(1)
            gateway.packages.install(NEW)
            command = gateway.begin_upgrade()
            assert gateway.wait_draining()["connections"] == 1
            kept.send(GET % b"second", "GET")
            assert kept.wait_final(2)
            assert kept.final_responses[1].status == 200
            fields = {name.lower(): value for name, value in kept.final_responses[1].fields}
            assert fields[b"connection"] == b"close"
            assert kept.wait_closed() and kept.closed == "fin"
        assert finished(command)["drained"][0]["cut"] == 0


def test_five_upgrades_in_a_row_refuse_nobody(tmp_path: Path, bench: Bench, origin: Origin) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", origin.address)) as gateway:
        load = Load(bench, gateway.port, 100.0)
        nodes = [gateway.node()]
        for turn in range(5):
            gateway.packages.install(OLD if turn % 2 else NEW)
            record = gateway.upgrade()
            assert (record["exit"], record["drained"][-1]["cut"]) == (0, 0), record
            assert record["number"] == turn + 1
            nodes.append(gateway.node())
        assert [version for _, version in nodes] == [OLD, NEW, OLD, NEW, OLD, NEW]
        assert len({pid for pid, _ in nodes}) == 6
        assert gateway.process.poll() is None, "the supervisor is the same process"
        assert_all_served(load)


def test_a_supervisor_that_finds_a_node_of_another_version_replaces_it(
    tmp_path: Path, bench: Bench, origin: Origin
) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", origin.address)) as gateway:
        load = Load(bench, gateway.port, 100.0)
        before, _ = gateway.node()
        gateway.process.kill()
        gateway.wait()
        gateway.packages.install(NEW)
        gateway.again()
        assert gateway.wait_event("replacing the node")["version"] == OLD
        assert gateway.wait_event("the new node serves")["version"] == NEW
        assert gateway.wait_event("the old node has drained")["cut"] == 0
        wait_gone(before)
        assert gateway.node()[1] == NEW
        assert_all_served(load)


def test_a_supervisor_killed_while_a_node_drains_leaves_both_to_the_next(
    tmp_path: Path, bench: Bench, long_origin: LongOrigin
) -> None:
    with upgraded(tmp_path, TEXT.replace("ORIGIN", long_origin.address)) as gateway:
        lasting = Lasting(bench, gateway.port, long_origin)
        assert wait_until(lasting.is_under_way, DEADLINE)
        gateway.packages.install(NEW)
        command = gateway.begin_upgrade()
        old, new = gateway.wait_draining()["pid"], gateway.node()[0]
        gateway.wait_event("the new node serves")
        gateway.process.kill()
        gateway.wait()
        command.kill()
        command.communicate()
        gateway.again()
        assert gateway.wait_event("adopted the running node")["pid"] == new
        assert gateway.wait_draining()["pid"] == old
        lasting.end()
        assert gateway.wait_event("the old node has drained")["cut"] == 0
        wait_gone(old)
        assert gateway.stop() == 0


def test_a_signal_upgrades_too_and_stopping_meanwhile_ends_both(
    tmp_path: Path, release: threading.Event
) -> None:
    with endpoint(delay=release) as held, upgraded(tmp_path, TEXT.replace("ORIGIN", held.address)) as gateway:
        with Wire(("127.0.0.1", gateway.port), timeout=PATIENCE) as busy:
            busy.send(GET % b"held", "GET")
            held.wait_for(1, DEADLINE)
            gateway.packages.install(NEW)
            gateway.process.send_signal(signal.SIGUSR2)
            old = gateway.wait_draining()["pid"]
            shown = gateway.run("status").stdout
            assert "DRAINING NODE" in shown and f"{old}  {OLD}" in shown and NEW in shown
            gateway.process.send_signal(signal.SIGTERM)
            release.set()
            assert busy.wait_final(1) and busy.final_responses[0].status == 200
            assert gateway.wait() == 0
        wait_gone(old)
        assert not list((tmp_path / "run").glob("t/*"))
