# SPDX-License-Identifier: Apache-2.0
"""A gateway that gets its certificates from an authority, and a look at what it shows."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sqlite3
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.integration.acme.pebble import DEADLINE, Pebble
from tests.integration.supervised import Supervised, environment
from tidegate.testing import wait_until


def configuration(
    authority: Pebble,
    store: Path,
    /,
    *hosts: str,
    tls: object = "auto",
    routes: list[dict[str, object]] | None = None,
    plain: dict[str, object] | None = None,
    has_plain: bool = True,
    ports: tuple[int, int] | None = None,
    **acme: Any,
) -> str:
    """A site with a plain and a secured listener, where the authority looks for them."""
    http_port, tls_port = ports or (authority.http, authority.tls)
    listeners: dict[str, object] = {"secured": {"address": "127.0.0.1", "port": tls_port, "tls": tls}}
    if has_plain:
        listeners["plain"] = {"address": "127.0.0.1", "port": http_port, **(plain or {})}
    own = [{"hosts": list(hosts), "path": "/", "to": {"respond": {"status": 200, "body": "here"}}}]
    gateway = {"threads": 2, "acme": authority.settings(store, **acme)}
    return json.dumps({"gateway": gateway, "listeners": listeners, "routes": routes or own})


def presented(authority: Pebble, name: str, port: int | None = None) -> x509.Certificate:
    """The certificate that a client which trusts the authority is shown for `name`.

    Raises:
        OSError: There is no connection, or nothing that the client trusts.
    """
    with (
        socket.create_connection(("127.0.0.1", port or authority.tls), DEADLINE) as plain,
        authority.client().wrap_socket(plain, server_hostname=name) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def serves(authority: Pebble, name: str, port: int | None = None) -> bool:
    """Whether a client that trusts the authority reaches `name`."""
    try:
        presented(authority, name, port)
    except OSError:
        return False
    return True


def until_served(authority: Pebble, site: Supervised, *names: str, port: int | None = None) -> None:
    """Waits for the certificates of `names`."""
    assert wait_until(lambda: all(serves(authority, name, port) for name in names), DEADLINE), site.log()


def listed(site: Supervised) -> dict[str, dict[str, Any]]:
    """What `tidegate cert list` tells, by first name."""
    told = site.run("cert", "list", "--json")
    assert told.returncode == 0, told.stderr
    return {each["names"][0]: each for each in json.loads(told.stdout)["certificates"]}


def change(store: Path, text: str) -> None:
    """Changes what the store remembers."""
    with contextlib.closing(sqlite3.connect(store / "acme.sqlite", timeout=DEADLINE)) as database, database:
        database.execute(text)


def checked(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What `tidegate check` says of a configuration."""
    file = folder / "tidegate.yaml"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "tidegate", "check", str(file)],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def ask(port: int, path: str, host: str) -> tuple[int, bytes]:
    """Status and body of a request without TLS."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


__all__ = [
    "ask",
    "change",
    "checked",
    "configuration",
    "listed",
    "presented",
    "serves",
    "ssl",
    "until_served",
]
