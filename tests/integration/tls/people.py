# SPDX-License-Identifier: Apache-2.0
"""Authorities that sign certificates of clients, and lists of those that they revoked."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.integration.tls.authority import Authority

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Person:
    """A client's certificate, and the file of it, its chain and its key."""

    certificate: x509.Certificate
    file: Path

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self) -> str:
        text = f"{self.certificate.serial_number:x}"
        return text if len(text) % 2 == 0 else f"0{text}"

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class People:
    """An authority for clients; one that another has signed stands between."""

    def __init__(self, folder: Path, name: str = "people", above: People | None = None) -> None:
        """Makes the authority's certificate: `NAME.pem`."""
        self.folder, self.name, self.above = folder, name, above
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = (
            self._begun(name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        signer = above or self
        self.certificate = builder.issuer_name(signer._own(name)).sign(signer._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _own(self, name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name or name)])

    def _begun(self, name: str, public: ec.EllipticCurvePublicKey, days: int = 30) -> x509.CertificateBuilder:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop, Inc."),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
            if name != self.name
            else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 60 * DAY)
            .not_valid_after(NOW + days * DAY)
        )

    def chain(self) -> Iterable[x509.Certificate]:
        """Those between its clients and the first authority."""
        return [] if self.above is None else [self.certificate, *self.above.chain()]

    def person(
        self,
        name: str = "cart",
        *alternatives: x509.GeneralName,
        days: int = 30,
        is_server: bool = False,
        raw_names: bytes | None = None,
        more: int = 0,
    ) -> Person:
        """A certificate for a client in `NAME.client`; `more` puts so many others behind it."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._begun(name, key.public_key(), days)
        builder = builder.issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if raw_names is not None:
            odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), raw_names)
            builder = builder.add_extension(odd, critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        file = self.folder / f"{name}.client"
        parts = [each.public_bytes(serialization.Encoding.PEM) for each in (made, *self.chain())]
        parts += [self.certificate.public_bytes(serialization.Encoding.PEM)] * more
        plain = serialization.NoEncryption()
        parts.append(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        file.write_bytes(b"".join(parts))
        return Person(made, file)

    def list(self, *revoked: Person, days: int = 7) -> Path:
        """The list of those that it has revoked, in `NAME.crl`."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW - 30 * DAY)
            .next_update(NOW + days * DAY)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        for person in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(person.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
        file = self.folder / f"{self.name}.crl"
        made = builder.sign(self._key, hashes.SHA256())
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return file


def client(
    authority: Authority, person: Person | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """What a client connects with that shows a certificate, and takes whatever name it is shown."""
    context = authority.client(version)
    context.check_hostname = False
    if person is not None:
        context.load_cert_chain(person.file)
    return context
