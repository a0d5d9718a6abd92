# SPDX-License-Identifier: Apache-2.0
"""TLS to the endpoints of a backend: whom to believe, and who we are."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from tidegate.config import addresses
from tidegate.config.base import Model, refuse
from tidegate.config.data import file_text
from tidegate.config.marks import Rule
from tidegate.config.tls import PEM, Certificate, TlsPolicy, Wrong
from tidegate.config.types import FileContent, Flag

TlsName = Annotated[str, Rule(addresses.tls_name, "host name or IP address")]
CertificateName = Annotated[str, Rule(addresses.certificate_name, "host name, IP address or URI")]


class BackendTls(Model):
    """How TLS is spoken to the endpoints of a backend. Their certificates are verified."""

    ca: FileContent | None = None
    """A PEM file with the certificates of those who sign the endpoints' ones, or with those themselves;
    without it, whomever the system trusts."""
    server_name: TlsName | None = None
    """What the endpoints are asked for (SNI), and what their certificates must be for; without it, the host
    in each one's address."""
    subject_alt_names: Annotated[list[CertificateName], Field(max_length=100)] = Field(default_factory=list)
    """Names of which a certificate must have one, instead of the one that is asked for: hosts, addresses or
    URIs such as `spiffe://example.org/shop`."""
    certificate: Certificate | None = None
    """What endpoints are shown that ask who we are."""
    policy: TlsPolicy = "intermediate"
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, or with `modern` TLS 1.3 alone."""
    insecure_skip_verification: Flag = False
    """Whether anybody's certificate will do: whoever is on the way can then read and change everything."""

    not_yet: ClassVar[dict[str, str]] = {"crl": ""}
    elsewhere: ClassVar[dict[str, str]] = {
        "alpn": "write `http2: true` on the backend for HTTP/2 with endpoints that choose it",
        "sni": "write `server_name`",
        "hostname": "write `server_name`",
        "names": "write `subject_alt_names`",
        "sans": "write `subject_alt_names`",
        "ca_file": "write `ca`",
        "ca_cert": "write `ca`",
        "trusted_ca": "write `ca`",
        "trust": "write `ca`",
        "cert": "write `certificate: { cert: ..., key: ... }`",
        "key": "write `certificate: { cert: ..., key: ... }`",
        "client_certificate": "write `certificate: { cert: ..., key: ... }`",
        "verify": "certificates are verified; `insecure_skip_verification: true` ends that",
        "insecure": "certificates are verified; `insecure_skip_verification: true` ends that",
        "insecure_skip_verify": "write `insecure_skip_verification`",
        "min_version": "write `policy: modern` for TLS 1.3 alone",
        "ciphers": "write `policy`",
    }

    @field_validator("ca", mode="after")
    @classmethod
    def _says_something(cls, ca: str | None) -> str | None:
        if ca == "":
            raise refuse("an empty `ca` would trust nobody; write a file's path, or leave it out", "rule")
        return ca

    @model_validator(mode="after")
    def _verifies_or_not(self) -> BackendTls:
        for name in ("ca", "subject_alt_names"):
            if self.insecure_skip_verification and getattr(self, name):
                raise refuse(
                    f"with `insecure_skip_verification` nothing is verified, and `{name}` means nothing; "
                    "leave one of the two out",
                    "rule",
                )
        return self

    @model_validator(mode="after")
    def _shows_no_answers(self) -> BackendTls:
        if self.certificate is not None and self.certificate.ocsp is not None:
            raise refuse(
                "`ocsp` is for certificates of listeners; servers do not take it; leave it out", "rule"
            )
        return self

    @property
    def shown_ca(self) -> str:
        """What messages call the file of authorities."""
        return "ca" if self.ca is None or PEM in self.ca else self.ca

    def files(self, folder: Path) -> Iterator[Path]:
        """What it is read from."""
        if self.ca is not None and PEM not in self.ca:
            yield folder / self.ca
        if self.certificate is not None:
            yield from self.certificate.files(folder)

    def texts(self, folder: Path) -> tuple[dict[str, Any], list[Wrong]]:
        """What files hold and what they are called, by setting, and what is wrong with them."""
        uses_system = self.ca is None and not self.insecure_skip_verification
        texts: dict[str, Any] = {
            "ca_name": self.shown_ca,
            "system": system_authorities() if uses_system else "",
        }
        wrong: list[Wrong] = []
        if self.ca is not None:
            try:
                texts["ca"] = self.ca if PEM in self.ca else file_text(self.ca, folder)
            except ValueError as error:
                wrong.append((("ca",), str(error), self))
        if self.certificate is not None:
            texts["certificate"], of_own = self.certificate.texts(folder, ("certificate",))
            wrong += of_own
        return texts, wrong

    def found(self, folder: Path) -> BackendTls:
        """The same with absolute paths."""
        update: dict[str, Any] = {}
        if self.ca is not None and PEM not in self.ca:
            update["ca"] = str(folder / self.ca)
        if self.certificate is not None:
            update["certificate"] = self.certificate.found(folder)
        return self.model_copy(update=update)


def read_tls(value: Any) -> Any:
    """Reads `true` as TLS with all defaults, and `false` as none."""
    if value is True:
        return {}
    return None if value is False else value


def system_authorities() -> str:
    """How the system's store of authorities looks: another text for another one, which is then read anew."""
    paths = ssl.get_default_verify_paths()
    found = []
    for path in (paths.cafile, paths.capath, paths.openssl_cafile, paths.openssl_capath):
        try:
            told = os.stat(path or "")
        except OSError:
            continue
        found.append(f"{path} {told.st_mtime_ns} {told.st_size}")
    return "; ".join(dict.fromkeys(found))
