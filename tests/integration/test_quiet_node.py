# SPDX-License-Identifier: Apache-2.0
"""A node that nobody asks for a while: who comes then has as much time as anybody."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.integration.tls.authority import Authority
from tests.integration.tls.client import TIMEOUT
from tidegate.testing import RunningGateway, gateway

QUIET = 5.0
"""Seconds without a connection, more than any limit of the listeners below."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("quiet"))


@pytest.fixture(scope="module")
def running(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    secured: dict[str, object] = authority.pair("localhost").listener()
    listeners = {
        "plain": {"port": 0, "timeouts": {"idle": "4s", "header": "4s"}},
        "secured": {**secured, "port": 0, "timeouts": {"handshake": "4s"}},
    }
    route = {"path": "/", "to": {"respond": {"status": 200, "body": "here"}}}
    with gateway(json.dumps({"listeners": listeners, "routes": [route]}), threads=1) as running:
        yield running


def ask(client: socket.socket) -> bytes:
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    got = b""
    while piece := client.recv(4096):
        got += piece
    return got


def test_who_connects_after_a_pause_is_served(running: RunningGateway) -> None:
    time.sleep(QUIET)
    with socket.create_connection(("127.0.0.1", running.ports["plain"]), TIMEOUT) as client:
        time.sleep(0.2)
        assert ask(client).endswith(b"here")


def test_who_connects_after_a_pause_has_time_for_the_handshake(
    running: RunningGateway, authority: Authority
) -> None:
    context: ssl.SSLContext = authority.client()
    time.sleep(QUIET)
    plain = socket.create_connection(("127.0.0.1", running.ports["secured"]), TIMEOUT)
    time.sleep(0.2)
    with context.wrap_socket(plain, server_hostname="localhost") as client:
        assert ask(client).endswith(b"here")
