# SPDX-License-Identifier: Apache-2.0
"""Run in a network namespace of its own: a gateway, its endpoints, and behind a link the clients.

`test_network.py` starts it. It ends with an error as soon as something is not as it should be.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.integration.dark.zones import Network, ip
from tests.integration.l4.kit import Server, named
from tests.integration.l4.test_udp import Answering
from tidegate.config.load import loads
from tidegate.testing import wait_until

TIMEOUT = 20.0
SERVICE = ("10.9.0.1", "2001:db8::1")
"""What clients ask, which is not the address of the link that they come over."""
SHOP, OFFICE, GUEST, DENIED = (
    ("198.51.100.1", "2001:db8:1::1"),
    ("203.0.113.1", "2001:db8:2::1"),
    ("192.0.2.1", "2001:db8:3::1"),
    ("192.0.2.66", "2001:db8:3::66"),
)
HOP = "2001:db8:f::1"
"""Our end of the link."""
ENDPOINTS = {"shop": "10.9.0.5", "office": "10.9.0.6", "other": "10.9.0.7"}

CONFIGURATION = """
gateway: {{ threads: 2, access_log: {log}, admin: {{ address: 127.0.0.1, port: 9180 }} }}
listeners:
  db: {{ port: 5000, protocol: tcp, clients: {{ deny: [192.0.2.66, "2001:db8:3::66"] }} }}
  names: {{ port: 5000, protocol: udp, clients: {{ deny: [192.0.2.66, "2001:db8:3::66"] }} }}
routes:
"""
ROUTES = """
  - type: {kind}
    listeners: {name}
    match: {{ clients: [198.51.100.0/24, "2001:db8:1::/48"] }}
    to: "{shop}"
    timeouts: {{ idle: 2s }}
  - type: {kind}
    listeners: {name}
    match: {{ clients: [203.0.113.0/24, "2001:db8:2::/48"] }}
    to: "{office}"
    timeouts: {{ idle: 2s }}
  - {{ type: {kind}, listeners: {name}, to: "{other}", timeouts: {{ idle: 2s }} }}
"""


def prepare() -> Network:
    """Gives the gateway its addresses, and the clients theirs at the far end of a link."""
    ip("link", "set", "lo", "up")
    for address in (*SERVICE, *ENDPOINTS.values()):
        ip("address", "add", address, "dev", "lo")
    clients = Network()
    # Nobody else has these addresses, which IPv6 would take a second to find out.
    ip("address", "add", f"{HOP}/64", "dev", clients.link, "nodad")
    ip("address", "add", "2001:db8:f::2/64", "dev", "inner", "nodad", inside=clients.inside)
    for source in (*SHOP, *OFFICE, *GUEST, *DENIED):
        sure = ["nodad"] if ":" in source else []
        ip("address", "add", source, "dev", "inner", *sure, inside=clients.inside)
        ip("route", "add", source, "dev", clients.link)
    for service, hop in zip(SERVICE, (clients.here, HOP), strict=True):
        ip("route", "add", service, "via", hop, "dev", "inner", inside=clients.inside)
    # It asks for its neighbours from the link's own address.
    own = ["ip", "-6", "-oneline", "address", "show", "dev", clients.link, "tentative"]
    expect(wait_until(lambda: not subprocess.check_output(own), TIMEOUT), True, "addresses")
    return clients


def ask(kind: str, source: str, service: str) -> str:
    """What a client at `source` gets from the service by TCP or UDP; empty for nothing."""
    family = socket.AF_INET6 if ":" in service else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as own:
        own.bind((source, 0))
        own.settimeout(1 if source in DENIED else TIMEOUT)
        try:
            # From here on it takes nothing from any other address.
            own.connect((service, 5000))
            if kind == "udp":
                own.send(b"")
            return own.recv(64).decode()
        except (ConnectionError, TimeoutError):
            if source in DENIED:
                return ""
            raise


def ask_all() -> None:
    """As all clients by turns; prints what each got."""
    told = []
    for kind in ("tcp", "udp"):
        for number, service in enumerate(SERVICE):
            for source in (SHOP, OFFICE, GUEST, DENIED, SHOP):
                told.append((kind, source[number], ask(kind, source[number], service)))
    print(json.dumps(told))


def expect(told: object, wanted: object, what: str) -> None:
    """Ends everything unless the two are alike."""
    if told != wanted:
        sys.exit(f"{what}: {told!r}, not {wanted!r}")


def refused() -> int:
    """Connections and sessions that were refused for the client's address."""
    with urllib.request.urlopen("http://127.0.0.1:9180/metrics", timeout=TIMEOUT) as page:
        lines = page.read().decode().splitlines()
    start = 'tidegate_connections_refused_total{reason="client"} '
    return int(next(line.removeprefix(start) for line in lines if line.startswith(start)))


def run() -> None:
    """Everything."""
    with ExitStack() as stack:
        clients = prepare()
        stack.callback(clients.close)
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        text, endpoints = CONFIGURATION.format(log=log), {}
        for kind, listener in (("tcp", "db"), ("udp", "names")):
            addresses = {}
            for name, host in ENDPOINTS.items():
                said = f"{name} {kind}".encode()
                server: Server | Answering
                server = Server(named(said), host) if kind == "tcp" else Answering(said, host=host)
                stack.enter_context(server)
                addresses[name] = f"{kind}://{server.address}"
                endpoints[f"{name} {kind}"] = server.address
            text += ROUTES.format(kind=kind, name=listener, **addresses)
        stack.enter_context(loads(text).gateway.running())
        command = [*clients.inside, sys.executable, "-m", "tests.integration.l4.inside", "clients"]
        told = json.loads(subprocess.check_output(command, timeout=90))
        names = [(SHOP, "shop"), (OFFICE, "office"), (GUEST, "other"), (DENIED, ""), (SHOP, "shop")]
        wanted = [
            [kind, source[number], f"{name} {kind}" if name else ""]
            for kind in ("tcp", "udp")
            for number in (0, 1)
            for source, name in names
        ]
        expect(told, wanted, "what clients got")
        expect(refused(), 4, "refused for their address")
        served = sorted([source, endpoints[said]] for _, source, said in wanted if said)
        # Besides, it tells of the request for metrics; of sessions of UDP once they were silent for long.
        wait_until(lambda: log.read_text().count("\n") > len(served), TIMEOUT)
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        lasted = [each for each in entries if each["listener"] != "admin"]
        expect(sorted([each["client"], each["endpoint"]] for each in lasted), served, "the log")


if __name__ == "__main__":
    ask_all() if sys.argv[1:] else run()
