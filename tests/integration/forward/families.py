# SPDX-License-Identifier: Apache-2.0
"""Run in a network namespace of its own, where packets of IPv6 go nowhere and those of IPv4 arrive.

`test_network.py` starts it. It ends with an error as soon as something is not as it should be.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.endpoints.nameserver import Nameserver
from tests.integration.forward.kit import Origin
from tidegate.config.load import loads
from tidegate.testing import wait_until

HERE, LOST, OTHER = "8.8.8.8", "2606:4700::1111", "2606:4700::2222"

CONFIGURATION = """
gateway: {{ threads: 1, access_log: {log} }}
listeners:
  out:
    address: 127.0.0.1
    port: 3128
    forward:
      dns: {{ resolvers: "{names}" }}
      timeouts: {{ connect: 90s }}
  strict:
    address: 127.0.0.1
    port: 3129
    forward:
      deny: {here}
      dns: {{ resolvers: "{names}" }}
      timeouts: {{ connect: 1s }}
"""


def prepare() -> None:
    """Gives the namespace its addresses, and a neighbour that takes packets and does nothing."""
    commands = [
        "link set lo up",
        f"address add {HERE}/32 dev lo",
        "link add outer type veth peer name inner",
        "link set outer up",
        "link set inner up",
        "-6 address add 2606:4700::1/64 dev outer nodad",
    ]
    for lost in (LOST, OTHER):
        commands.append(f"-6 neighbor replace {lost} lladdr 02:00:00:00:00:09 nud permanent dev outer")
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


def fetch(port: int, url: str, *more: str) -> int:
    """The status of a URL; of CONNECT with `-p`. Whoever waits for IPv6 to fail waits in vain."""
    command = ["curl", "-sS", "-m", "45", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}"]
    command += ["--noproxy", "", "-x", f"http://127.0.0.1:{port}", *more, url]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    last, connect = told.stdout.split()
    return int(connect) if "-p" in more else int(last)


def expect(told: object, wanted: object, what: str) -> None:
    """Ends everything unless the two are alike."""
    if told != wanted:
        sys.exit(f"{what}: {told!r}, not {wanted!r}")


def tried() -> int:
    """Connections that wait for an answer (SYN_SENT) over IPv6."""
    rows = Path("/proc/net/tcp6").read_text().splitlines()[1:]
    return sum(row.split()[3] == "02" for row in rows)


def run() -> None:
    """Everything."""
    prepare()
    with (
        tempfile.TemporaryDirectory() as folder,
        Nameserver() as names,
        Origin(address=HERE, port=80) as origin,
        Origin(address=HERE, port=443) as tunnelled,
    ):
        log = Path(folder) / "log"
        names.holds("site.example", HERE)
        names.holds("site.example", LOST, OTHER, kind="AAAA")
        text = CONFIGURATION.format(names=names.address, log=log, here=HERE)
        with loads(text).gateway.running():
            expect(fetch(3128, "http://site.example/"), 200, "a URL")
            expect(fetch(3128, "http://site.example:443/", "-p"), 200, "CONNECT")
            # The one that lost is closed, not left to the kernel's patience.
            expect(wait_until(lambda: tried() == 0), True, "tries that are over")
            # The connection that won is kept, and taken before anything is tried.
            expect(fetch(3128, "http://site.example/"), 200, "the URL again")
            expect(len(origin.connections), 1, "connections for two requests")
            # A rule goes for every address, however slow the others are.
            expect(fetch(3129, "http://site.example/"), 504, "a URL whose IPv4 is denied")
            expect(fetch(3129, "http://site.example:443/", "-p"), 504, "CONNECT where IPv4 is denied")
            expect((len(origin.asked), len(tunnelled.asked)), (2, 1), "requests at the servers")
            wait_until(lambda: log.read_text().count("\n") >= 5)
            entries = [json.loads(line) for line in log.read_text().splitlines()]
            expect([each.get("retries", 0) for each in entries[:3]], [0, 0, 0], "addresses that failed")
            errors = {each["error"] for each in entries if each["listener"] == "strict"}
            expect(errors, {"connection_timeout"}, "why there was no answer")


if __name__ == "__main__":
    run()
