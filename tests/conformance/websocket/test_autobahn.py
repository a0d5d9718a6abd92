# SPDX-License-Identifier: Apache-2.0
"""The cases of the Autobahn suite, run by kosoku: through a gateway none fails that passes without it.

Without the groups on limits, performance and compression (9, 12, 13), which try origin servers and clients.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.integration.http2.client import configuration
from tidegate.testing import gateway

pytestmark = pytest.mark.timeout(300)
CASES = 247
LEFT_OUT = ("9.*", "12.*", "13.*")
FINE = {"OK", "NON-STRICT", "INFORMATIONAL"}


@contextmanager
def echo() -> Iterator[int]:
    """An origin server that says what it hears; its port."""

    def talk(connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            pass

    with serve(talk, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def failures(folder: Path, port: int) -> dict[str, tuple[str, str]]:
    """Runs all cases; those that fail, with how."""
    program = Path(sys.executable).parent / "kosoku"
    left_out = [word for case in LEFT_OUT for word in ("-x", case)]
    command = [str(program), "-p", "4", *left_out, "-o", str(folder), f"127.0.0.1:{port}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    (cases,) = json.loads((folder / "index.json").read_text()).values()
    assert len(cases) == CASES, done.stdout + done.stderr
    told = {name: (case["behavior"], case["behaviorClose"]) for name, case in cases.items()}
    return {name: how for name, how in told.items() if not set(how) <= FINE}


def test_no_case_fails_that_passes_without_a_gateway(tmp_path: Path) -> None:
    with echo() as port:
        direct = failures(tmp_path / "direct", port)
        route = {"path": "/", "to": f"http://127.0.0.1:{port}"}
        with gateway(configuration(route)) as running:
            through = failures(tmp_path / "through", running.port)
        assert {name: how for name, how in through.items() if name not in direct} == {}
        # A route that looks at messages lets all pass that are some, and may end others by itself.
        watched = {**route, "websocket": {"message_size": "32MiB", "ping": "5s"}}
        with gateway(configuration(watched)) as running:
            looked_at = failures(tmp_path / "watched", running.port)
        assert {name: how for name, how in looked_at.items() if name not in direct} == {}
