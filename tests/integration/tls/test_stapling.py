# SPDX-License-Identifier: Apache-2.0
"""What authorities say of certificates (OCSP), shown with the handshake: from a file, and from responders."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import DEADLINE, Supervised, supervised
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import HERE, configuration
from tests.integration.tls.responder import BOUND, answer, made_up, named, real, stapled
from tests.ports import free_port
from tidegate import ConfigError
from tidegate.testing import gateway, wait_until

pytestmark = pytest.mark.needs("openssl")


def of_file(pair: Pair, file: Path) -> dict[str, object]:
    certificate = {"cert": str(pair.cert), "key": str(pair.key), "ocsp": str(file)}
    return {"port": 60_443, "tls": {"certificates": [certificate]}}


def site(*pairs: Pair, ocsp: Path | None = None, **more: object) -> str:
    certificates = [{"cert": str(pair.cert), "key": str(pair.key)} for pair in pairs]
    if ocsp is not None:
        certificates[0]["ocsp"] = str(ocsp)
    listener = {"address": "127.0.0.1", "port": "PORT", "tls": {"certificates": certificates, **more}}
    text = {"gateway": {"threads": 1}, "listeners": {"web": listener}, "routes": [HERE]}
    return json.dumps(text).replace('"PORT"', "PORT")


def listed(running: Supervised) -> dict[str, Any]:
    told = running.run("cert", "list", "--json")
    assert told.returncode == 0, told.stderr
    return {each["names"][0]: each for each in json.loads(told.stdout)["certificates"]}


def test_an_answer_from_a_file_is_shown_to_who_asks(authority: Authority, tmp_path: Path) -> None:
    pair, file = authority.pair("site.test"), tmp_path / "site.ocsp"
    file.write_bytes(answer(pair, authority))
    with gateway(configuration(of_file(pair, file))) as running:
        for version in ("-tls1_2", "-tls1_3"):
            assert stapled(running.port, "site.test", authority.file, version) == "good"


def test_an_answer_is_not_shown_once_it_has_expired(authority: Authority, tmp_path: Path) -> None:
    pair, file = authority.pair("site.test"), tmp_path / "site.ocsp"
    begun = time.time()
    file.write_bytes(answer(pair, authority, until=8))
    with gateway(configuration(of_file(pair, file))) as running:
        first = stapled(running.port, "site.test", authority.file)
        # A machine that is slow beyond measure has missed it.
        assert first == "good" or time.time() > begun + 7
        assert wait_until(lambda: stapled(running.port, "site.test", authority.file) == "none", DEADLINE)


def test_what_is_no_answer_for_the_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    pair, other = authority.pair("site.test"), authority.pair("other.test", file="other")
    alone = authority.pair("alone.test", file="alone", with_chain=False)
    file = tmp_path / "site.ocsp"
    cases = [
        (pair, b"no answer", "it is no answer of OCSP"),
        (pair, answer(other, authority), "it is about another certificate"),
        (pair, answer(pair, authority, until=None), "it does not say until when it counts"),
        (alone, answer(alone, authority), "does not stand behind it"),
        (pair, bytes(1 << 17), "larger than 64 KiB"),
    ]
    for shown, content, says in cases:
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=says), gateway(configuration(of_file(shown, file))):
            pass
    file.unlink()
    with pytest.raises(ConfigError, match="can not be read"), gateway(configuration(of_file(pair, file))):
        pass


def test_a_file_is_followed_and_its_lack_is_told(authority: Authority, tmp_path: Path) -> None:
    pair, file = authority.pair("site.test", more=(BOUND,)), tmp_path / "site.ocsp"
    file.write_bytes(answer(pair, authority, since=-7200, until=-3600))
    with supervised(tmp_path, site(pair, ocsp=file), "--watch") as running:
        assert stapled(running.port, "site.test", authority.file) == "none"
        assert listed(running)["site.test"]["ocsp"]["is_bound"]
        assert "lacks its OCSP response" in running.run("cert", "list").stdout
        assert "must-staple" in running.run("cert", "show", "site.test").stdout
        assert "expired on" in running.run("check", "--json").stdout + running.run("check").stdout
        fresh = file.with_suffix(".new")
        fresh.write_bytes(answer(pair, authority))
        fresh.rename(file)
        assert wait_until(lambda: stapled(running.port, "site.test", authority.file) == "good", DEADLINE), (
            running.log()
        )
        assert "lacks" not in running.run("cert", "list").stdout


def test_responders_are_asked_and_what_they_say_is_kept(authority: Authority, tmp_path: Path) -> None:
    port = free_port()
    pair = authority.pair("site.test", more=(named(f"http://127.0.0.1:{port}"),))
    plain = authority.pair("plain.test", file="plain")
    with made_up(lambda _: (200, b"a lie")) as (url, asked):
        lied = authority.pair("lied.test", file="lied", more=(named(url), BOUND))
        with real(authority, pair, port), supervised(tmp_path, site(pair, plain, lied)) as running:
            assert wait_until(
                lambda: stapled(running.port, "site.test", authority.file) == "good", DEADLINE
            ), running.log()
            running.wait_event("no new OCSP response", "it is no answer of OCSP")
            for name in ("plain.test", "lied.test"):
                assert stapled(running.port, name, authority.file) == "none"
            found = listed(running)
            assert found["plain.test"]["ocsp"] is None
            assert found["site.test"]["ocsp"]["until"] > time.time() + 80_000
            assert found["lied.test"]["ocsp"]["failures"] == 1
            shown = running.run("cert", "show", "site.test").stdout
            assert "ocsp       good, shown until" in shown and f"http://127.0.0.1:{port}" in shown
            told = running.run("cert", "list").stdout
            assert "lied.test: OCSP: no response; though the certificate wants one" in told
            assert asked == ["POST /ocsp"]
        # The responder is gone, and what it said is still there.
        with supervised(tmp_path, site(pair), "--watch") as running:
            assert stapled(running.port, "site.test", authority.file) == "good"
            # Who wants none of it has it switched off.
            running.write(site(pair, lied, staple=False))
            assert wait_until(
                lambda: stapled(running.port, "site.test", authority.file) == "none", DEADLINE
            ), running.log()
            assert "ocsp" not in running.run("cert", "show", "site.test").stdout
        assert asked == ["POST /ocsp"]
