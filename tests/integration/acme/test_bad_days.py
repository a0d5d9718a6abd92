# SPDX-License-Identifier: Apache-2.0
"""What happens when there is no certificate to be had, or what was there is damaged."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.integration.acme.pebble import DEADLINE, Pebble, pebble
from tests.integration.acme.site import (
    change,
    checked,
    configuration,
    listed,
    presented,
    serves,
    until_served,
)
from tests.integration.supervised import Supervised, supervised
from tidegate.testing import wait_until

pytestmark = pytest.mark.needs("pebble")


def failing(site: Supervised, name: str) -> bool:
    return bool(listed(site)[name]["failures"])


def test_one_name_that_fails_does_not_keep_the_others_and_is_told_of(store: Path, tmp_path: Path) -> None:
    hosts = ("shop.test", "blocked.test", "missing.test")
    with pebble(tmp_path / "authority", domainBlocklist=["blocked.test"]) as authority:
        authority.names.missing.add("missing.test")
        with supervised(tmp_path, configuration(authority, store, *hosts)) as site:
            until_served(authority, site, "shop.test")
            assert wait_until(lambda: all(failing(site, each) for each in hosts[1:]), DEADLINE), site.log()
            found = listed(site)
            assert found["blocked.test"]["kind"] == "rejectedIdentifier"
            assert "missing.test" in found["missing.test"]["says"]
            # Long enough that the authority's limits are not used up.
            assert found["missing.test"]["next_at"] - found["missing.test"]["failed_at"] >= 300
            told = site.run("cert", "list").stdout
            assert "not there yet" in told and "tried again from" in told
            # Whoever asks for one of them is refused, and the log says what to look at.
            with (
                socket.create_connection(("127.0.0.1", authority.tls), DEADLINE) as plain,
                pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"),
            ):
                authority.client().wrap_socket(plain, server_hostname="missing.test")
            # A start is no reason to ask again before the time.
            orders = authority.log().count("POST /order-plz")
        with supervised(tmp_path, configuration(authority, store, *hosts)) as site:
            until_served(authority, site, "shop.test")
            assert listed(site)["missing.test"]["failures"] == 1
            assert authority.log().count("POST /order-plz") == orders
            # Asking is: the name is there by now.
            authority.names.missing.clear()
            assert site.run("cert", "renew", "missing.test").returncode == 0
            until_served(authority, site, "missing.test")
            assert listed(site)["missing.test"]["failures"] == 0


def test_an_authority_that_is_away_is_waited_for_and_what_was_there_goes_on(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    authority.stop()
    with supervised(tmp_path, configuration(authority, store, "shop.test")) as site:
        assert wait_until(lambda: failing(site, "shop.test"), DEADLINE), site.log()
        assert listed(site)["shop.test"]["kind"] == "unreachable"
        authority.start()
        assert site.run("cert", "renew").returncode == 0
        until_served(authority, site, "shop.test")
        first = presented(authority, "shop.test").serial_number
        trusted = authority.client()
        authority.stop()
        # Its time has come, and gone: the old one stays until there is another.
        change(store, "UPDATE certificate SET renew_at = 0")
        assert wait_until(lambda: failing(site, "shop.test"), DEADLINE), site.log()
        assert "renewal fails" in site.run("cert", "list").stdout
        with (
            socket.create_connection(("127.0.0.1", authority.tls), DEADLINE) as plain,
            trusted.wrap_socket(plain, server_hostname="shop.test") as secured,
        ):
            assert secured.version()
        # One that has forgotten everything, our account as well, is begun with anew.
        authority.start()

        def is_other() -> bool:
            site.run("cert", "renew", "--force")
            return serves(authority, "shop.test") and presented(authority, "shop.test").serial_number != first

        assert wait_until(is_other, DEADLINE), site.log()


def test_nonces_that_are_refused_are_no_failure(store: Path, tmp_path: Path) -> None:
    with (
        pebble(tmp_path / "authority", environment={"PEBBLE_WFE_NONCEREJECT": "15"}) as authority,
        supervised(tmp_path, configuration(authority, store, "shop.test")) as site,
    ):

        def is_served() -> bool:
            if not serves(authority, "shop.test"):
                site.run("cert", "renew")
                return False
            return True

        assert wait_until(is_served, DEADLINE), site.log()


def test_control_that_is_killed_in_between_goes_on_where_it_was(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    with supervised(tmp_path, configuration(authority, store, "shop.test")) as site:
        # Whatever it is doing at that moment.
        for _ in range(3):
            os.kill(site.pid("control"), signal.SIGKILL)
            assert wait_until(lambda: site.run("cert", "list").returncode == 0, DEADLINE)
        assert wait_until(lambda: "shop.test" in listed(site), DEADLINE)
        if not serves(authority, "shop.test"):
            site.run("cert", "renew")
        until_served(authority, site, "shop.test")


def test_a_store_that_is_damaged_is_mended_from_its_copy(
    authority: Pebble, store: Path, tmp_path: Path
) -> None:
    text = configuration(authority, store, "shop.test")
    with supervised(tmp_path, text) as site:
        until_served(authority, site, "shop.test")
        first = presented(authority, "shop.test").serial_number
    whole = (store / "acme.sqlite").read_bytes()
    for damage in (b"", b"no database at all" * 400, whole[:5000], b"\0" * len(whole)):
        (store / "acme.sqlite").write_bytes(damage)
        orders = authority.log().count("POST /order-plz")
        with supervised(tmp_path, text) as site:
            until_served(authority, site, "shop.test")
            assert presented(authority, "shop.test").serial_number == first
        assert authority.log().count("POST /order-plz") == orders
    # Without a copy nothing is thrown away: it is said what to do.
    for file in store.iterdir():
        file.write_bytes(b"no database at all" * 400)
    told = site.run("check", str(site.path))
    assert told.returncode == 3
    assert "acme.sqlite is damaged" in told.stderr and "move" in told.stderr
    assert len((store / "acme.sqlite").read_bytes()) == len(b"no database at all" * 400)


@pytest.mark.parametrize(
    ("tls", "acme", "says"),
    [
        ("auto", {"accept_terms": False}, "accept_terms: true"),
        ({"auto": True, "names": ["*.shop.test"]}, {}, "no host name that a certificate can be got for"),
        ({"auto": True, "names": ["127.0.0.1"]}, {}, "no host name that a certificate can be got for"),
        ({"names": ["shop.test"], "dev": True}, {}, "`names` and `together` are for `auto: true`"),
        ("auto", {"authority": "http://localhost/dir"}, "https://"),
        ("auto", {"contact": ["nobody"]}, "no e-mail address"),
        ("auto", {"external_account": {"id": "a", "key": "!"}}, "no base64url"),
        ("auto", {"staging": True}, "not both"),
    ],
)
def test_settings_that_do_not_do_are_named_with_what_to_do(
    authority: Pebble, store: Path, tmp_path: Path, tls: object, acme: dict[str, Any], says: str
) -> None:
    told = checked(tmp_path, configuration(authority, store, "shop.test", tls=tls, **acme))
    assert told.returncode == 3 and says in told.stderr, told.stderr


def test_hosts_are_asked_for_where_there_are_none(authority: Pebble, store: Path, tmp_path: Path) -> None:
    routes: list[dict[str, object]] = [{"path": "/", "to": {"respond": 204}}]
    told = checked(tmp_path, configuration(authority, store, routes=routes))
    assert told.returncode == 3 and "write `hosts` on the routes, or `names` here" in told.stderr
