# SPDX-License-Identifier: Apache-2.0
"""A stop or an upgrade gives connections their time; a stop then ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from tests.integration.bad_days.site import Site
from tests.integration.upgrade.packages import NEW, finished, upgraded
from tests.ports import free_port
from tidegate.testing import wait_until

from .kit import TIMEOUT, Server


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(TIMEOUT)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_connection_has_its_time_when_the_gateway_stops_and_then_ends(tmp_path: Path) -> None:
    port = free_port()
    with Server() as server:
        configuration = {
            "gateway": {"graceful_stop": "3s"},
            "listeners": {"db": {"address": "127.0.0.1", "port": port, "protocol": "tcp"}},
            "routes": [{"type": "tcp", "listeners": "db", "to": f"tcp://{server.address}"}],
        }
        with Site(tmp_path, configuration) as site:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
                connection.sendall(b"a")
                assert connection.recv(1) == b"a"
                os.kill(site.supervisor, signal.SIGTERM)
                assert wait_until(lambda: is_refused(port), TIMEOUT)
                connection.sendall(b"b")
                assert connection.recv(1) == b"b"
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
            assert site.process is not None and site.process.wait(TIMEOUT) == 0


def test_a_connection_goes_on_while_a_new_version_takes_over(tmp_path: Path) -> None:
    text = """
gateway: { threads: 1, graceful_stop: 60s }
listeners: { db: { address: 127.0.0.1, port: PORT, protocol: tcp } }
routes: [{ type: tcp, listeners: db, to: "tcp://ENDPOINT" }]
"""
    with Server() as server, upgraded(tmp_path, text.replace("ENDPOINT", server.address)) as gateway:
        address = ("127.0.0.1", gateway.port)
        with socket.create_connection(address, TIMEOUT) as connection:
            connection.sendall(b"a")
            assert connection.recv(1) == b"a"
            gateway.packages.install(NEW)
            command = gateway.begin_upgrade()
            assert gateway.wait_draining()["connections"] == 1
            connection.sendall(b"b")
            assert connection.recv(1) == b"b"
            with socket.create_connection(address, TIMEOUT) as fresh:
                fresh.sendall(b"c")
                assert fresh.recv(1) == b"c"
        assert finished(command)["drained"][0]["cut"] == 0
