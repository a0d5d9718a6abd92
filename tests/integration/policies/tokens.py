# SPDX-License-Identifier: Apache-2.0
"""What the tests of tokens share: signers of every algorithm, made by another library, and issuers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ISSUER = "https://login.test/"
SECRET = "a secret of 64 bytes, so that it is long enough for every hash!!"
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: dict[str, tuple[str, ec.EllipticCurve, int]] = {
    "ES256": ("P-256", ec.SECP256R1(), 32),
    "ES384": ("P-384", ec.SECP384R1(), 48),
    "ES512": ("P-521", ec.SECP521R1(), 66),
}


def encoded(part: bytes | dict[str, Any]) -> str:
    """Base64url without padding, of JSON where it is no bytes."""
    if isinstance(part, dict):
        part = json.dumps(part).encode()
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _number(number: int, size: int) -> str:
    return encoded(number.to_bytes(size, "big"))


def claims(**more: Any) -> dict[str, Any]:
    """What a good token says, changed; `None` takes a claim out."""
    good = {"iss": ISSUER, "aud": "shop", "sub": "ann", "exp": int(time.time()) + 600}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


class Signer:
    """One key, with the token that it signs."""

    def __init__(self, algorithm: str, kid: str | None = None) -> None:
        """Makes a key for the algorithm; `kid` is its name."""
        self.algorithm = algorithm
        self.kid = kid
        self.jwk: dict[str, Any]
        self._sign: Callable[[bytes], bytes]
        if algorithm.startswith("HS"):
            self._sign = lambda text: hmac.new(SECRET.encode(), text, "sha" + algorithm[2:]).digest()
            self.jwk = {"kty": "oct", "k": encoded(SECRET.encode())}
        elif algorithm == "EdDSA":
            own = ed25519.Ed25519PrivateKey.generate()
            self._sign = own.sign
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": encoded(own.public_key().public_bytes_raw())}
        elif algorithm in _CURVES:
            self._elliptic(*_CURVES[algorithm])
        else:
            self._rsa(_HASHES[algorithm[2:]])
        if kid is not None:
            self.jwk["kid"] = kid

    def _elliptic(self, name: str, curve: ec.EllipticCurve, size: int) -> None:
        key = ec.generate_private_key(curve)
        numbers = key.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": name, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}

        def sign(text: bytes) -> bytes:
            r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(_HASHES[_hash_of(self.algorithm)])))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        self._sign = sign

    def _rsa(self, digest: hashes.HashAlgorithm) -> None:
        key = rsa.generate_private_key(65537, 2048)
        numbers = key.public_key().public_numbers()
        self.jwk = {"kty": "RSA", "n": _number(numbers.n, 256), "e": "AQAB"}
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        chosen = pss if self.algorithm.startswith("PS") else padding.PKCS1v15()
        self._sign = lambda text: key.sign(text, chosen, digest)

    def token(self, header: dict[str, Any] | None = None, **more: Any) -> str:
        """A token with these claims beside the good ones, and this in its header."""
        head: dict[str, Any] = {"alg": self.algorithm, "typ": "JWT"}
        if self.kid is not None:
            head["kid"] = self.kid
        text = f"{encoded({**head, **(header or {})})}.{encoded(claims(**more))}"
        return f"{text}.{encoded(self._sign(text.encode()))}"


def _hash_of(algorithm: str) -> str:
    return algorithm[2:]


def hmac_with(key: bytes, header: dict[str, Any]) -> str:
    """A good token that is signed by HS256 with any bytes."""
    text = f"{encoded(header)}.{encoded(claims())}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def key_set(*signers: Signer) -> str:
    """The set of these keys, as issuers publish it."""
    return json.dumps({"keys": [signer.jwk for signer in signers]})
