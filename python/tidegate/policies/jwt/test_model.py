# SPDX-License-Identifier: Apache-2.0
"""Settings of `jwt`: good and bad."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.config.problem import ConfigError
from tidegate.config.secret import Secret
from tidegate.policies.jwt import Jwt, JwtIssuer, Settings

URL = "https://login.example.com/keys"


def issuer(**more: Any) -> dict[str, Any]:
    good = {"issuer": "https://login.example.com/", "jwks_url": URL, "audiences": ["shop"], **more}
    return {name: value for name, value in good.items() if value is not None}


def test_defaults_are_safe_and_texts_alone_are_lists() -> None:
    assert Settings is Jwt
    policy = Jwt(
        issuers=[JwtIssuer(**issuer(audiences="shop", algorithms="RS256"))], required={"a": ["b", "c"]}
    )
    (own,) = policy.issuers
    assert (own.audiences, own.algorithms, own.insecure_any_audience) == (["shop"], ["RS256"], False)
    assert (own.refresh, own.stale, policy.clock_skew) == (600_000, 86_400_000, 60_000)
    assert policy.required == [("a", "b"), ("a", "c")]
    assert (policy.from_headers, policy.from_cookies, policy.from_query) == (["authorization"], [], [])
    assert not policy.forward
    other = Jwt(issuers=[JwtIssuer(**issuer())], from_cookies=["a"], from_query=["b"])
    assert other.redacted() == (["authorization", "cookie"], ["b"])


def test_keys_by_http_are_those_of_this_machine() -> None:
    for url in ("http://127.0.0.1:80/k", "http://[::1]/k", "http://localhost/k", "https://a.test:8443"):
        assert JwtIssuer(**issuer(jwks_url=url)).jwks_url == url
    assert JwtIssuer(**issuer(jwks_url="http://a.test/k", insecure_http=True)).insecure_http


def test_a_secret_is_not_shown() -> None:
    own = JwtIssuer(**issuer(jwks_url=None, secret=Secret("x" * 31 + "ä")))
    assert "xxx" not in repr(own)
    with pytest.raises(ConfigError) as raised:
        JwtIssuer(**issuer(jwks_url=None, jwks=Secret("hidden")))
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jwks_url": None}, "has no keys; write `jwks_url`"),
        ({"secret": "x" * 32}, "has `jwks_url` and `secret`; write one of them"),
        ({"jwks_url": None, "secret": "x" * 31}, "32 bytes at least"),
        ({"jwks_url": None, "jwks": "x"}, "a set of keys is JSON"),
        ({"jwks_url": None, "jwks": "[]"}, "a set of keys is JSON"),
        ({"jwks_url": "http://login.example.com/keys"}, "write `https://`, or `insecure_http: true`"),
        ({"jwks_url": "ftp://a"}, "is no URL"),
        ({"jwks_url": "https://a b"}, "letters that no URL has"),
        ({"jwks_url": "https://u:p@a"}, "has no user"),
        ({"jwks_url": "https://a:99999"}, "is no URL"),
        ({"jwks_url": "http://localhost/", "ca": "x"}, "`ca` is for `https://`"),
        ({"jwks_url": None, "secret": "x" * 32, "ca": "x"}, "`ca` is for a `jwks_url`"),
        ({"audiences": None}, "does not say whom tokens are for"),
        ({"insecure_any_audience": True}, "leave one out"),
        ({"algorithms": ["none"]}, "`none` signs nothing"),
        ({"algorithms": "None"}, "`none` signs nothing"),
        ({"algorithms": ["rs256"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "keys of `jwks_url` are public"),
        ({"jwks_url": None, "secret": "x" * 32, "algorithms": ["RS256"]}, "not by `RS256`"),
        ({"refresh": "10s"}, "refresh"),
        ({"audience": "x"}, "write `audiences`"),
        ({"jwks_uri": URL}, "write `jwks_url`"),
    ],
)
def test_mistakes_in_an_issuer_are_told(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("[", r"\[")):
        JwtIssuer(**issuer(**changes))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"issuers": []}, "issuers"),
        ({"issuers": [issuer(), issuer()]}, "twice"),
        ({"issuers": [issuer(), issuer(issuer=None)]}, "one has no `issuer`"),
        ({"issuers": [issuer()], "from_headers": []}, "takes no tokens"),
        ({"issuers": [issuer()], "from_headers": ["content-length"]}, "can not be changed by a policy"),
        ({"issuers": [issuer()], "required": {"age": 7}}, "`age` must be text"),
        ({"issuers": [issuer()], "realm": 'a"b'}, "no quotes"),
        ({"issuers": [issuer()], "roles": "/a~2b"}, "neither `~0` nor `~1`"),
        ({"issuers": [issuer()], "clock_skew": "1h"}, "clock_skew"),
        ({"issuers": [issuer()], "leeway": "1s"}, "write `clock_skew`"),
        ({"jwks_url": URL}, "in an item of `issuers`"),
    ],
)
def test_mistakes_in_the_policy_are_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Jwt(**settings)
