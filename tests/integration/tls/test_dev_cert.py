# SPDX-License-Identifier: Apache-2.0
"""HTTPS on localhost: `tls: dev` and `tidegate dev-cert`."""

from __future__ import annotations

import datetime
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.apps.browser import browser
from tests.integration.tls.client import ask, configuration, secured
from tidegate.issuing import trust
from tidegate.issuing.development import DAY, DevelopmentError, ensure
from tidegate.testing import gateway

LISTENER: dict[str, object] = {"port": 60_443, "tls": "dev"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where authority and certificate are kept in a test."""
    kept = tmp_path / "development"
    monkeypatch.setenv("TIDEGATE_DEV_CERT_DIR", str(kept))
    return kept


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegate", "dev-cert", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_tls_dev_serves_https_that_clients_of_the_authority_believe(folder: Path) -> None:
    route = {"hosts": ["shop.test", "shop.example", "*.shop.test"], "path": "/", "to": {"respond": 204}}
    here = {"path": "/", "to": {"respond": {"status": 200, "body": "here"}}}
    with gateway(configuration(LISTENER, route, here)) as running:
        # Hosts of the internet are left out.
        for name in ("localhost", "127.0.0.1", "shop.test", "a.shop.test"):
            with secured(running, trusting(folder), name) as client:
                assert ask(client)[1] == b"here"
        with pytest.raises(ssl.SSLCertVerificationError), secured(running, trusting(folder), "shop.example"):
            pass
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes["development"] == 0o700
    assert modes["ca.key"] == modes["localhost.key"] == 0o600


def test_a_running_instance_and_the_command_use_the_same_certificate(folder: Path) -> None:
    told = json.loads(command("--json").stdout)
    assert told["names"] == ["localhost", "127.0.0.1", "::1"] and told["is_new"]
    assert told["cert"] == str(folder / "localhost.pem")
    text = configuration(LISTENER)
    with gateway(text, processes=True) as running:
        with secured(running, trusting(folder)) as client:
            assert ask(client)[1] == b"here"
        shown = running.status()["listeners"]
        assert "PRIVATE KEY" not in json.dumps(shown)
    again = command("shop.test")
    assert again.returncode == 0 and "shop.test" in again.stdout and "tls: dev" in again.stdout
    assert command().stdout.startswith("still good: localhost, 127.0.0.1, ::1, shop.test")


def test_names_of_the_internet_are_refused(folder: Path) -> None:
    for wrong in ("shop.example.com", "localhost.com", "10.0.0.1", "test.de", "*.com"):
        told = command(wrong)
        assert told.returncode == 1
        assert wrong in told.stderr and "localhost, test, internal" in told.stderr
    assert not (folder / "localhost.pem").exists()


def test_a_stolen_key_signs_nothing_on_the_internet(folder: Path, tmp_path: Path) -> None:
    made = ensure()
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    stolen = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(stolen, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    for name, is_good in (("bank.example", False), ("shop.test", True)):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
            .sign(stolen, hashes.SHA256())
        )
        cert, secret = tmp_path / "forged.pem", tmp_path / "forged.key"
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        secret.write_bytes(key.private_bytes(*encoding, serialization.NoEncryption()))
        tls = {"certificates": [{"cert": str(cert), "key": str(secret)}]}
        with gateway(configuration({"port": 60_443, "tls": tls})) as running:
            if is_good:
                with secured(running, trusting(folder), name) as client:
                    assert ask(client)[1] == b"here"
            else:
                with (
                    pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"),
                    secured(running, trusting(folder), name),
                ):
                    pass


def test_it_is_made_anew_before_its_end_and_after_damage(folder: Path) -> None:
    begin = 1_800_000_000
    first = ensure(["shop.test"], now=begin)
    assert first.is_new and first.is_authority_new
    assert not ensure(now=begin + 59 * DAY).is_new
    renewed = ensure(now=begin + 61 * DAY)
    assert renewed.is_new and not renewed.is_authority_new
    # What it was for once it stays for.
    assert "shop.test" in renewed.names
    assert ensure(now=begin + 700 * DAY).is_authority_new
    for damage in (b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"):
        (folder / "localhost.pem").write_bytes(damage)
        assert ensure(now=begin + 700 * DAY).is_new
    (folder / "localhost.key").write_bytes((folder / "ca.key").read_bytes())
    assert ensure(now=begin + 700 * DAY).is_new
    (folder / "ca.key").unlink()
    assert ensure(now=begin + 700 * DAY).is_authority_new
    assert not ensure(now=begin + 700 * DAY).is_new


def test_those_who_come_at_once_share_one_authority(folder: Path) -> None:
    made = []
    threads = [
        threading.Thread(target=lambda number=number: made.append(ensure([f"a{number}.test"])))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.is_authority_new for each in made) == 1
    assert len(ensure().names) == 3 + 8


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TIDEGATE_DEV_CERT_DIR", str(tmp_path / "file"))
    with pytest.raises(DevelopmentError, match="TIDEGATE_DEV_CERT_DIR"):
        ensure()
    with pytest.raises(Exception, match=r"no certificate for development: .*file"):
        gateway(configuration(LISTENER)).__enter__()


@pytest.mark.needs("certutil", "chromium")
def test_browsers_trust_the_authority_when_asked_and_no_longer_when_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, anchors, tools = tmp_path / "home", tmp_path / "anchors", tmp_path / "tools"
    for each in (home, anchors, tools):
        each.mkdir()
    monkeypatch.setenv("HOME", str(home))
    # The system's own store is not a test's to change.
    (tools / "update-ca-certificates").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ran\n')
    (tools / "update-ca-certificates").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(trust, "SYSTEMS", ((anchors, "update-ca-certificates"),))
    made = ensure()
    for _ in range(2):
        told = trust.install(made.authority)
        assert [each.is_done for each in told] == [True, True], told
    assert (anchors / trust.FILE).read_bytes() == made.authority.read_bytes()
    listed = subprocess.run(
        ["certutil", "-L", "-d", f"sql:{home}/.pki/nssdb"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.count(trust.NICKNAME) == 1
    with gateway(configuration(LISTENER)) as running:
        url = f"https://localhost:{running.port}/"
        with browser(tmp_path / "profile", "localhost") as page:
            page.open(url)
            assert page.statuses[url] == 200
    assert all(each.is_done for each in trust.remove(made.authority))
    assert not (anchors / trust.FILE).exists()
    listed = subprocess.run(
        ["certutil", "-L", "-d", f"sql:{home}/.pki/nssdb"], capture_output=True, text=True, check=True
    )
    assert trust.NICKNAME not in listed.stdout
    assert (tmp_path / "ran").read_text().split() == ["--fresh"]


def test_a_tool_that_is_missing_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = command("--trust", HOME=str(tmp_path), PATH=str(tmp_path))
    assert told.returncode == 1
    assert "libnss3-tools" in told.stderr and "ca-certificates" in told.stderr
    assert json.loads(command("--untrust", "--json", HOME=str(tmp_path), PATH=str(tmp_path)).stdout)["stores"]
