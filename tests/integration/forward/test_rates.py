# SPDX-License-Identifier: Apache-2.0
"""How fast a user's bytes move, and what checking passwords may take."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
import time
import urllib.request
from typing import Any

from tests.integration.forward.kit import HASH, TIMEOUT, Asked, Origin, ask, proxy, raw, tunnel
from tests.integration.forward.test_who import ANNA, basic
from tests.integration.l4.kit import Server
from tidegate.testing import RunningGateway, wait_until

SIZE = 96 << 10
CONTENT = bytes(range(256)) * (SIZE // 256)
RATE = "64KiB"
LEAST = 1.0
"""Seconds that `SIZE` bytes take at `RATE` at least, whatever goes ahead: 1.5 but for a tenth and a piece."""


def large(asked: Asked) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nConnection: close\r\n\r\n"
    return head.encode() + CONTENT


def users(**limits: Any) -> list[dict[str, Any]]:
    return [{"name": "anna", "password": HASH, "limits": limits}, {"name": "near", "clients": "127.0.0.0/8"}]


def metric(running: RunningGateway, name: str, user: str) -> float:
    url = f"http://127.0.0.1:{running.ports['admin']}/metrics"
    text = urllib.request.urlopen(url, timeout=TIMEOUT).read().decode()
    found = re.search(rf'^{name}{{listener="out",user="{user}"}} (\S+)$', text, re.M)
    assert found is not None
    return float(found[1])


def fetch(running: RunningGateway, origin: Origin, field: str | None = None) -> float:
    """How long a large body takes that must come whole."""
    fields = f"{field}\r\n" if field else ""
    head = f"GET http://{origin.authority}/ HTTP/1.1\r\nHost: {origin.authority}\r\n{fields}"
    begun = time.monotonic()
    answer = raw(running, f"{head}Connection: close\r\n\r\n".encode())
    assert answer.endswith(CONTENT), len(answer)
    return time.monotonic() - begun


def test_what_a_user_receives_comes_at_his_rate_and_others_are_not_held_back() -> None:
    with Origin(large) as origin, proxy(origin, users=users(download=RATE)) as running:
        assert fetch(running, origin, ANNA) > LEAST
        assert metric(running, "tidegate_proxy_user_held_back_seconds_total", "anna") > 0
        fetch(running, origin)
        assert metric(running, "tidegate_proxy_user_held_back_seconds_total", "near") == 0


def test_exchanges_of_a_user_share_his_rate() -> None:
    with Origin(large) as origin, proxy(origin, users=users(download="128KiB")) as running:
        begun = time.monotonic()
        threads = [threading.Thread(target=fetch, args=(running, origin, ANNA)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        # Three times 96 KiB; each of them may be a piece ahead.
        assert time.monotonic() - begun > 1.5


def test_what_a_user_sends_goes_at_his_rate() -> None:
    with Origin() as origin, proxy(origin, users=users(upload=RATE)) as running:
        head = f"POST http://{origin.authority}/ HTTP/1.1\r\nHost: {origin.authority}\r\n{ANNA}\r\n"
        begun = time.monotonic()
        rest = f"Content-Length: {len(CONTENT)}\r\nConnection: close\r\n\r\n"
        answer = raw(running, (head + rest).encode() + CONTENT)
        assert b" 200 " in answer.partition(b"\r\n")[0] and origin.asked[0].body == CONTENT
        assert time.monotonic() - begun > LEAST


def test_tunnels_move_at_the_users_rate_both_ways() -> None:
    with Server() as server:
        rules = [{"addresses": "127.0.0.1", "ports": int(server.address.rpartition(":")[2])}]
        # What is held back is not idle.
        for way in ("upload", "download"):
            limits = {way: RATE, "idle": "700ms"}
            with proxy(allow=rules, users=users(**limits)) as running:
                with tunnel(running, server.address, ANNA) as connection:
                    begun = time.monotonic()
                    sender = threading.Thread(target=connection.sendall, args=(CONTENT,))
                    sender.start()
                    came = b""
                    while len(came) < len(CONTENT):
                        piece = connection.recv(1 << 16)
                        assert piece, len(came)
                        came += piece
                    sender.join()
                    assert came == CONTENT and time.monotonic() - begun > LEAST
                assert wait_until(
                    lambda running=running: (  # type: ignore[misc]
                        metric(running, "tidegate_proxy_user_bytes_total", "anna") >= 2 * len(CONTENT)
                    ),
                    TIMEOUT,
                )


def test_passwords_that_take_long_hold_up_nobody_else() -> None:
    def text(length: int) -> str:
        return base64.b64encode(bytes(length)).decode().rstrip("=")

    # Many times what is usual, so that each check takes a while.
    dear = f"$argon2id$v=19$m=65536,t=20,p=1${text(16)}${text(32)}"
    known = [{"name": "anna", "password": dear}, {"name": "near", "clients": "127.0.0.0/8"}]
    with Origin() as origin, proxy(origin, users=known) as running, contextlib.ExitStack() as stack:
        url = f"http://{origin.authority}/"
        head = f"GET {url} HTTP/1.1\r\nHost: {origin.authority}\r\n{basic('anna', 'x')}\r\n\r\n"
        for _ in range(80):
            guess = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), TIMEOUT))
            guess.sendall(head.encode())
        # Who is told by his address is served while they wait; who comes with a password is one too many.
        assert ask(running, url)[0] == 200
        assert wait_until(lambda: ask(running, url, basic("anna", "y"))[0] == 503, TIMEOUT)
        assert ask(running, url)[0] == 200
