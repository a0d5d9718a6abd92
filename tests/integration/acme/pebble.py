# SPDX-License-Identifier: Apache-2.0
"""A real authority on loopback: Pebble, with names that a test decides about."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.integration.tls.authority import Authority
from tests.ports import free_port

DEADLINE = 60.0


class _Answering(socketserver.StreamRequestHandler):
    """One connection of a resolver (RFC 1035 §4.2.2)."""

    def handle(self) -> None:
        """Answers its questions until it leaves."""
        while len(head := self.rfile.read(2)) == 2:
            asked = dns.message.from_wire(self.rfile.read(int.from_bytes(head)))
            answer = dns.message.make_response(asked)
            answer.flags |= dns.flags.RA
            (wanted,) = asked.question
            assert isinstance(self.server, Names)
            if wanted.name.to_text(omit_final_dot=True).lower() in self.server.missing:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif wanted.rdtype == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(wanted.name, 1, "IN", "A", "127.0.0.1"))
            wire = answer.to_wire()
            self.wfile.write(len(wire).to_bytes(2) + wire)


class Names(socketserver.ThreadingTCPServer):
    """A DNS server for which every name leads to 127.0.0.1, but those that do not exist.

    Attributes:
        missing: Names that do not exist.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.port = int(self.server_address[1])
        self.missing: set[str] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()


class Pebble:
    """An authority. Ports of the gateway are chosen before it starts, since it is told where to look.

    Attributes:
        http: The port that `http-01` is looked for at.
        tls: The same for `tls-alpn-01`.
        names: What it resolves names by.
    """

    def __init__(self, folder: Path, *, seconds: int = 86_400 * 90, **settings: Any) -> None:
        """Args:
        folder: For its files.
        seconds: How long its certificates are good.
        **settings: Of its own, and `environment`.
        """
        self._environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
            "PEBBLE_AUTHZREUSE": "0",
            **settings.pop("environment", {}),
        }
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._own = Authority(folder)
        pair = self._own.pair("localhost", file="pebble")
        self.http, self.tls = free_port(), free_port()
        self._port, self._management = free_port(), free_port()
        self.names = Names()
        self._configuration = folder / "pebble.json"
        configuration = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(pair.cert),
            "privateKey": str(pair.key),
            "httpPort": self.http,
            "tlsPort": self.tls,
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "of a test", "validityPeriod": seconds}},
            **settings,
        }
        self._configuration.write_text(json.dumps({"pebble": configuration}))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def directory(self) -> str:
        """The URL to begin with."""
        return f"https://localhost:{self._port}/dir"

    def settings(self, store: Path, /, **more: object) -> dict[str, object]:
        """`gateway.acme` for this authority."""
        return {
            "accept_terms": True,
            "authority": self.directory,
            "roots": str(self._own.file),
            "store": str(store),
            "contact": ["ops@shop.test"],
            **more,
        }

    def start(self) -> None:
        """Starts it; what it knew before is forgotten."""
        program = shutil.which("pebble", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert program is not None
        self._log = (self.folder / "pebble.log").open("ab")
        self._process = subprocess.Popen(
            [program, "-config", str(self._configuration), "-dnsserver", f"127.0.0.1:{self.names.port}"],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(OSError):
                self.roots()
                return
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the program; it can be started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._log.close()
            self._process = None

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "pebble.log").read_text(errors="replace")

    def manage(self, method: str, path: str, body: object = None) -> bytes:
        """Asks its management interface."""
        context = ssl.create_default_context(cafile=str(self._own.file))
        connection = http.client.HTTPSConnection(
            "localhost", self._management, timeout=DEADLINE, context=context
        )
        with contextlib.closing(connection):
            said = None if body is None else json.dumps(body)
            connection.request(method, path, said, {"User-Agent": "a test"})
            answer = connection.getresponse()
            read = answer.read()
            assert answer.status == 200, (answer.status, read)
            return read

    def roots(self) -> str:
        """What has to be trusted, in PEM."""
        return self.manage("GET", "/roots/0").decode()

    def client(self) -> ssl.SSLContext:
        """A client that trusts it."""
        return ssl.create_default_context(cadata=self.roots())


@contextlib.contextmanager
def pebble(folder: Path, **settings: Any) -> Iterator[Pebble]:
    """An authority that ends with the block."""
    found = Pebble(folder, **settings)
    try:
        yield found
    finally:
        found.stop()
        found.names.close()
