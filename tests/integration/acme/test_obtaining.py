# SPDX-License-Identifier: Apache-2.0
"""Certificates from a real authority: obtained, served, renewed."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import threading
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.acme.pebble import DEADLINE, Pebble, pebble
from tests.integration.acme.site import ask, change, configuration, listed, presented, serves, until_served
from tests.integration.supervised import supervised
from tests.ports import free_port
from tidegate.testing import wait_until

pytestmark = pytest.mark.needs("pebble")
LONG = int(os.environ.get("TIDEGATE_RENEWALS", "4"))
"""Certificates that follow each other under load."""


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(found.value.get_values_for_type(x509.DNSName))


def test_tls_auto_gets_serves_and_tells_a_certificate_for_each_host(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    text = configuration(authority, store, "shop.test", "www.shop.test", "*.shop.test")
    with supervised(tmp_path, text) as site:
        # Until then the handshake is refused, and the log says why.
        until_served(authority, site, "shop.test", "www.shop.test")
        assert names(presented(authority, "shop.test")) == ["shop.test"]
        found = listed(site)
        assert found.keys() == {"shop.test", "www.shop.test"}
        shop = found["shop.test"]
        assert shop["source"] == "acme:shop.test" and shop["listeners"] == ["secured"]
        assert shop["issuer"].startswith("Pebble Intermediate")
        # Within the window that the authority wants, which is around two thirds of its life.
        ninth = 86_400 * 10
        assert shop["not_after"] - 5 * ninth < shop["renew_at"] < shop["not_after"] - ninth
        status = site.run("status", "--json").stdout
        assert "acme:shop.test" in status and str(shop["not_after"]) in status
        for words in (["cert", "list"], ["cert", "show", "shop.test"]):
            told = site.run(*words).stdout
            assert "shop.test" in told and "good" in told and "Pebble" in told
        assert site.run("cert", "show", "other.test").returncode == 1
        assert "nothing is due" in site.run("cert", "renew").stdout
        refused = site.run("cert", "renew", "other.test")
        assert refused.returncode == 1 and "there are those for shop.test" in refused.stderr
        secrets = [each.read_bytes() for each in store.iterdir()]
        log = site.log()
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in store.iterdir())
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert any(b"PRIVATE KEY" in each for each in secrets) and "PRIVATE KEY" not in log
    # It is there at once the next time, without the authority.
    authority.stop()
    with supervised(tmp_path, text) as site:
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", authority.tls)) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname="shop.test")
        assert listed(site)["shop.test"]["failures"] == 0


def test_names_may_share_a_certificate_of_the_kind_that_is_wanted(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    tls = {"auto": True, "names": ["shop.test", "www.shop.test"], "together": True}
    with supervised(tmp_path, configuration(authority, store, tls=tls, key_type="rsa_2048")) as site:
        until_served(authority, site, "shop.test")
        found = presented(authority, "www.shop.test")
        assert names(found) == ["shop.test", "www.shop.test"]
        assert isinstance(found.public_key(), rsa.RSAPublicKey)
        fresh = configuration(authority, store, tls=tls, key_type="ecdsa_p384")
        site.write(fresh)
        assert site.run("reload").returncode == 0
        assert site.run("cert", "renew", "shop.test", "--force").returncode == 0

        def is_elliptic() -> bool:
            key = presented(authority, "shop.test").public_key()
            return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1"

        assert wait_until(is_elliptic, DEADLINE), site.log()


def test_a_name_is_proved_by_tls_where_no_plain_listener_is(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    with supervised(tmp_path, configuration(authority, store, "shop.test", has_plain=False)) as site:
        until_served(authority, site, "shop.test")

        def refusal(name: str) -> str:
            context = ssl.create_default_context(cadata=authority.roots())
            context.set_alpn_protocols(["acme-tls/1"])
            with (
                socket.create_connection(("127.0.0.1", authority.tls), DEADLINE) as plain,
                pytest.raises(ssl.SSLError) as refused,
            ):
                context.wrap_socket(plain, server_hostname=name)
            return str(refused.value).lower().replace("_", " ")

        # Once it is proved nobody gets anything by its protocol, whatever name is asked for.
        for name in ("shop.test", "other.test"):
            gone = lambda name=name: "no application protocol" in refusal(name)  # noqa: E731
            assert wait_until(gone, DEADLINE), refusal(name)


def test_the_proof_goes_before_routes_and_is_given_to_nobody_else(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    everything: list[dict[str, object]] = [
        {"listeners": ["plain"], "path": "/.well-known", "to": {"respond": {"status": 418}}},
        {"hosts": ["shop.test"], "path": "/", "to": {"respond": {"status": 200, "body": "here"}}},
    ]
    plain: dict[str, object] = {"redirect": "https", "maintenance": True}
    text = configuration(authority, store, routes=everything, plain=plain, challenges=["http-01"])
    begin = "/.well-known/acme-challenge/"
    asked: list[tuple[int, bytes]] = []
    with supervised(tmp_path, text) as site:
        has_ended = threading.Event()

        def pry() -> None:
            # Tokens of others, none, endless ones, and ways out of the folder.
            odd = ["x", "", "a" * 4000, "../../etc/passwd", "%2e%2e/%2e%2e/x", "a/b", "%00"]
            while not has_ended.is_set():
                for each in odd:
                    for host in ("shop.test", "other.test"):
                        asked.append(ask(authority.http, begin + each, host))

        thread = threading.Thread(target=pry)
        thread.start()
        try:
            until_served(authority, site, "shop.test")
        finally:
            has_ended.set()
            thread.join()
    statuses = {status for status, _ in asked}
    assert statuses <= {301, 302, 307, 308, 400, 414, 418, 503}, statuses
    assert all(b"." not in body or status != 200 for status, body in asked)


@pytest.mark.timeout(240)
def test_certificates_follow_each_other_under_load_and_no_handshake_fails(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    failures: list[BaseException] = []
    serials: set[int] = set()
    has_ended = threading.Event()
    with supervised(tmp_path, configuration(authority, store, "shop.test")) as site:
        until_served(authority, site, "shop.test")

        def come_and_go() -> None:
            context = ssl.create_default_context(cadata=authority.roots())
            context.check_hostname = True
            while not has_ended.is_set():
                try:
                    with (
                        socket.create_connection(("127.0.0.1", authority.tls), DEADLINE) as plain,
                        context.wrap_socket(plain, server_hostname="shop.test") as secured,
                    ):
                        der = secured.getpeercert(binary_form=True)
                        assert der is not None
                        serials.add(x509.load_der_x509_certificate(der).serial_number)
                        secured.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
                        assert secured.recv(64).startswith(b"HTTP/1.1 200")
                except (OSError, AssertionError) as error:
                    failures.append(error)

        def has_more(than: int) -> bool:
            return len(serials) > than or bool(failures)

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            while len(serials) < LONG and not failures:
                before = len(serials)
                # By themselves, once two thirds of their life are over, and when asked.
                if before == 1:
                    change(store, "UPDATE certificate SET renew_at = 0")
                else:
                    assert site.run("cert", "renew", "--force").returncode == 0
                assert wait_until(partial(has_more, before), DEADLINE), site.log()
        finally:
            has_ended.set()
            for thread in threads:
                thread.join()
        assert failures == [], site.log()


def test_instances_that_share_the_store_order_once_and_answer_for_each_other(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    # The authority looks at the second alone; both want the same names.
    elsewhere = (free_port(), free_port())
    first = configuration(authority, store, "shop.test", "www.shop.test", ports=elsewhere)
    second = configuration(authority, store, "shop.test", "www.shop.test")
    with supervised(two, second) as behind, supervised(one, first) as ahead:
        until_served(authority, behind, "shop.test", "www.shop.test")
        until_served(authority, ahead, "shop.test", "www.shop.test", port=elsewhere[1])
        for name in ("shop.test", "www.shop.test"):
            mine, theirs = presented(authority, name), presented(authority, name, elsewhere[1])
            assert mine.serial_number == theirs.serial_number
        assert authority.log().count("Issued certificate") == 2, authority.log()
        assert authority.log().count("There are now 1 accounts") == 1
        assert "There are now 2 accounts" not in authority.log()


def test_an_authority_that_knows_its_customers_is_shown_the_account(store: Path, tmp_path: Path) -> None:
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    settings = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {"customer": key}}
    with pebble(tmp_path / "authority", **settings) as authority:
        account = {"id": "customer", "key": "${env:ACCOUNT_KEY}"}
        text = configuration(authority, store, "shop.test", external_account=account)
        os.environ["ACCOUNT_KEY"] = key
        try:
            with supervised(tmp_path, text) as site:
                until_served(authority, site, "shop.test")
                told = site.run("cert", "list", "--json").stdout + site.log()
        finally:
            del os.environ["ACCOUNT_KEY"]
        assert key not in told and bytes(key, "ascii") not in b"".join(
            each.read_bytes() for each in (tmp_path / "run").rglob("*.json")
        )
        assert not serves(authority, "other.test")


def test_what_the_authority_says_about_renewal_is_followed(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    with supervised(tmp_path, configuration(authority, store, "shop.test")) as site:
        until_served(authority, site, "shop.test")
        before = presented(authority, "shop.test")
        window = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
        pem = before.public_bytes(serialization.Encoding.PEM)
        authority.manage(
            "POST",
            "/set-renewal-info/",
            {"certificate": pem.decode(), "ariResponse": json.dumps({"suggestedWindow": window})},
        )
        # As if the hours until it is asked again were over.
        change(store, "UPDATE certificate SET ask_at = 0")

        def is_other() -> bool:
            return presented(authority, "shop.test").serial_number != before.serial_number

        assert wait_until(is_other, DEADLINE), site.log()
