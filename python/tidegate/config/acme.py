# SPDX-License-Identifier: Apache-2.0
"""The authority that listeners with `tls: auto` get certificates from."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.secret import Secret
from tidegate.config.types import Choice, FilePath, Flag, SecretText, Text

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"
_CHALLENGES: Final[list[Literal["http-01", "tls-alpn-01"]]] = ["http-01", "tls-alpn-01"]
_CONTACT = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")

AcmeKey = Annotated[
    Literal["ecdsa_p256", "ecdsa_p384", "rsa_2048"],
    Choice("AcmeKey", doc="Of which kind the keys of certificates are."),
]
AcmeChallenge = Annotated[
    Literal["http-01", "tls-alpn-01"],
    Choice("AcmeChallenge", doc="How host names are proved to an authority."),
]


class ExternalAccount(Model):
    """The account at the authority that its customer has already (RFC 8555 §7.3.4)."""

    id: Text
    """What the authority calls the key."""
    key: SecretText
    """The key in base64url, as the authority gives it: `"${env:NAME}"`."""

    @field_validator("key", mode="after")
    @classmethod
    def _is_base64(cls, key: str | Secret) -> str | Secret:
        try:
            decoded(key)
        except (binascii.Error, ValueError):
            raise refuse("is no base64url; give the key as the authority has shown it", "rule") from None
        return key


def decoded(key: str | Secret) -> bytes:
    """The key of an external account.

    Raises:
        ValueError: It is no base64url.
    """
    text = key.reveal() if isinstance(key, Secret) else key
    text = text.strip().rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Acme(Model):
    """An authority that speaks ACME (RFC 8555): Let's Encrypt unless something else is said."""

    accept_terms: Flag = False
    """Whether you accept the terms of the authority, which it asks for; nothing is ordered otherwise."""
    authority: Text = ""
    """The URL of the authority's directory; Let's Encrypt without one."""
    staging: Flag = False
    """Whether certificates come from Let's Encrypt's staging authority, for trials: browsers do not trust it,
    and its limits are wide."""
    contact: Annotated[list[Text], Field(max_length=10)] = Field(default_factory=list)
    """E-mail addresses that the authority may write to."""
    roots: FilePath | None = None
    """A PEM file with what signed the certificate of the authority's own site; the system's without it."""
    external_account: ExternalAccount | None = None
    """An account that the authority wants to know you by."""
    key_type: AcmeKey = "ecdsa_p256"
    """Of which kind the keys of certificates are."""
    challenges: Annotated[list[AcmeChallenge], Field(min_length=1)] = Field(
        default_factory=lambda: [*_CHALLENGES]
    )
    """How names are proved: the first, and after a failure the next. `http-01` wants port 80 to lead to a
    listener without TLS, `tls-alpn-01` port 443 to one with it."""
    store: FilePath | None = None
    """The folder of account and certificates, which instances may share; without it `acme` in the state
    directory."""

    elsewhere: ClassVar[dict[str, str]] = {
        "email": "write `contact: [ops@shop.example]`",
        "directory": "write `authority` for its URL, `store` for the folder",
        "ca": "write `authority` for its URL, `roots` for a file",
        "caServer": "write `authority`",
        "server": "write `authority`",
        "storage": "write `store: /var/lib/tidegate/acme`",
        "agree_tos": "write `accept_terms: true`",
        "eab": "write `external_account: { id: ..., key: ... }`",
        "domains": "write `tls: { auto: true, names: [shop.example] }` on a listener",
    }

    @property
    def directory(self) -> str:
        """The URL to begin with."""
        return self.authority or (STAGING if self.staging else LETS_ENCRYPT)

    @field_validator("authority", mode="after")
    @classmethod
    def _is_secure(cls, authority: str) -> str:
        if authority and not authority.startswith("https://"):
            raise refuse("must begin with `https://` (RFC 8555 §6.1)", "rule")
        return authority

    @field_validator("contact", mode="after")
    @classmethod
    def _are_addresses(cls, contact: list[str]) -> list[str]:
        for each in contact:
            if not _CONTACT.fullmatch(each.removeprefix("mailto:")):
                raise refuse(f"`{each}` is no e-mail address; write `ops@shop.example`", "rule")
        return contact

    @model_validator(mode="after")
    def _one_authority(self) -> Acme:
        if self.authority and self.staging:
            raise refuse(
                "`staging` is Let's Encrypt's; write `authority` or `staging: true`, not both", "rule"
            )
        return self
