# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of a test's own."""

from __future__ import annotations

import datetime
import ipaddress
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

    def origin(self, version: ssl.TLSVersion | None = None, clients: Path | None = None) -> ssl.SSLContext:
        """What an origin server speaks by that shows this; it asks for one that `clients` has signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        return context

    def listener(self, **more: object) -> dict[str, object]:
        """A listener of a configuration that shows this certificate alone."""
        certificate = {"cert": str(self.cert), "key": str(self.key)}
        return {"port": 60_443, "tls": {"certificates": [certificate], **more}}


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates and writes them into a folder."""

    def __init__(self, folder: Path, name: str = "a test's authority", file: str = "ca") -> None:
        """Makes the authority's own certificate: `FILE.pem`. `signer` is that, and its key."""
        self.folder = folder
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _name(name)
        self._certificate = self._signed(own, self._key.public_key(), [], is_authority=True, days=30)
        self.signer = (self._certificate, self._key)
        self.file = folder / f"{file}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        names: list[str],
        *,
        is_authority: bool = False,
        days: float,
        since: float = -60,
        signer: tuple[x509.Name, Key] | None = None,
        more: tuple[x509.ExtensionType, ...] = (),
    ) -> x509.Certificate:
        issuer, key = signer or (_name(self.name), self._key)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=since))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(key, hashes.SHA256())

    def pair(
        self,
        *names: str,
        file: str = "site",
        days: float = 30,
        since: float = -60,
        use_rsa: bool = False,
        by_itself: bool = False,
        password: bytes | None = None,
        with_chain: bool = True,
        with_names: bool = True,
        more: tuple[x509.ExtensionType, ...] = (),
    ) -> Pair:
        """A certificate for `names` in `FILE.pem`, its key in `FILE.key`.

        Args:
            names: Hosts, addresses, URIs; the first is the subject as well.
            file: What the files are called.
            days: From now to its end.
            since: From now to its beginning.
            use_rsa: Whether the key is RSA's.
            by_itself: Whether it is signed by its own key and says that it is an authority, as
                `openssl req -x509` makes them.
            password: What the key is encrypted by.
            with_chain: Whether the authority's own one stands behind it.
            with_names: Whether it has them anywhere but in its subject.
            more: Extensions besides.
        """
        key: Key = (
            rsa.generate_private_key(65537, 2048) if use_rsa else ec.generate_private_key(ec.SECP256R1())
        )
        own = _name(names[0])
        signer = (own, key) if by_itself else None
        made = self._signed(
            own,
            key.public_key(),
            list(names) if with_names else [],
            days=days,
            since=since,
            is_authority=by_itself,
            signer=signer,
            more=more,
        )
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        chain = [made, self._certificate] if with_chain and not by_itself else [made]
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
