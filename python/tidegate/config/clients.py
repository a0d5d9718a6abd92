# SPDX-License-Identifier: Apache-2.0
"""Certificates that clients show: who is asked, who is believed, and what services are told."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config.base import Model, refuse
from tidegate.config.data import file_text
from tidegate.config.marks import Reads, Rule, one_or_more
from tidegate.config.types import Choice, FileContent, HostPattern

_PEM = "-----BEGIN"

ClientCertificateMode = Annotated[
    Literal["required", "optional", "off"],
    Choice("ClientCertificateMode", doc="Whether clients show a certificate."),
]
ExpiredCrl = Annotated[
    Literal["refuse", "accept"],
    Choice("ExpiredCrl", doc="What becomes of certificates whose list of revoked ones has expired."),
]
CertificatePart = Annotated[
    Literal["certificate", "chain", "subject", "names", "fingerprint", "serial"],
    Choice("CertificatePart", doc="What endpoints are told of a client's certificate."),
]


def _standard() -> list[CertificatePart]:
    return ["certificate"]


def certificate_name(text: str) -> str:
    """A name in a certificate, or a pattern of such names.

    Raises:
        ValueError: It is none.
    """
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"`{text[:60]}` is no name in a certificate; write visible ASCII")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if ":" in text:
        rest, forms = text.removesuffix("/*"), "of a URI only a last `/*` can be open"
    else:
        rest, forms = text.removeprefix("*."), "of a host only a first label `*.` can be open"
    if "*" in rest:
        raise ValueError(f"`{text[:60]}` has a `*` where none can stand; {forms}")
    return text


CertificateName = Annotated[str, Rule(certificate_name, "host, `*.host`, URI, `URI/*`, mailbox or address")]


class ClientCertificates(Model):
    """Which certificates clients show (mutual TLS). A text alone is the file of the authorities."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    hosts: Annotated[list[HostPattern], Reads(one_or_more, "item")] = Field(default_factory=list)
    """Hosts for which it goes, by the name that a client asks for; without any for all that no other entry is
    for, and for clients that name none."""
    mode: ClientCertificateMode = "required"
    """`required` refuses clients without one during the handshake, `optional` serves them, `off` asks for
    none. A certificate that is shown and is not right is refused in any case."""
    ca: FileContent | None = None
    """Authorities whose certificates are believed, in PEM: a file, or its text by `${...}`."""
    crl: Annotated[list[FileContent], Field(max_length=1_000), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Lists of revoked certificates, in PEM. With one there must be one for every authority of a chain."""
    expired_crl: ExpiredCrl = "refuse"
    """Whether the certificates of an authority are refused whose list has passed its next update."""
    names: Annotated[list[CertificateName], Field(max_length=10_000), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """Names of which a certificate must have one, among its `subjectAltName`; any does without."""
    depth: Annotated[int, Field(ge=0, le=6, strict=True)] = 4
    """Certificates between the client's and the authority's, at most."""
    forward: Annotated[list[CertificatePart], Reads(one_or_more, "item")] = Field(default_factory=_standard)
    """What endpoints, policies and functions are told: `certificate` is `Client-Cert` and `chain` is
    `Client-Cert-Chain` (RFC 9440), the others are `X-Client-Cert-Subject`, `-Names`, `-Fingerprint` and
    `-Serial`."""

    elsewhere: ClassVar[dict[str, str]] = {
        "verify": "write `mode: required`, or `optional`",
        "ca_file": "write `ca`",
        "crl_file": "write `crl`",
        "san": "write `names`",
        "sans": "write `names`",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"ca": value} if isinstance(value, str) else value

    @field_validator("hosts", mode="after")
    @classmethod
    def _named(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if host.startswith("[") or host.replace(".", "").isdigit():
                raise refuse(f"`{host}` is an address, which no client names in a handshake", "rule")
        return hosts

    @model_validator(mode="after")
    def _believes_somebody(self) -> ClientCertificates:
        if self.mode == "off":
            if self.ca is not None or self.crl or self.names:
                raise refuse("asks for nothing with `mode: off`; leave the rest out", "rule")
        elif self.ca is None:
            raise refuse("needs `ca`, the file of the authorities whose certificates are believed", "rule")
        return self

    def files(self, folder: Path) -> Iterator[Path]:
        """What it is read from."""
        yield from (folder / each for each in (self.ca, *self.crl) if each is not None and _PEM not in each)

    def found(self, folder: Path) -> ClientCertificates:
        """The same with absolute paths."""

        def at(text: str) -> str:
            return text if _PEM in text else str(folder / text)

        ca = None if self.ca is None else at(self.ca)
        return self.model_copy(update={"ca": ca, "crl": [at(each) for each in self.crl]})

    def texts(self, folder: Path) -> dict[str, Any]:
        """What its files hold, as the node reads it.

        Raises:
            ValueError: One can not be read.
        """
        ca = "" if self.ca is None else _text(self.ca, folder)
        return {
            "ca": ca,
            "ca_name": _shown(self.ca or "", "ca"),
            "crl": [_text(each, folder) for each in self.crl],
            "crl_names": [_shown(each, "crl") for each in self.crl],
        }


def _shown(text: str, name: str) -> str:
    return name if _PEM in text else text


def _text(text: str, folder: Path) -> str:
    if _PEM in text:
        return text
    try:
        return file_text(text, folder)
    except ValueError as error:
        if "UTF-8" not in str(error):
            raise
        hint = f"it must be PEM: `openssl crl -inform DER -in {text} -out {text}.pem` makes it of DER"
        raise ValueError(f"{error}; {hint}") from None


def one_or_several(value: Any) -> Any:
    """A mapping or a text alone stands for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def check_hosts(entries: list[ClientCertificates]) -> list[ClientCertificates]:
    """At most one entry for each host, and one without hosts."""
    seen: set[str] = set()
    for each in entries:
        for host in each.hosts or ("",):
            if host in seen:
                which = f"for `{host}`" if host else "without `hosts`"
                raise refuse(f"there are two entries {which}; keep one", "rule")
            seen.add(host)
    return entries
