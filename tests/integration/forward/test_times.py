# SPDX-License-Identifier: Apache-2.0
"""How long a forward proxy waits, for whom."""

from __future__ import annotations

import socket
import time

from tests.integration.forward.kit import HASH, TIMEOUT, Asked, Origin, ask, proxy, raw, tunnel
from tests.integration.forward.test_who import ANNA
from tests.integration.l4.kit import Server, read_all


def test_a_server_that_does_not_answer() -> None:
    def silent(asked: Asked) -> bytes:
        time.sleep(TIMEOUT if asked.line.startswith("GET /silent") else 0)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    with Origin(silent) as origin:
        times = {"first_byte": "300ms", "stall": "300ms"}
        with proxy(origin, timeouts=times) as running:
            assert ask(running, f"http://{origin.authority}/silent")[0] == 504
            head = f"GET http://{origin.authority}/half HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n"
            assert not raw(running, head.encode()).endswith(b"half12")
            errors = [entry["error"] for entry in running.log(2)]
            assert errors == ["http_response_timeout", "connection_read_timeout"]


def test_a_server_that_takes_no_connection() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        rule = {"addresses": "127.0.0.1", "ports": port}
        with proxy(allow=[rule], timeouts={"connect": "300ms"}) as running:
            assert ask(running, f"127.0.0.1:{port}", method="CONNECT")[0] == 504
            assert running.log(1)[0]["error"] == "connection_timeout"
        for each in waiting:
            each.close()


def test_a_tunnel_lives_as_long_as_it_may() -> None:
    with Server() as server:
        rules = [{"addresses": "127.0.0.1", "ports": int(server.address.rpartition(":")[2])}]
        users = [{"name": "anna", "password": HASH, "limits": {"life": "300ms"}}]
        for more in ({"timeouts": {"life": "300ms"}}, {"timeouts": {"idle": "300ms"}}, {"users": users}):
            fields = [ANNA] if "users" in more else []
            with (
                proxy(allow=rules, **more) as running,
                tunnel(running, server.address, *fields) as connection,
            ):
                assert read_all(connection) == b""
