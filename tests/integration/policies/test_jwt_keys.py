# SPDX-License-Identifier: Apache-2.0
"""Keys that an issuer publishes: fetched once, kept, and fetched again when there is a reason."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.policies.tokens import ISSUER, Signer, key_set
from tests.integration.settings.kit import ask
from tests.integration.tls.authority import Authority
from tidegate.testing import FakeEndpoint, Message, Reply, RunningGateway, endpoint, gateway, wait_until
from tidegate.testing.endpoints import Script


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def keys(*signers: Signer) -> Reply:
    return Reply(200, [("content-type", "application/json")], key_set(*signers).encode())


def configuration(upstream: FakeEndpoint, url: str, **more: Any) -> str:
    issuer = {"issuer": ISSUER, "audiences": ["shop"], "jwks_url": url, **more}
    policy = {"type": "jwt", "issuers": [issuer]}
    route = {"name": "r", "path": "/", "to": upstream.url, "policies": [policy]}
    admin = {"admin": {"address": "127.0.0.1", "port": 0}}
    return json.dumps({"gateway": admin, "listeners": {"web": {"port": 0}}, "routes": [route]})


def guarded(upstream: FakeEndpoint, url: str, **more: Any) -> RunningGateway:
    return gateway(configuration(upstream, url, **more), threads=1)


def answer(running: RunningGateway, signer: Signer) -> Message:
    return ask(running, headers=[f"Authorization: Bearer {signer.token()}"])


def documents(running: RunningGateway) -> dict[str, float]:
    """Metrics of the one document: `taken`, `failed`, `age_seconds`."""
    text = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    found = {}
    for name, labels, value in re.findall(r"^tidegate_document_(\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        assert labels.startswith('kind="keys",url="http')
        outcome = re.search('outcome="(.*)"', labels)
        found[outcome[1] if outcome else name] = float(value)
    return found


def test_keys_are_fetched_once_over_tls_from_whom_is_trusted(upstream: FakeEndpoint, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    signer = Signer("ES256", "a")
    pair = authority.pair("localhost")
    with endpoint(keys(signer), tls=pair.origin()) as issuer:
        url = f"https://localhost:{issuer.address.rpartition(':')[2]}/keys?x=1"
        with guarded(upstream, url, ca=authority.file.read_text()) as running:
            assert [answer(running, signer).status for _ in range(3)] == [200, 200, 200]
            (fetch,) = issuer.messages
            assert (fetch.method, fetch.target) == ("GET", "/keys?x=1")
            assert fetch.get("accept") == "application/json"
            # A changed configuration is no reason.
            running.reload(configuration(upstream, url, ca=authority.file.read_text(), algorithms=["ES256"]))
            assert answer(running, signer).status == 200
            assert len(issuer.messages) == 1
            told = documents(running)
            assert told["taken"] == 1
            assert 0 <= told["age_seconds"] < 60
        # Whoever is not trusted gives no keys.
        with guarded(upstream, url) as running:
            assert answer(running, signer).status == 503
        stranger = Authority(tmp_path, "another authority", "another").file.read_text()
        with guarded(upstream, url, ca=stranger) as running:
            assert answer(running, signer).status == 503
        assert len(issuer.messages) == 1


def test_requests_wait_for_the_first_keys(upstream: FakeEndpoint) -> None:
    signer = Signer("ES256", "a")
    come = threading.Event()
    with endpoint(keys(signer), delay=come) as issuer, guarded(upstream, issuer.url) as running:
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(answer, running, signer) for _ in range(8)]
            assert issuer.wait_for(1)
            come.set()
            assert [each.result().status for each in waiting] == [200] * 8
        assert len(issuer.messages) == 1


def test_without_keys_nobody_is_told_that_his_token_is_wrong(upstream: FakeEndpoint) -> None:
    signer = Signer("ES256", "a")
    with endpoint(fail=500) as issuer, guarded(upstream, issuer.url) as running:
        refused = answer(running, signer)
        assert (refused.status, refused.get("retry-after")) == (503, "5")
        assert refused.get("www-authenticate") is None
        (entry,) = running.log(1)
        assert entry["detail"] == "the keys of the token's issuer are not to be had"
        # It tries again by itself.
        issuer.begin(Script(keys(signer)))
        assert wait_until(lambda: answer(running, signer).status == 200, 30)
        told = documents(running)
        assert told["failed"] >= 1 and told["taken"] == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, [("location", "/other")]),
        Reply(200, [], b"<html>"),
        Reply(200, [], b'{"keys": []}'),
        Reply(200, [], b'{"keys": [], "keys": []}'),
        Reply(200, [], b" " * (1 << 20) + b"{}"),
    ],
    ids=["redirect", "text", "none", "twice", "long"],
)
def test_what_is_no_set_of_keys_is_none(upstream: FakeEndpoint, reply: Reply) -> None:
    with endpoint(reply) as issuer, guarded(upstream, issuer.url) as running:
        assert answer(running, Signer("ES256", "a")).status == 503
        assert {message.target for message in issuer.messages} == {"/"}


def test_a_published_secret_is_no_key(upstream: FakeEndpoint) -> None:
    secret, public = Signer("HS256", "s"), Signer("ES256", "a")
    with endpoint(keys(secret, public)) as issuer, guarded(upstream, issuer.url) as running:
        assert answer(running, public).status == 200
        assert answer(running, secret).status == 401


def test_a_key_that_is_new_is_fetched_and_one_that_is_gone_is_refused(upstream: FakeEndpoint) -> None:
    old, new = Signer("ES256", "a"), Signer("EdDSA", "b")
    with endpoint(keys(old)) as issuer, guarded(upstream, issuer.url) as running:
        assert [answer(running, old).status for _ in range(2)] == [200, 200]
        issuer.begin(Script(keys(new)))
        assert answer(running, new).status == 200
        assert answer(running, old).status == 401
        # One since its keys were changed.
        assert len(issuer.messages) == 1


def test_a_flood_of_unknown_keys_causes_one_fetch(upstream: FakeEndpoint) -> None:
    signer = Signer("ES256", "a")
    with endpoint(keys(signer)) as issuer, guarded(upstream, issuer.url) as running:
        assert answer(running, signer).status == 200

        def stranger(number: int) -> int:
            token = signer.token(header={"kid": f"../../{number}"})
            return ask(running, headers=[f"Authorization: Bearer {token}"]).status

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(stranger, range(200))) == {401}
        assert answer(running, signer).status == 200
        assert len(issuer.messages) == 2


def test_old_keys_are_good_while_the_issuer_is_away(upstream: FakeEndpoint) -> None:
    signer, stranger = Signer("ES256", "a"), Signer("ES256", "b")
    with endpoint(keys(signer)) as issuer, guarded(upstream, issuer.url) as running:
        assert answer(running, signer).status == 200
        issuer.begin(Script(fail="refuse"))
        assert answer(running, stranger).status == 401
        assert answer(running, Signer("ES256", "a")).status == 401
        for _ in range(3):
            assert answer(running, signer).status == 200
        assert documents(running)["failed"] >= 1


def test_keys_that_are_too_old_are_none(upstream: FakeEndpoint) -> None:
    signer, stranger = Signer("ES256", "a"), Signer("ES256", "b")
    with endpoint(keys(signer)) as issuer, guarded(upstream, issuer.url, stale="1ms") as running:
        assert answer(running, signer).status == 200
        issuer.begin(Script(fail="refuse"))
        assert answer(running, stranger).status == 503
        assert answer(running, signer).status == 503
