# SPDX-License-Identifier: Apache-2.0
"""Run in a network namespace of its own: addresses of the internet, of a company and of a cloud, all here.

`test_network.py` starts it. It ends with an error as soon as something is not as it should be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.endpoints.nameserver import Nameserver
from tests.integration.forward.kit import Origin
from tidegate.config.load import loads
from tidegate.testing import wait_until

PUBLIC, OTHER = "8.8.8.8", "2606:4700::1111"
PRIVATE, METADATA = "10.9.0.5", "169.254.169.254"
PROXY = "10.9.0.1"
STAFF, GUEST, STRANGER = "10.9.1.1", "10.9.2.1", "10.9.3.1"

CONFIGURATION = """
gateway: {{ threads: 1, access_log: {log}, admin: {{ address: {proxy}, port: 9180 }} }}
listeners:
  out:
    address: {proxy}
    port: 3128
    forward:
      users:
        - {{ name: staff, clients: {staff}/32, allow: ["*", 10.9.0.0/24] }}
        - {{ name: guest, clients: {guest}/32, deny: .guarded.example }}
      dns: {{ resolvers: "{names}" }}
"""


def prepare() -> None:
    """Gives the namespace its addresses."""
    commands = ["link set lo up"]
    for address in (PUBLIC, PRIVATE, METADATA, PROXY, STAFF, GUEST, STRANGER):
        commands.append(f"address add {address}/32 dev lo")
    commands.append(f"-6 address add {OTHER}/128 dev lo nodad")
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


def fetch(source: str, url: str, *more: str) -> int:
    """The status that a client at `source` gets for a URL."""
    command = ["curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}"]
    command += ["--interface", source, "--noproxy", "", "-x", f"http://{PROXY}:3128", *more, url]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    last, connect = told.stdout.split()
    return int(connect) if "-p" in more else int(last)


def expect(told: object, wanted: object, what: str) -> None:
    """Ends everything unless the two are alike."""
    if told != wanted:
        sys.exit(f"{what}: {told!r}, not {wanted!r}")


def run() -> None:
    """Everything."""
    prepare()
    with (
        tempfile.TemporaryDirectory() as folder,
        Nameserver() as names,
        Origin(address=PUBLIC, port=80) as public,
        Origin(address=OTHER, port=80) as other,
        Origin(address=PRIVATE, port=80) as private,
        Origin(address=METADATA, port=80) as metadata,
        Origin(address=PUBLIC, port=443) as tunnelled,
    ):
        log = Path(folder) / "log"
        terms = {"proxy": PROXY, "staff": STAFF, "guest": GUEST, "names": names.address, "log": log}
        names.holds("site.example", PUBLIC)
        names.holds("six.example", OTHER, kind="AAAA")
        names.holds("www.guarded.example", PUBLIC)
        names.holds("intranet.example", PRIVATE)
        names.holds("cloud.example", METADATA)
        names.holds("here.example", PROXY)
        with loads(CONFIGURATION.format(**terms)).gateway.running():
            cases = [
                ("http://site.example/", 200, 200, 403),
                ("http://six.example/", 200, 200, 403),
                (f"http://{PUBLIC}/", 200, 200, 403),
                ("http://www.guarded.example/", 200, 403, 403),
                ("http://intranet.example/", 200, 403, 403),
                (f"http://{PRIVATE}/", 200, 403, 403),
                ("http://cloud.example/", 403, 403, 403),
                (f"http://{METADATA}/latest/meta-data/", 403, 403, 403),
                ("http://here.example:9180/metrics", 403, 403, 403),
                (f"http://{PROXY}:9180/metrics", 403, 403, 403),
                (f"http://{PROXY}:3128/", 403, 403, 403),
            ]
            for url, *wanted in cases:
                told = [fetch(source, url) for source in (STAFF, GUEST, STRANGER)]
                expect(told, wanted, url)
            expect(fetch(STAFF, "http://site.example:443/", "-p"), 200, "CONNECT to 443")
            expect(fetch(STAFF, "http://site.example:25/", "-p"), 403, "CONNECT to 25")
            # The name turns: first it is on the internet, then it is not.
            for inside in (PRIVATE, METADATA, "127.0.0.1", PROXY):
                names.holds("turn.example", PUBLIC, ttl=0)
                expect(fetch(GUEST, "http://turn.example/"), 200, "before it turned")
                names.holds("turn.example", inside, ttl=0)
                expect(fetch(GUEST, "http://turn.example/"), 403, f"turned to {inside}")
            expect(len(metadata.connections), 0, "connections to the metadata service")
            expect(len(private.asked), 2, "requests to the private server")
            expect(len(tunnelled.asked), 1, "requests in tunnels")
            for asked in public.asked + other.asked + private.asked:
                seen = f"{asked.client} {asked.fields}"
                for own in (STAFF, GUEST, STRANGER, PROXY, "staff", "guest"):
                    if f"'{own}'" in seen or own in str(asked.fields):
                        sys.exit(f"{own} shows in {seen}")
                expect(
                    {name.lower() for name, _ in asked.fields},
                    {"host", "user-agent", "accept", "via"},
                    "what the origin server was told",
                )
            wait_until(lambda: log.read_text().count("\n") >= 3 * len(cases) + 10)
            text = log.read_text()
            for wanted_text in (
                '"user":"staff"',
                '"user":"guest"',
                '"detail":"denied by `.guarded.example`"',
            ):
                if wanted_text not in text:
                    sys.exit(f"{wanted_text} is not in the log")


if __name__ == "__main__":
    run()
