# SPDX-License-Identifier: Apache-2.0
"""Which certificate a client is shown, how they are exchanged, and what is said of those that do not do."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import supervised
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import TIMEOUT, ask, configuration, failed, secured
from tidegate.testing import RunningGateway, gateway, wait_until


def shown(running: RunningGateway, context: ssl.SSLContext, name: str | None) -> set[str]:
    """The names of the certificate that a client gets which asks for `name`."""
    with secured(running, context, name) as client:
        told = client.getpeercert()
        assert ask(client, host=name or "localhost")[1] == b"here"
    assert told is not None
    names: Any = told["subjectAltName"]
    return {value for kind, value in names if kind == "DNS"}


def listener(*pairs: Pair, **more: object) -> dict[str, object]:
    certificates = [{"cert": str(pair.cert), "key": str(pair.key)} for pair in pairs]
    return {"port": 60_443, "tls": {"certificates": certificates, **more}}


@pytest.fixture
def careless(authority: Authority) -> ssl.SSLContext:
    """A client that takes whatever name it is shown."""
    context = authority.client()
    context.check_hostname = False
    return context


def test_the_certificate_for_the_name_is_shown(authority: Authority, careless: ssl.SSLContext) -> None:
    pairs = [
        authority.pair("first.example", file="first"),
        authority.pair("*.shop.example", file="wild"),
        authority.pair("pay.shop.example", "PAY.example", file="pay"),
    ]
    with gateway(configuration(listener(*pairs))) as running:
        assert shown(running, careless, "first.example") == {"first.example"}
        assert shown(running, careless, "a.shop.example") == {"*.shop.example"}
        assert shown(running, careless, "PAY.shop.example") == {"pay.shop.example", "PAY.example"}
        assert shown(running, careless, "pay.example") == {"pay.shop.example", "PAY.example"}
        # A `*` stands for one label, and a client may ask for nothing, or for what nobody has.
        for other in ("a.b.shop.example", "shop.example", "other.example", None):
            assert shown(running, careless, other) == {"first.example"}


def test_an_unknown_name_is_refused_where_that_is_wanted(
    authority: Authority, careless: ssl.SSLContext
) -> None:
    text = configuration(listener(authority.pair("first.example"), unknown_name="refuse"))
    with gateway(text) as running:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            shown(running, careless, "other.example")
        assert failed(running, "unknown_name") == 1
        # A probe names nobody.
        assert shown(running, careless, None) == {"first.example"}
        assert shown(running, careless, "first.example") == {"first.example"}


def test_rsa_and_ecdsa_stand_side_by_side(authority: Authority) -> None:
    pairs = [authority.pair("localhost", file="ec"), authority.pair("localhost", file="rsa", use_rsa=True)]
    old = authority.client(ssl.TLSVersion.TLSv1_2)
    for order in (pairs, pairs[::-1]):
        with gateway(configuration(listener(*order))) as running:
            for kind in ("ECDSA", "RSA"):
                old.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
                with secured(running, old) as client:
                    assert ask(client)[1] == b"here"


def test_a_reload_exchanges_the_certificate_and_no_connection(
    authority: Authority, careless: ssl.SSLContext
) -> None:
    text = configuration(listener(authority.pair("old.example")))
    lost: list[Exception] = []
    has_ended = threading.Event()
    with gateway(text) as running:

        def come_and_go() -> None:
            while not has_ended.is_set():
                try:
                    shown(running, careless, "new.example")
                except (OSError, AssertionError) as error:
                    lost.append(error)

        with secured(running, careless, "old.example") as kept:
            assert ask(kept)[1] == b"here"
            thread = threading.Thread(target=come_and_go)
            thread.start()
            try:
                for number in range(20):
                    authority.pair(f"new{number}.example", "new.example")
                    running.reload(text)
                    assert f"new{number}.example" in shown(running, careless, "new.example")
            finally:
                has_ended.set()
                thread.join()
            assert lost == []
            # Who was there before goes on.
            assert ask(kept)[1] == b"here"
            old = kept.getpeercert()
            assert old is not None and old["subjectAltName"] == (("DNS", "old.example"),)


def test_a_broken_certificate_is_refused_and_the_old_one_stays(
    authority: Authority, careless: ssl.SSLContext
) -> None:
    pair = authority.pair("old.example")
    text = configuration(listener(pair))
    with gateway(text) as running:
        pair.cert.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
        with pytest.raises(Exception, match=r"site\.pem"):
            running.reload(text)
        assert shown(running, careless, "old.example") == {"old.example"}


def checked(folder: Path, text: str, **environment: str) -> tuple[int, str, str]:
    file = folder / "tidegate.yaml"
    file.write_text(text)
    told = subprocess.run(
        [sys.executable, "-m", "tidegate", "check", "tidegate.yaml"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return told.returncode, told.stdout, told.stderr


TEXT = """
listeners:
  web:
    port: 60443
    tls:
      certificates:
        - { cert: site.pem, key: site.key }
routes: [{ path: /, to: { respond: here } }]
"""


def _missing(authority: Authority) -> None:
    authority.pair("a.example").key.unlink()


def _other_key(authority: Authority) -> None:
    authority.pair("a.example").key.write_bytes(authority.pair("b.example", file="other").key.read_bytes())


def _encrypted(authority: Authority) -> None:
    authority.pair("a.example", password=b"secret")


def _no_pem(authority: Authority) -> None:
    authority.pair("a.example").cert.write_text("not a certificate")


def _swapped(authority: Authority) -> None:
    pair = authority.pair("a.example")
    parts = pair.cert.read_text().split("-----BEGIN")
    pair.cert.write_text("".join("-----BEGIN" + part for part in (parts[2], parts[1])))


def _unrelated(authority: Authority) -> None:
    pair = authority.pair("a.example", with_chain=False)
    other = authority.pair("b.example", file="other", with_chain=False)
    pair.cert.write_bytes(pair.cert.read_bytes() + other.cert.read_bytes())


def _no_key(authority: Authority) -> None:
    pair = authority.pair("a.example")
    pair.key.write_bytes(pair.cert.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_missing, "the file `site.key` can not be read: no such file or directory"),
        (_other_key, "`site.key` is not the key of the certificate in `site.pem`"),
        (_encrypted, "`site.key` is encrypted"),
        (_no_pem, "`site.pem` has no certificate; it must be PEM"),
        (_swapped, "`site.pem` has its certificates out of order: the one that belongs to `site.key`"),
        (_unrelated, "`site.pem` has its certificates out of order: write the site's own first"),
        (_no_key, "`site.key` has no private key; it must be PEM"),
    ],
)
def test_files_that_do_not_do_are_named_with_what_to_do(
    authority: Authority, spoil: object, says: str
) -> None:
    assert callable(spoil)
    spoil(authority)
    code, _, told = checked(authority.folder, TEXT)
    assert code == 3 and says in told, told
    assert "tidegate.yaml:" in told


def test_certificates_that_are_at_their_end_are_warned_of(authority: Authority) -> None:
    for days, says in ((-1, "expired on"), (3, "expires on"), (60, "")):
        authority.pair("a.example", days=days)
        code, ok, told = checked(authority.folder, TEXT)
        assert code == 0 and ok.startswith("ok: ")
        assert (says in told) if says else not told


def test_keys_come_from_the_environment_and_are_shown_nowhere(authority: Authority) -> None:
    pair = authority.pair("a.example")
    text = TEXT.replace("cert: site.pem", 'cert: "${file:site.pem}"').replace("site.key", '"${env:KEY}"')
    line = pair.key.read_text().splitlines()[1]
    code, ok, told = checked(authority.folder, text, KEY=pair.key.read_text())
    assert code == 0, told
    code, ok, told = checked(authority.folder, text, KEY=pair.key.read_text().replace("PRIVATE", "PUBLIC"))
    assert code == 3 and "`env:KEY` has no private key" in told
    assert line not in ok + told


def test_a_running_instance_follows_its_files_and_keeps_its_key_to_itself(authority: Authority) -> None:
    pair = authority.pair("localhost")
    lines = [pair.key.read_text().splitlines()[1]]
    text = TEXT.replace("port: 60443", "address: 127.0.0.1\n    port: PORT")
    context = authority.client()
    context.check_hostname = False

    def connected(port: int) -> ssl.SSLSocket:
        bare = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        return context.wrap_socket(bare, server_hostname="localhost")

    def names(port: int) -> object:
        with connected(port) as client:
            assert ask(client)[1] == b"here"
            told = client.getpeercert()
            return told and told["subjectAltName"]

    with supervised(authority.folder, text, "--watch") as running:
        assert names(running.port) == (("DNS", "localhost"),)
        lines.append(authority.pair("renewed.example").key.read_text().splitlines()[1])
        assert wait_until(lambda: names(running.port) == (("DNS", "renewed.example"),), TIMEOUT)
        said = [
            running.run(*command).stdout
            for command in (
                ("status",),
                ("status", "--json"),
                ("explain", "GET", "https://localhost/", "--live"),
            )
        ]
        assert "renewed.example" in said[0] and "site.pem" in said[0]
        folder = running.folder / "run" / "t"
        kept = [path for path in folder.rglob("*.json") if not path.name.startswith("secrets-")]
        said += [path.read_text() for path in kept] + [running.log()]
        assert not any(line in text for line in lines for text in said)
        secrets = list(folder.glob("secrets-*.json"))
        assert secrets and all(path.stat().st_mode & 0o777 == 0o600 for path in secrets)
        # An open connection hears that the end is near, and that nothing was cut off.
        with connected(running.port) as client:
            assert ask(client)[1] == b"here"
            running.process.send_signal(signal.SIGTERM)
            while b"connection: close" not in ask(client)[0].lower():
                pass
            assert client.recv(1) == b""
