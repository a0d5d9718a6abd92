# SPDX-License-Identifier: Apache-2.0
"""An issuer of tokens: who it is, which keys it has, and whom its tokens are for."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.marks import MaySecret, Reads, Rule, one_or_more
from tidegate.config.secret import Secret
from tidegate.config.types import Duration, FileContent, Flag

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip
Claim = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1000)]


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"`{text}` is no URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError(f"`{text}` is no URL; write `https://host/path`")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL of keys has no user; what is published needs no password")
    if not text.isascii() or any(letter <= " " or letter in '"<>\\^`{|}\x7f' for letter in text):
        raise ValueError(f"`{text}` has letters that no URL has; write them as `%` and two digits")
    return text.partition("#")[0]


def _keys(text: str) -> str:
    says = 'a set of keys is JSON: `{"keys": [...]}`, usually from a file: `${file:keys.json}`'
    try:
        keys = json.loads(text)
    except ValueError:
        raise ValueError(says) from None
    if not isinstance(keys, dict) or not (isinstance(keys.get("keys"), list) or "kty" in keys):
        raise ValueError(says)
    return text


def _long_enough(text: str) -> str:
    if len(text.encode()) < 32:
        raise ValueError("a secret has 32 bytes at least (RFC 7518 §3.2), 48 for HS384, 64 for HS512")
    return text


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class JwtIssuer(Model):
    """Who issues tokens that are taken: its name, its keys, and whom its tokens must be for."""

    issuer: Claim | None = None
    """What the claim `iss` must be, letter by letter; without it any, where there is one issuer alone."""
    jwks_url: Annotated[str, Rule(_url, "URL", "^https?://")] | None = None
    """Where it publishes its keys (a JWKS). They are fetched, kept and fetched again by the node."""
    jwks: Annotated[str | Secret, MaySecret(_keys, "set of keys in JSON")] | None = None
    """Its keys themselves, usually from a file: `${file:keys.json}`."""
    secret: Annotated[str | Secret, MaySecret(_long_enough, "secret of 32 bytes and more")] | None = None
    """A secret that it shares with this gateway, for `HS256` and its like: `${env:JWT_SECRET}`."""
    audiences: Annotated[list[Claim], Field(max_length=1000), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Whom its tokens must be for: one of these in the claim `aud`."""
    insecure_any_audience: Flag = False
    """Whether tokens that were made for others are taken too: whoever gets one of them can use it here."""
    algorithms: Annotated[list[Algorithm], Field(max_length=13), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Which algorithms are taken; when empty, those that the key is for."""
    ca: FileContent | None = None
    """Certificates in PEM of those who sign for the host of `jwks_url`, as `${file:ca.pem}`; without it,
    whomever the system trusts."""
    insecure_http: Flag = False
    """Whether keys may come over `http://` from another machine: whoever is on the way can be anybody."""
    refresh: Annotated[Duration, Field(ge=60_000, le=86_400_000)] = Duration("10m")
    """After which time keys are fetched again; earlier where their `Cache-Control` says so, or when a token
    names a key that is not among them."""
    stale: Annotated[Duration, Field(ge=1, le=2_592_000_000)] = Duration("1d")
    """How long the last keys are good when none are to be had."""

    elsewhere: ClassVar[dict[str, str]] = {
        "jwks_uri": "write `jwks_url`",
        "remote_jwks": "write `jwks_url`",
        "local_jwks": "write `jwks: ${file:keys.json}`",
        "jwks_file": "write `jwks: ${file:keys.json}`",
        "keys": "write `jwks_url`, `jwks` or `secret`",
        "signing_secret": "write `secret`",
        "iss": "write `issuer`",
        "aud": "write `audiences`",
        "audience": "write `audiences`",
    }

    @model_validator(mode="before")
    @classmethod
    def _none_is_no_algorithm(cls, value: Any) -> Any:
        algorithms = value.get("algorithms") if isinstance(value, dict) else None
        for each in [algorithms] if isinstance(algorithms, str) else algorithms or []:
            if isinstance(each, str) and each.lower() == "none":
                raise refuse("`none` signs nothing: anybody could write such a token", "rule")
        return value

    @model_validator(mode="after")
    def _has_one_source(self) -> JwtIssuer:
        given = [name for name in ("jwks_url", "jwks", "secret") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(f"`{name}`" for name in given)
            raise refuse(
                f"has {said}; write one of them"
                if given
                else "has no keys; write `jwks_url`, `jwks: ${file:keys.json}` or `secret: ${env:NAME}`",
                "rule",
            )
        return self

    @model_validator(mode="after")
    def _takes_what_its_keys_sign(self) -> JwtIssuer:
        wrong = [
            each
            for each in self.algorithms
            if (self.secret is not None and not each.startswith("HS"))
            or (self.jwks_url is not None and each.startswith("HS"))
        ]
        if wrong and self.secret is not None:
            raise refuse(f"a `secret` signs by HS256, HS384 or HS512, not by `{wrong[0]}`", "rule")
        if wrong:
            raise refuse(f"`{wrong[0]}` wants a secret, and keys of `jwks_url` are public", "rule")
        return self

    @model_validator(mode="after")
    def _is_for_somebody(self) -> JwtIssuer:
        if not self.audiences and not self.insecure_any_audience:
            raise refuse(
                "does not say whom tokens are for; write `audiences`, or `insecure_any_audience: true` "
                "to take those that were made for others",
                "rule",
            )
        if self.audiences and self.insecure_any_audience:
            raise refuse("with `insecure_any_audience` the `audiences` mean nothing; leave one out", "rule")
        return self

    @model_validator(mode="after")
    def _comes_safely(self) -> JwtIssuer:
        if self.jwks_url is None:
            if self.ca is not None:
                raise refuse("`ca` is for a `jwks_url`; leave it out", "rule")
            return self
        parts = urlsplit(self.jwks_url)
        if parts.scheme == "http":
            if self.ca is not None:
                raise refuse("`ca` is for `https://`; leave it out", "rule")
            if not self.insecure_http and not _is_local(parts.hostname or ""):
                raise refuse(
                    "over `http://` whoever is on the way can send keys of his own; write `https://`, or "
                    "`insecure_http: true` where nobody can be",
                    "rule",
                )
        return self
