# SPDX-License-Identifier: Apache-2.0
"""A certificate that every proxy shows, and the authority that the load tool believes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "bench.example"


@dataclass(frozen=True)
class Certificate:
    """Files in PEM."""

    authority: Path
    chain: Path
    key: Path
    both: Path
    """Chain and key in one, as HAProxy wants them."""


def make(folder: Path) -> Certificate:
    """An authority and a certificate for `bench.example`, both on P-256, good for a day."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])

    def sign(subject: x509.Name, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
        )
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    constraints = x509.BasicConstraints(ca=True, path_length=0)
    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    chain = sign(x509.Name([]), key.public_key(), names)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(*(folder / name for name in ("ca.pem", "chain.pem", "key.pem", "both.pem")))
    made.authority.write_bytes(sign(issuer, authority_key.public_key(), constraints))
    for path, content in ((made.chain, chain), (made.key, secret), (made.both, chain + secret)):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return made
