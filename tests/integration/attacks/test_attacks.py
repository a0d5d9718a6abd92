# SPDX-License-Identifier: Apache-2.0
"""Floods and attacks on TLS (rows 39 to 54 of the catalogue of attacks), with honest clients beside them.

The same bytes as `python -m benches.attacks` plays, a connection for each kind. How long honest clients wait
while somebody attacks as hard as he can is measured there.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benches.attacks.attacks import ATTACKS, Attack
from tests.integration.attacks.attacker import TIMEOUT, Attacker
from tests.integration.http2.client import Client
from tests.integration.http2.client import secured as secured_http2
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority, Pair
from tidegate.testing import Reply, RunningGateway, endpoint, gateway, wait_until

ROOT = Path(__file__).resolve().parents[3]
USELESS = {"too many frames of no use", "answers to control frames pile up"}
ERRORS = {"too many errors on streams"}
ENDS: dict[str, set[str]] = {
    "rapid-reset": {"too many streams reset by the client"},
    "made-you-reset": ERRORS,
    "continuation": {"too many CONTINUATION frames"},
    "hpack-bomb": ERRORS | USELESS,
    "cookie-crumbs": ERRORS | USELESS,
    "frame-floods": USELESS,
    "slow-hello": set(),
    "idle": set(),
    "large-heads": {"the header section is too large"},
    "garbage": set(),
    "websocket": set(),
    "grpc": ERRORS | USELESS,
}
"""Attacks whose connections are ended, and one of what the log says of it, if anything."""
STATUSES = {"large-heads": {431, 414}, "ranges": {200, 206, 416}, "websocket": {101}}
PLAYED = [attack for attack in ATTACKS if attack.over != "udp"]
ENOUGH = 40
"""Repeats that are played of what is not ended."""


@contextmanager
def sink() -> Iterator[str]:
    """An origin server of WebSockets."""
    command = [sys.executable, "-m", "benches.attacks.sink"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def attacked(pair: Pair, folder: Path) -> Iterator[RunningGateway]:
    """What is attacked: endpoints, files and WebSockets behind TLS."""
    (folder / "b").mkdir()
    (folder / "b" / "65536").write_bytes(bytes(65_536))
    with (
        endpoint(Reply(body=b"honest")) as honest,
        endpoint(Reply(body=b"x" * 262_144)) as slow,
        sink() as sockets,
    ):
        limits = {"handshake": "2s", "idle": "2s", "header": "5s"}
        backends = {
            "honest": {"endpoints": [honest.address]},
            "slow": {"endpoints": [slow.address], "limits": {"connections": 100}},
            "sockets": {"endpoints": [sockets]},
        }
        routes = [
            {"path": "/", "to": "honest"},
            {"path": "/slow", "to": "slow"},
            {"path": "/socket", "to": "sockets", "websocket": {"message_size": "64KiB"}},
            {"path": "/files", "to": {"files": str(folder)}},
        ]
        listener = {**pair.listener(), "timeouts": limits}
        text = tls.configuration(listener, *routes, backends=backends)
        with gateway(text) as running:
            yield running


@pytest.mark.parametrize("attack", PLAYED, ids=lambda attack: attack.name)
def test_an_attack_ends_and_honest_clients_do_not_notice(
    attack: Attack, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with attacked(pair, folder) as running, ExitStack() as stack:
        http2 = stack.enter_context(secured_http2(running, authority.client()))
        http1 = stack.enter_context(tls.secured(running, authority.client()))
        ask(http1, http2)
        pid = running.status()["pid"]
        before = most = resident(pid)
        attackers = [
            Attacker(attack, repeat, running.port, authority.client()) for repeat in attack.repeats() or [b""]
        ]
        for attacker in attackers:
            attacker.start()
        asked = 0
        is_ended = attack.name in ENDS

        def is_over() -> bool:
            nonlocal asked, most
            ask(http1, http2)
            asked += 1
            most = max(most, resident(pid))
            if is_ended:
                return not any(attacker.is_alive() for attacker in attackers)
            return asked >= 10 and all(
                attacker.played >= ENOUGH or asked >= 200 or not attacker.is_alive() for attacker in attackers
            )

        is_done = wait_until(is_over, 2 * TIMEOUT)
        for attacker in attackers:
            attacker.stops.set()
        for attacker in attackers:
            attacker.join(TIMEOUT)
        found = [(each.cut, each.code, each.status, each.played, each.error) for each in attackers]
        print(attack.name, asked, f"{(most - before) >> 10} KiB", found)
        assert is_done, found
        assert not any(attacker.error for attacker in attackers), found
        assert most - before <= attack.bound, (before, most)
        if is_ended:
            assert all(attacker.cut for attacker in attackers), found
        details = ENDS.get(attack.name)
        if details:
            assert wait_until(lambda: details & {entry.get("detail") for entry in running.log()}, TIMEOUT)
        if attack.name in STATUSES:
            # The answer is lost where more was sent than is read after it.
            statuses = {attacker.status for attacker in attackers if attacker.status}
            assert statuses <= STATUSES[attack.name], found
        assert running.status()["pid"] == pid, "no node died"


def ask(http1: ssl.SSLSocket, http2: Client) -> None:
    """A request over each version."""
    head, body = tls.ask(http1)
    assert (head[:12], body) == (b"HTTP/1.1 200", b"honest")
    answer = http2.ask("/")
    assert (answer.status, bytes(answer.body)) == (200, b"honest")
