# SPDX-License-Identifier: Apache-2.0
"""Tokens of issuers: which ones are taken, through a running gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.policies.tokens import ISSUER, SECRET, Signer, encoded, hmac_with, key_set
from tests.integration.settings.kit import ask
from tidegate.testing import FakeEndpoint, RunningGateway, decide, endpoint, gateway

PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@pytest.fixture
def upstream() -> Iterator[FakeEndpoint]:
    with endpoint() as running:
        yield running


def issuer(**more: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "audiences": ["shop"], **more}


def configuration(to: str, *policies: dict[str, Any]) -> str:
    route = {"name": "r", "path": "/", "to": to, "policies": list(policies)}
    return json.dumps({"listeners": {"web": {"port": 0}}, "routes": [route]})


def guarded(upstream: FakeEndpoint, *issuers: dict[str, Any], **more: Any) -> RunningGateway:
    policy = {"type": "jwt", "issuers": list(issuers), **more}
    return gateway(configuration(upstream.url, policy), threads=1)


def status(running: RunningGateway, token: str | None, *headers: str, target: str = "/") -> int:
    own = [] if token is None else [f"Authorization: Bearer {token}"]
    return ask(running, target, headers=[*own, *headers]).status


def test_every_algorithm_is_taken_with_its_own_key_and_no_other(upstream: FakeEndpoint) -> None:
    signers = [Signer(algorithm, algorithm) for algorithm in PUBLIC]
    others = [Signer(algorithm, algorithm) for algorithm in PUBLIC]
    with guarded(upstream, issuer(jwks=key_set(*signers))) as running:
        for signer, other in zip(signers, others, strict=True):
            assert status(running, signer.token()) == 200, signer.algorithm
            assert status(running, signer.token()) == 200, signer.algorithm
            assert status(running, other.token()) == 401, signer.algorithm
            first, _, signature = signer.token().rpartition(".")
            assert (
                status(running, f"{first}.A{signature[1:]}" if signature[0] != "A" else f"{first}.B") == 401
            )
    for algorithm in ("HS256", "HS384", "HS512"):
        signer = Signer(algorithm)
        with guarded(upstream, issuer(secret=SECRET)) as running:
            assert status(running, signer.token()) == 200, algorithm
            assert status(running, signer.token(header={"kid": "any"})) == 200, algorithm


def test_algorithms_are_narrowed(upstream: FakeEndpoint) -> None:
    good, other = Signer("ES256", "a"), Signer("RS256", "b")
    with guarded(upstream, issuer(jwks=key_set(good, other), algorithms=["ES256"])) as running:
        assert status(running, good.token()) == 200
        assert status(running, other.token()) == 401


def test_confusion_of_algorithms_is_refused(upstream: FakeEndpoint) -> None:
    signer = Signer("RS256", "a")
    keys = key_set(signer)
    with guarded(upstream, issuer(jwks=keys)) as running:
        assert status(running, signer.token()) == 200
        header, payload, _ = signer.token().split(".")
        for name in ("none", "None", "nOnE", ""):
            own = encoded({"alg": name, "kid": "a"})
            assert status(running, f"{own}.{payload}.") == 401, name
            assert status(running, f"{own}.{payload}.{encoded(b'x')}") == 401, name
        assert status(running, f"{header}.{payload}.") == 401
        for key in (keys.encode(), json.dumps(signer.jwk).encode(), signer.jwk["n"].encode()):
            assert status(running, hmac_with(key, {"alg": "HS256", "kid": "a"})) == 401
        assert status(running, signer.token(header={"alg": "PS256"})) == 401
        demands: list[dict[str, Any]] = [{"crit": ["exp"]}, {"crit": []}, {"b64": False}]
        for more in demands:
            assert status(running, signer.token(header=more)) == 401
        stranger = Signer("RS256", "a")
        told = {"jwk": stranger.jwk, "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}
        assert status(running, stranger.token(header=told)) == 401
        assert status(running, signer.token(header=told)) == 200


def test_what_a_token_says_is_judged_and_what_helps_is_told(upstream: FakeEndpoint) -> None:
    signer = Signer("EdDSA", "a")
    now = int(time.time())
    good: list[dict[str, Any]] = [
        {},
        {"aud": ["x", "shop"]},
        {"exp": now - 30},
        {"exp": now + 600.5},
        {"nbf": now + 30},
        {"iat": now - 5, "nbf": now - 5},
    ]
    bad: list[tuple[dict[str, Any], str]] = [
        ({"exp": now - 90}, "the token has expired"),
        ({"nbf": now + 90}, "the token is not valid yet"),
        ({"aud": "pay"}, "the token is for another audience"),
        ({"aud": None}, "the token is for another audience"),
        ({"aud": {"shop": 1}}, "the token is not valid"),
        ({"iss": "https://login.test"}, "the token is not valid"),
        ({"iss": None}, "the token is not valid"),
        ({"exp": None}, "the token is not valid"),
        ({"exp": str(now + 600)}, "the token is not valid"),
        ({"exp": True}, "the token is not valid"),
        ({"nbf": "x"}, "the token is not valid"),
        ({"iat": "x"}, "the token is not valid"),
        ({"sub": 7}, "the token is not valid"),
    ]
    with guarded(upstream, issuer(jwks=key_set(signer)), realm="shop") as running:
        for more in good:
            assert status(running, signer.token(**more)) == 200, more
        for more, told in bad:
            answer = ask(running, headers=[f"Authorization: Bearer {signer.token(**more)}"])
            assert answer.status == 401, more
            expected = f'Bearer realm="shop", error="invalid_token", error_description="{told}"'
            assert answer.get("www-authenticate") == expected
            assert json.loads(answer.body)["detail"] == told
            assert answer.get("cache-control") == "no-store"
        answer = ask(running)
        assert (answer.status, answer.get("www-authenticate")) == (401, 'Bearer realm="shop"')
        assert len(upstream.messages) == len(good)


def test_a_token_is_in_one_place_and_once(upstream: FakeEndpoint) -> None:
    signer = Signer("HS256")
    token = signer.token()
    places = {
        "from_cookies": ["session"],
        "from_query": ["access_token"],
        "from_headers": ["authorization", "x-token"],
    }
    with guarded(upstream, issuer(secret=SECRET), forward=True, **places) as running:
        assert status(running, token) == 200
        assert upstream.messages[-1].get("authorization") == f"Bearer {token}"
        assert status(running, None, f"X-Token: {token}") == 200
        assert status(running, None, f"Cookie: a=b; session={token}") == 200
        assert status(running, None, target=f"/?access_token={token}&a=b") == 200
        assert upstream.messages[-1].target == f"/?access_token={token}&a=b"
        assert status(running, token, f"Cookie: session={token}") == 400
        assert status(running, token, target=f"/?access_token={token}") == 400
        assert status(running, token, f"X-Token: {token}") == 400
        # Whatever asks for it, two such fields are no request.
        assert status(running, token, f"Authorization: Bearer {token}") == 400
        assert status(running, None, f"Authorization: Basic {token}") == 401
    with guarded(upstream, issuer(secret=SECRET), **places) as running:
        assert status(running, token, "X_Token: x") == 200
        assert upstream.messages[-1].get("authorization") is None
        assert status(running, None, f"Cookie: a=b; session={token}") == 200
        assert upstream.messages[-1].get("cookie") == "a=b"
        assert status(running, None, target=f"/?access_token={token}&a=b") == 200
        assert upstream.messages[-1].target == "/?a=b"
        assert token not in json.dumps(running.log(3))


def test_policies_behind_it_know_who_calls(upstream: FakeEndpoint) -> None:
    signer = Signer("ES256", "a")
    policy = {
        "type": "jwt",
        "issuers": [issuer(jwks=key_set(signer))],
        "roles": ["roles", "/realm_access/roles"],
        "required": {"use": ["access", "both"]},
    }
    known = {
        "type": "request_headers",
        "set": {"x-known": "1"},
        "when": f"identity.scheme == 'jwt' && identity.issuer == '{ISSUER}' && identity.claims.n == 7",
    }
    authorize = {"type": "authorize", "subjects": ["ann"], "roles": ["admin"], "scopes": ["read", "write"]}
    text = configuration(upstream.url, policy, authorize, known)
    good: dict[str, Any] = {"use": "access", "realm_access": {"roles": ["admin"]}, "scope": "write read"}
    good["n"] = 7
    with gateway(text, threads=1) as running:
        for _ in range(2):
            assert status(running, signer.token(**good)) == 200
            assert upstream.messages[-1].get("x-known") == "1"
        assert status(running, signer.token(**{**good, "use": "id"})) == 401
        assert status(running, signer.token(**{**good, "sub": "eve"})) == 403
        assert status(running, signer.token(**{**good, "scope": "write"})) == 403
        assert status(running, signer.token(**{**good, "realm_access": {"roles": "none"}})) == 403


def test_of_several_issuers_each_answers_for_its_own(upstream: FakeEndpoint) -> None:
    one, two = Signer("ES256", "a"), Signer("EdDSA", "a")
    second = {"issuer": "https://two.test/", "jwks": key_set(two), "audiences": ["pay"]}
    with guarded(upstream, issuer(jwks=key_set(one)), second) as running:
        assert status(running, one.token()) == 200
        assert status(running, two.token(iss="https://two.test/", aud="pay")) == 200
        assert status(running, two.token(iss="https://two.test/", aud="shop")) == 401
        assert status(running, two.token()) == 401
        assert status(running, one.token(iss="https://two.test/", aud="pay")) == 401
        assert status(running, one.token(iss="https://three.test/")) == 401


def test_a_token_may_be_long_but_not_endless(upstream: FakeEndpoint) -> None:
    signer = Signer("HS256")
    with guarded(upstream, issuer(secret=SECRET)) as running:
        assert status(running, signer.token(more="x" * 11_000)) == 200
        assert status(running, signer.token(more="x" * 13_000)) == 401
        assert status(running, signer.token(header={"kid": "x" * 4000})) == 401


def test_explain_shows_what_becomes_of_a_token() -> None:
    policy = {"type": "jwt", "issuers": [issuer(secret=SECRET)]}
    text = configuration("http://127.0.0.1:9", policy)
    asked = {"method": "GET", "url": "http://a.test/", "listener": "web"}
    told = decide(text, asked)
    assert (told["outcome"], told["status"]) == ("respond", 401)
