# SPDX-License-Identifier: Apache-2.0
"""Whom a backend with TLS believes, what it asks for and shows, and how that can be changed."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.backends import asked, backend, configuration, handshakes, local, trusts
from tests.integration.tls.client import TIMEOUT, entries
from tidegate import Backend, ConfigError
from tidegate.testing import Reply, endpoint, gateway

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def test_the_system_decides_whom_to_trust_where_nothing_is_said(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(tls=pair.origin()) as origin:
        text = configuration(f"https://localhost:{origin.port}", tls={})
        with gateway(text) as running:
            assert asked(running)[0] == 502
            assert handshakes(running)["failed"] == {"unknown_issuer": 1}
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with gateway(text) as running:
            assert asked(running) == (200, b"ok\n")


def test_a_url_of_https_is_all_that_is_needed(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with endpoint(tls=pair.origin()) as origin:
        text = json.dumps(
            {
                "gateway": {"threads": 1},
                "listeners": {"web": {"port": 60_080}},
                "routes": [{"path": "/", "to": f"https://localhost:{origin.port}"}],
            }
        )
        with gateway(text) as running:
            assert asked(running) == (200, b"ok\n")


# What an endpoint shows, what the log says of it, and the word that counts it.
def _other_name(authority: Authority) -> ssl.SSLContext:
    return authority.pair("api.internal", "b.internal").origin()


def _unknown(authority: Authority) -> ssl.SSLContext:
    other = authority.folder / "other"
    other.mkdir()
    return Authority(other, "Mallory").pair("localhost").origin()


def _expired(authority: Authority) -> ssl.SSLContext:
    return authority.pair("localhost", days=-3.5).origin()


def _early(authority: Authority) -> ssl.SSLContext:
    return authority.pair("localhost", since=2.5).origin()


def _by_itself(authority: Authority) -> ssl.SSLContext:
    return authority.pair("localhost", by_itself=True).origin()


def _old(authority: Authority) -> ssl.SSLContext:
    context = authority.pair("localhost").origin()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _weak(authority: Authority) -> ssl.SSLContext:
    context = authority.pair("localhost", use_rsa=True).origin(TLS12)
    context.set_ciphers("AES128-GCM-SHA256")
    return context


def _nameless(authority: Authority) -> ssl.SSLContext:
    return authority.pair("localhost", with_names=False).origin()


@pytest.mark.parametrize(
    ("spoil", "reason", "error", "says"),
    [
        (
            _other_name,
            "wrong_name",
            "tls_certificate_error",
            "not for `localhost` but for `api.internal`, `b.internal`",
        ),
        (_nameless, "wrong_name", "tls_certificate_error", "it names no host at all"),
        (_unknown, "unknown_issuer", "tls_certificate_error", "signed by an unknown issuer, `Mallory`"),
        (_by_itself, "unknown_issuer", "tls_certificate_error", "signed by itself"),
        (_expired, "expired", "tls_certificate_error", "expired 3 days ago"),
        (_early, "not_yet_valid", "tls_certificate_error", "good only in 2 days"),
        (_old, "no_shared_version", "tls_protocol_error", "no version that is allowed"),
        (_weak, "alert", "tls_alert_received", "shares no cipher"),
    ],
)
def test_an_endpoint_that_is_not_who_it_should_be_gets_nothing(
    authority: Authority, spoil: Any, reason: str, error: str, says: str
) -> None:
    with endpoint(tls=spoil(authority)) as origin:
        with gateway(configuration(local(origin.port), tls=trusts(authority))) as running:
            status, body = asked(running)
            # The client learns the status, and nothing of names or reasons.
            assert status == 502
            assert not any(word in body for word in (b"certificate", b"TLS", b"localhost"))
            [entry] = entries(running, 1)
            assert entry["error"] == error and says in entry["detail"]
            told = handshakes(running)["failed"]
            assert told == {reason: told[reason]} and told[reason] >= 1
        assert origin.messages == []


def test_a_certificate_that_is_given_as_ca_is_believed_by_itself(authority: Authority) -> None:
    pair = authority.pair("localhost", by_itself=True)
    with (
        endpoint(tls=pair.origin()) as origin,
        gateway(configuration(local(origin.port), tls={"ca": str(pair.cert)})) as running,
    ):
        assert asked(running) == (200, b"ok\n")
    # But not for another name, nor for longer than it says.
    for names, days in ((["other.example"], 30.0), (["localhost"], -1.0)):
        pair = authority.pair(*names, by_itself=True, days=days)
        with (
            endpoint(tls=pair.origin()) as origin,
            gateway(configuration(local(origin.port), tls={"ca": str(pair.cert)})) as running,
        ):
            assert asked(running)[0] == 502


def _names(context: ssl.SSLContext) -> list[str | None]:
    """Which names clients ask for, as they come."""
    found: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: found.append(name)
    return found


def test_the_name_that_is_asked_for_is_the_one_that_is_verified(authority: Authority) -> None:
    context = authority.pair("api.internal").origin()
    names = _names(context)
    with endpoint(tls=context) as origin:
        tls = trusts(authority, server_name="api.internal")
        with gateway(configuration(origin.address, tls=tls)) as running:
            assert asked(running)[0] == 200
        # Without one it is the host of the endpoint.
        with gateway(configuration(local(origin.port), tls=trusts(authority))) as running:
            assert asked(running)[0] == 502
        assert names == ["api.internal", "localhost"]


@pytest.mark.parametrize(("shown", "status"), [("127.0.0.1", 200), ("127.0.0.2", 502), ("localhost", 502)])
def test_an_endpoint_given_by_its_address_is_verified_by_it(
    authority: Authority, shown: str, status: int
) -> None:
    context = authority.pair(shown).origin()
    names = _names(context)
    with endpoint(tls=context) as origin:
        with gateway(configuration(origin.address, tls=trusts(authority))) as running:
            assert asked(running)[0] == status
        assert names == [None]


@pytest.mark.parametrize(
    ("accepted", "status"),
    [
        (["spiffe://example.org/shop"], 200),
        (["other.internal", "api.internal"], 200),
        (["spiffe://example.org/other", "other.internal"], 502),
    ],
)
def test_other_names_may_be_accepted_instead(authority: Authority, accepted: list[str], status: int) -> None:
    context = authority.pair("api.internal", "spiffe://example.org/shop").origin()
    names = _names(context)
    with endpoint(tls=context) as origin:
        tls = trusts(authority, subject_alt_names=accepted)
        with gateway(configuration(local(origin.port), tls=tls)) as running:
            assert asked(running)[0] == status
        assert names[0] == "localhost"


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_an_endpoint_that_asks_who_we_are_is_told(authority: Authority, version: ssl.TLSVersion) -> None:
    own = authority.pair("the gateway", file="own")
    other = authority.folder / "other"
    other.mkdir()
    stranger = Authority(other, "Mallory").pair("stranger")
    with endpoint(tls=authority.pair("localhost").origin(version, clients=authority.file)) as origin:
        for shown, status in ((own, 200), (stranger, 502), (None, 502)):
            certificate = {"cert": str(shown.cert), "key": str(shown.key)} if shown else None
            tls = trusts(authority, certificate=certificate) if shown else trusts(authority)
            with gateway(configuration(local(origin.port), tls=tls)) as running:
                assert asked(running)[0] == status
                if status == 502:
                    [entry] = entries(running, 1)
                    assert entry["error"] in ("tls_alert_received", "connection_terminated"), entry
                else:
                    told = backend(running)["tls"]["terms"]["certificate"]
                    assert told["file"] == str(own.cert) and told["not_after"] > 0


def test_keys_are_agreed_on_as_the_policy_says(authority: Authority, pair: Pair) -> None:
    with endpoint(tls=pair.origin(TLS12)) as origin:
        tls = trusts(authority, policy="modern")
        with gateway(configuration(local(origin.port), tls=tls)) as running:
            assert asked(running)[0] == 502
            assert handshakes(running)["failed"] == {"no_shared_version": 1}


def test_the_file_of_authorities_is_read_anew(authority: Authority, pair: Pair) -> None:
    file = authority.folder / "trusted.pem"
    other = Authority(authority.folder, "another", file="another")
    file.write_bytes(other.file.read_bytes())
    with endpoint(tls=pair.origin()) as origin:
        text = configuration(local(origin.port), tls={"ca": str(file)})
        with gateway(text) as running:
            assert asked(running)[0] == 502
            file.write_bytes(other.file.read_bytes() + authority.file.read_bytes())
            running.reload(text)
            assert asked(running)[0] == 200
            # What can not be read is refused, and who was trusted stays trusted.
            file.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
            with pytest.raises(Exception, match=r"trusted\.pem"):
                running.reload(text)
            assert asked(running)[0] == 200


def test_a_certificate_of_ours_is_exchanged_by_a_reload(authority: Authority, pair: Pair) -> None:
    expired = authority.pair("the gateway", file="own", days=-1)
    with endpoint(tls=pair.origin(TLS12, clients=authority.file)) as origin:
        certificate = {"cert": str(expired.cert), "key": str(expired.key)}
        text = configuration(local(origin.port), tls=trusts(authority, certificate=certificate))
        with gateway(text) as running:
            assert asked(running)[0] == 502
            assert "client_certificate" in handshakes(running)["failed"]
            authority.pair("the gateway", file="own")
            running.reload(text)
            assert asked(running)[0] == 200


def test_verification_ends_only_by_its_own_name(authority: Authority) -> None:
    origin_tls = authority.pair("other.example", by_itself=True, days=-1).origin()
    with endpoint(tls=origin_tls) as origin:
        text = configuration(local(origin.port), tls={"insecure_skip_verification": True})
        with gateway(text) as running:
            assert asked(running)[0] == 200
            terms = backend(running)["tls"]["terms"]
            assert (terms["verifies"], terms["by"]) == (False, None)
            told = running.explain({"method": "GET", "url": "http://localhost/", "listener": "web"})
            assert told["backends"][0]["tls"]["verifies"] is False
        # The origin's own redirect to another scheme is the client's to follow.
        with endpoint(Reply(302, headers=[("location", "http://localhost:1/")]), tls=origin_tls) as moved:
            text = configuration(local(moved.port), tls={"insecure_skip_verification": True})
            with gateway(text) as running:
                assert asked(running)[0] == 302
                assert len(moved.messages) == 1


def _command(folder: Path, *words: str, text: str = "") -> tuple[int, str, str]:
    if text:
        (folder / "tidegate.yaml").write_text(text)
    told = subprocess.run(
        [sys.executable, "-m", "tidegate", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return told.returncode, told.stdout, told.stderr


def test_check_warns_where_nobody_is_verified(authority: Authority) -> None:
    authority.pair("the gateway", file="own", days=-1)
    certificate = {"cert": "own.pem", "key": "own.key"}
    tls = {"insecure_skip_verification": True, "certificate": certificate}
    code, out, err = _command(
        authority.folder, "check", "tidegate.yaml", text=configuration("localhost:1", tls=tls)
    )
    assert code == 0 and "ok" in out
    assert "warning: " in err and "nobody verifies who its endpoints are" in err
    assert "`own.pem` expired on" in err and "and endpoints refuse it" in err
    told = _command(authority.folder, "explain", "GET", "/", "--listener", "web", "-f", "tidegate.yaml")
    assert "NOT VERIFIED" in told[1], told
    code, _, err = _command(
        authority.folder,
        "check",
        "tidegate.yaml",
        text=configuration(
            "localhost:1", tls={"ca": "missing.pem", "certificate": {"cert": "own.pem", "key": "no.key"}}
        ),
    )
    assert code != 0 and "`missing.pem` can not be read" in err and "`no.key` can not be read" in err


def test_no_second_file_takes_verification_away(authority: Authority) -> None:
    (authority.folder / "a.yaml").write_text(configuration("localhost:1", tls=True))
    more = {"backends": {"shop": {"tls": {"insecure_skip_verification": True}}}}
    (authority.folder / "b.yaml").write_text(json.dumps(more))
    code, _, err = _command(authority.folder, "check", "a.yaml", "b.yaml")
    assert code != 0 and "backends.shop: is given twice" in err


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"endpoints": ["https://a:1", "b:1"]}, "some endpoints are `https://` and some are not"),
        ({"endpoints": ["https://a:1"], "tls": False}, "`tls: false` contradicts its `https://` endpoints"),
        ({"endpoints": ["https://a/b"]}, "has a path"),
        ({"endpoints": ["unix:/run/a.sock"], "tls": True}, "has no host to ask for in TLS"),
        ({"endpoints": ["a:1"], "protocol": "https"}, "is written `tls: true`"),
        ({"endpoints": ["a:1"], "tls": {"verify": False}}, "`insecure_skip_verification: true` ends that"),
        ({"endpoints": ["a:1"], "tls": {"ca": ""}}, "an empty `ca` would trust nobody"),
        (
            {"endpoints": ["a:1"], "tls": {"ca": "a.pem", "insecure_skip_verification": True}},
            "nothing is verified, and `ca` means nothing",
        ),
        ({"endpoints": ["a:1"], "tls": {"server_name": "*.internal"}}, "write one name"),
        (
            {"endpoints": ["a:1"], "health_check": {"type": "tcp", "tls": False, "expect": "x"}},
            "with `tls: false` nothing is said to an endpoint",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        Backend(**parts)
    assert says in str(error.value)
