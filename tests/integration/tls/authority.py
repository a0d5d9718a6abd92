# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of a test's own."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    cert: Path
    key: Path

    def listener(self, **more: object) -> dict[str, object]:
        """A listener of a configuration that shows this certificate alone."""
        certificate = {"cert": str(self.cert), "key": str(self.key)}
        return {"port": 60_443, "tls": {"certificates": [certificate], **more}}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        """Makes the authority's own certificate: `ca.pem`."""
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _name("a test's authority")
        self._certificate = self._signed(own, self._key.public_key(), [], is_authority=True, days=30)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        names: list[str],
        *,
        is_authority: bool = False,
        days: int,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name("a test's authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def pair(
        self,
        *names: str,
        file: str = "site",
        days: int = 30,
        use_rsa: bool = False,
        password: bytes | None = None,
        with_chain: bool = True,
    ) -> Pair:
        """A certificate for `names` in `FILE.pem`, its key in `FILE.key`."""
        key: Key = (
            rsa.generate_private_key(65537, 2048) if use_rsa else ec.generate_private_key(ec.SECP256R1())
        )
        made = self._signed(_name(names[0]), key.public_key(), list(names), days=days)
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        chain = [made, self._certificate] if with_chain else [made]
        pair.cert.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
        encryption = (
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        )
        pair.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return pair

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What a client that trusts this authority connects with."""
        context = ssl.create_default_context(cafile=str(self.file))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context
