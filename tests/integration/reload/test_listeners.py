# SPDX-License-Identifier: Apache-2.0
"""Listeners that come and go while routes stay as they are."""

from tidegate.testing import RunningGateway, Wire, gateway

TIMEOUT = 30


def config(*listeners: str, admin: bool = False) -> str:
    places = ", ".join(f"{name}: {{port: 0}}" for name in listeners)
    own = "gateway: {admin: {address: 127.0.0.1, port: 9180}}\n" if admin else ""
    return f"""{own}listeners: {{{places}}}
routes:
  - {{name: all, path: /, to: {{respond: everywhere}}}}
  - {{name: web, path: /web, listeners: web, to: {{respond: here}}}}
"""


def status(running: RunningGateway, listener: str, path: str) -> tuple[int, bytes]:
    with Wire(("127.0.0.1", running.ports[listener]), timeout=TIMEOUT) as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "GET")
        assert wire.wait_final(1), wire.closed
        return wire.final_responses[0].status, wire.final_responses[0].body


def test_a_new_listener_serves_the_routes_that_name_none() -> None:
    with gateway(config("web")) as running:
        assert status(running, "web", "/x") == (200, b"everywhere")
        running.reload(config("web", "more"))
        assert status(running, "more", "/x") == (200, b"everywhere")
        assert status(running, "more", "/web") == (200, b"everywhere")
        assert status(running, "web", "/web") == (200, b"here")
        running.reload(config("web"))
        assert status(running, "web", "/x") == (200, b"everywhere")
        assert [each["name"] for each in running.status()["listeners"]] == ["web"]


def test_a_new_admin_listener_serves_its_own_pages_alone() -> None:
    with gateway(config("web")) as running:
        running.reload(config("web", admin=True))
        assert status(running, "admin", "/healthz") == (200, b"ok\n")
        assert status(running, "admin", "/x")[0] == 404
        assert status(running, "web", "/healthz") == (200, b"everywhere")
