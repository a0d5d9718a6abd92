# SPDX-License-Identifier: Apache-2.0
"""TLS on a listener: certificates and terms. The node reads certificates; here their files are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config import stapled
from tidegate.config.base import Model, refuse
from tidegate.config.clients import ClientCertificates, check_hosts, one_or_several
from tidegate.config.data import file_text
from tidegate.config.marks import Reads, one_or_more
from tidegate.config.secret import Secret
from tidegate.config.secure import Hsts
from tidegate.config.types import (
    Choice,
    ControlOnly,
    FileContent,
    FilePath,
    Flag,
    HostPattern,
    ProtocolName,
    SecretText,
)

PEM: Final = "-----BEGIN"
"""What tells a text from the path of a file."""

Wrong = tuple[tuple[int | str, ...], str, Model]
"""Where under `tls` something is wrong, what, and the model that has it."""

TlsPolicy = Annotated[
    Literal["intermediate", "modern"],
    Choice("TlsPolicy", doc="Versions and ciphers, by the names that Mozilla gave them."),
]
UnknownName = Annotated[
    Literal["default", "refuse"],
    Choice("UnknownName", doc="What a client gets that asks for a name no certificate is for."),
]


def is_provable(host: str) -> bool:
    """Whether a certificate for a host can be got here: addresses can not, and `*` asks for proof in DNS."""
    return "*" not in host and "." in host and not host.startswith("[") and not host[-1].isdigit()


class Certificate(Model):
    """A certificate and its private key, both in PEM: the path of a file each, or its text by `${...}`."""

    cert: FileContent
    """The site's own certificate, and behind it those that signed it, each by the next."""
    key: SecretText
    """The private key, without a pass phrase. It is never shown."""
    ocsp: FilePath | None = None
    """A file with what the authority says of the certificate, an OCSP response in DER that something else
    keeps fresh; the responder is not asked then."""

    elsewhere: ClassVar[dict[str, str]] = {
        "ssl_stapling_file": "write `ocsp: site.ocsp`",
        "ocsp_staple_filename": "write `ocsp: site.ocsp`",
    }

    @model_validator(mode="after")
    def _key_is_elsewhere(self) -> Certificate:
        if isinstance(self.key, str) and PEM in self.key:
            raise refuse("a key does not belong into a configuration; write the path of its file", "rule")
        return self

    @property
    def shown_cert(self) -> str:
        """What messages call the certificate."""
        return "cert" if PEM in self.cert else self.cert

    @property
    def shown_key(self) -> str:
        """What messages call the key."""
        return self.key.id if isinstance(self.key, Secret) else self.key

    def files(self, folder: Path) -> Iterator[Path]:
        """What it is read from."""
        if PEM not in self.cert:
            yield folder / self.cert
        if isinstance(self.key, str):
            yield folder / self.key
        if self.ocsp is not None:
            yield folder / self.ocsp

    def cert_text(self, folder: Path) -> str:
        """The certificate in PEM.

        Raises:
            ValueError: Its file can not be read.
        """
        return self.cert if PEM in self.cert else file_text(self.cert, folder)

    def key_text(self, folder: Path) -> Secret:
        """The key in PEM.

        Raises:
            ValueError: Its file can not be read.
        """
        if isinstance(self.key, Secret):
            return self.key
        return Secret(file_text(self.key, folder), f"file:{self.key}")

    def texts(self, folder: Path, at: tuple[str | int, ...]) -> tuple[dict[str, Any], list[Wrong]]:
        """What its files hold, by setting, and what is wrong with them; `at` is where it stands."""
        wire: dict[str, Any] = {"cert_name": self.shown_cert, "key_name": self.shown_key}
        wrong: list[Wrong] = []
        for name, read in (("cert", self.cert_text), ("key", self.key_text)):
            try:
                wire[name] = read(folder)
            except ValueError as error:
                wrong.append(((*at, name), str(error), self))
        wire |= stapled.nothing()
        if self.ocsp is not None and not wrong:
            try:
                wire |= stapled.of_file(wire["cert"], self.ocsp, folder)
            except ValueError as error:
                wrong.append(((*at, "ocsp"), str(error), self))
        return wire, wrong

    def found(self, folder: Path) -> Certificate:
        """The same with absolute paths."""
        update = {
            name: str(folder / value)
            for name, value in (("cert", self.cert), ("key", self.key), ("ocsp", self.ocsp))
            if isinstance(value, str) and PEM not in value
        }
        return self.model_copy(update=update)


class ListenerTls(Model):
    """How a listener speaks TLS. The first certificate is for clients that name no host. A text alone is
    where certificates come from: `auto` or `dev`."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"enum": ["auto", "dev"]},)

    certificates: Annotated[list[Certificate], Field(max_length=10_000)] = Field(default_factory=list)
    """The one for the name that the client asks for is shown: one for that very name before one for `*.`;
    of several for a name the first whose kind the client knows, so that ECDSA and RSA stand side by side."""
    auto: Annotated[Flag, ControlOnly()] = False
    """Whether certificates are got from an authority, and renewed: see `gateway.acme`."""
    names: Annotated[list[HostPattern], ControlOnly()] = Field(default_factory=list)
    """The host names to get certificates for; without any, the hosts of the routes."""
    together: Annotated[Flag, ControlOnly()] = False
    """Whether they share one certificate, which all of them have to be proved for."""
    dev: Annotated[Flag, ControlOnly()] = False
    """Whether there is one for localhost, and for hosts of routes that are for development, signed by an
    authority of the user's own: see `tidegate dev-cert`."""
    staple: Annotated[Flag, ControlOnly()] = True
    """Whether the OCSP responders that certificates name are asked for what to show beside them. A
    certificate that names none costs nothing."""
    unknown_name: UnknownName = "default"
    """What a client gets that asks for a name no certificate is for: the first one, or a refusal."""
    policy: TlsPolicy = "intermediate"
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, or with `modern` TLS 1.3 alone."""
    alpn: Annotated[list[ProtocolName], Field(max_length=32), Reads(one_or_more, "item")] = Field(
        default_factory=list
    )
    """With `protocol: tcp`, the protocols to choose from by ALPN, the best first; a client that offers some,
    and none of these, is refused. Without any, none is chosen."""
    client_certificates: Annotated[
        list[ClientCertificates], Field(max_length=1_000), Reads(one_or_several, ClientCertificates, "item")
    ] = Field(default_factory=list)
    """Which certificates clients show; one entry for all, or several by `hosts`."""
    hsts: Hsts | None = None
    """What every response tells browsers of using HTTPS alone; it replaces what endpoints say of that."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in ("auto", "dev"):
                raise refuse(
                    "write `auto`, `dev`, or `{ certificates: [{ cert: site.pem, key: site.key }] }`"
                )
            return {value: True}
        return value

    def texts(self, folder: Path) -> tuple[dict[str, Any], list[Wrong]]:
        """What files hold, by setting, and what is wrong with them."""
        found: list[dict[str, Any]] = []
        wrong: list[Wrong] = []
        for number, each in enumerate(self.certificates):
            texts, of_one = each.texts(folder, ("certificates", number))
            found.append(texts)
            wrong += of_one
        clients: list[dict[str, Any]] = []
        for number, entry in enumerate(self.client_certificates):
            try:
                clients.append(entry.model_dump() | entry.texts(folder))
            except ValueError as error:
                wrong.append((("client_certificates", number), str(error), entry))
        return {"certificates": found, "client_certificates": clients}, wrong

    @field_validator("client_certificates", mode="after")
    @classmethod
    def _one_for_each_host(cls, entries: list[ClientCertificates]) -> list[ClientCertificates]:
        return check_hosts(entries)

    def files(self, folder: Path) -> Iterator[Path]:
        """What all of it is read from."""
        for each in self.certificates:
            yield from each.files(folder)
        for entry in self.client_certificates:
            yield from entry.files(folder)

    @model_validator(mode="after")
    def _has_certificates(self) -> ListenerTls:
        if not (self.certificates or self.dev or self.auto):
            written = "`certificates: [{ cert: site.pem, key: site.key }]`"
            raise refuse(f"needs {written}, or one of `auto: true` and `dev: true`", "rule")
        if not self.auto and (self.names or self.together):
            raise refuse("`names` and `together` are for `auto: true`; write that, or leave them out", "rule")
        for name in self.names:
            if not is_provable(name):
                raise refuse(f"`{name}` is no host name that a certificate can be got for by itself", "rule")
        return self
