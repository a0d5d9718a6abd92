// SPDX-License-Identifier: Apache-2.0
use crate::base64url::decoded;
use crate::{Algorithm, Algorithms};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use serde_json::{Map, Value};

/// The algorithms of HMAC, with the least length of a secret: RFC 7518 §3.2 wants as many bytes as the
/// hash has.
const SECRETS: [(Algorithm, hmac::Algorithm, usize); 3] = [
    (Algorithm::Hs256, hmac::HMAC_SHA256, 32),
    (Algorithm::Hs384, hmac::HMAC_SHA384, 48),
    (Algorithm::Hs512, hmac::HMAC_SHA512, 64),
];

/// What verifies signatures of one algorithm.
enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// One key, with a verifier for each algorithm that may be used with it: those of its type, or the one
/// that it names. A public key has none of HMAC's, so no token can bring the two together.
pub(crate) struct Key {
    /// Its `kid`: opaque bytes that are compared and nothing else.
    pub(crate) id: Option<Box<str>>,
    verifiers: Box<[(Algorithm, Verifier)]>,
}

impl Key {
    /// A key of a set (RFC 7517 §4).
    ///
    /// `Ok(None)` for one that is not for verifying what is known here: another type, curve, use or
    /// algorithm.
    ///
    /// # Errors
    /// What is wrong with a key that says it is one of ours.
    pub(crate) fn read(jwk: &Map<String, Value>) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if is_for_something_else(jwk) {
            return Ok(None);
        }
        let only = match jwk.get("alg") {
            None => Algorithms::all(),
            Some(name) => match name.as_str().and_then(Algorithm::named) {
                Some(algorithm) => [algorithm].into_iter().collect(),
                None => return Ok(None),
            },
        };
        let bytes = |name: &str| text(name).and_then(|value| decoded(value.as_bytes()));
        let verifiers = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n"), bytes("e"));
                rsa(
                    &n.ok_or("`n` is missing")?,
                    &e.ok_or("`e` is missing")?,
                    only,
                )?
            }
            (Some("EC"), Some(curve @ ("P-256" | "P-384" | "P-521"))) => {
                let (x, y) = (bytes("x"), bytes("y"));
                elliptic(
                    curve,
                    &x.ok_or("`x` is missing")?,
                    &y.ok_or("`y` is missing")?,
                    only,
                )?
            }
            (Some("OKP"), Some("Ed25519")) => {
                let x = bytes("x").ok_or("`x` is missing")?;
                public(Algorithm::EdDsa, &ED25519, &x, only)?
            }
            (Some("oct"), _) => {
                return Self::secret_for(&bytes("k").ok_or("`k` is missing")?, only)
                    .map(|key| key.map(|key| key.called(text("kid"))));
            }
            _ => return Ok(None),
        };
        let key = Self {
            id: None,
            verifiers: verifiers.into(),
        };
        Ok((!key.verifiers.is_empty()).then(|| key.called(text("kid"))))
    }

    /// A secret of HMAC, for the algorithms that it is long enough for.
    ///
    /// # Errors
    /// It is too short for every one.
    pub(crate) fn secret(bytes: &[u8]) -> Result<Self, &'static str> {
        let key = Self::secret_for(bytes, Algorithms::all())?;
        key.ok_or("a secret has no algorithm")
    }

    fn secret_for(bytes: &[u8], only: Algorithms) -> Result<Option<Self>, &'static str> {
        let fitting = SECRETS.iter().filter(|(each, ..)| only.contains(*each));
        let long = fitting.clone().filter(|(.., least)| bytes.len() >= *least);
        let verifiers: Box<[_]> = long
            .map(|(each, hash, _)| {
                (
                    *each,
                    Verifier::Secret(Box::new(hmac::Key::new(*hash, bytes))),
                )
            })
            .collect();
        if verifiers.is_empty() && fitting.count() > 0 {
            return Err(
                "a secret has at least as many bytes as the hash: 32 for HS256, 48 for HS384, 64 for HS512",
            );
        }
        Ok((!verifiers.is_empty()).then_some(Self {
            id: None,
            verifiers,
        }))
    }

    fn called(mut self, id: Option<&str>) -> Self {
        self.id = id.map(Into::into);
        self
    }

    /// Whether it is one of HMAC.
    pub(crate) fn is_secret(&self) -> bool {
        let mut all = self.verifiers.iter();
        all.any(|(_, verifier)| matches!(verifier, Verifier::Secret(_)))
    }

    /// Whether signatures of this algorithm may be its own.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(each, _)| *each == algorithm)
    }

    /// Whether the signature is its own.
    pub(crate) fn is_signed(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let mut all = self.verifiers.iter();
        match all.find(|(each, _)| *each == algorithm) {
            Some((_, Verifier::Public(key))) => key.verify_sig(signed, signature).is_ok(),
            Some((_, Verifier::Secret(key))) => hmac::verify(key, signed, signature).is_ok(),
            None => false,
        }
    }
}

/// Whether the key says that it is not for verifying (RFC 7517 §4.2, §4.3).
fn is_for_something_else(jwk: &Map<String, Value>) -> bool {
    let is_other_use = jwk.get("use").is_some_and(|own| own != "sig");
    let operations = jwk.get("key_ops");
    is_other_use
        || operations.is_some_and(|own| {
            let list = own.as_array();
            !list.is_some_and(|list| list.iter().any(|each| each == "verify" || each == "sign"))
        })
}

fn public(
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    bytes: &[u8],
    only: Algorithms,
) -> Result<Vec<(Algorithm, Verifier)>, &'static str> {
    if !only.contains(algorithm) {
        return Ok(Vec::new());
    }
    let key = ParsedPublicKey::new(verification, bytes).map_err(|_| "it is no public key")?;
    Ok(vec![(algorithm, Verifier::Public(key))])
}

fn elliptic(
    curve: &str,
    x: &[u8],
    y: &[u8],
    only: Algorithms,
) -> Result<Vec<(Algorithm, Verifier)>, &'static str> {
    let (algorithm, verification, size): (_, &'static dyn VerificationAlgorithm, _) = match curve {
        "P-256" => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED, 66),
    };
    // RFC 7518 §6.2.1.2: the length of a coordinate is that of the curve, with zeros in front.
    if x.len() != size || y.len() != size {
        return Err("a coordinate has the wrong length");
    }
    // An uncompressed point (SEC 1 §2.3.3).
    public(algorithm, verification, &[&[4], x, y].concat(), only)
}

fn rsa(n: &[u8], e: &[u8], only: Algorithms) -> Result<Vec<(Algorithm, Verifier)>, &'static str> {
    let each: [(_, &'static dyn VerificationAlgorithm); 6] = [
        (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
    ];
    // 8192 bits, and what is beyond any exponent in use (RFC 8017 §3.1; 2^32 and less elsewhere).
    let (n, e) = (unsigned(n), unsigned(e));
    if n.len() < 256 || n.len() > 1024 || e.is_empty() || e.len() > 8 {
        return Err("a key of RSA has 2048 to 8192 bits");
    }
    // Exponents below this are those that attacks on sloppy padding want (RFC 8017 leaves 3 legal; no
    // issuer makes such keys).
    if e == [1] || e.last().is_some_and(|last| last % 2 == 0) {
        return Err("the exponent of a key of RSA is odd and above 1");
    }
    if is_guessable(n) {
        return Err("the key was made by a generator whose keys can be factored (CVE-2017-15361)");
    }
    let numbers = [der(0x02, &positive(n)), der(0x02, &positive(e))].concat();
    let whole = der(0x30, &numbers);
    let mut verifiers = Vec::new();
    for (algorithm, verification) in each {
        verifiers.extend(public(algorithm, verification, &whole, only)?);
    }
    Ok(verifiers)
}

/// Whether a modulus is a power of 65537 modulo each small prime, as those are that a widespread generator
/// of smart cards made; of others one in 2^27 is (Nemec et al., "The Return of Coppersmith's Attack", 2017).
fn is_guessable(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let left = n
            .iter()
            .fold(0, |left, byte| (left * 256 + u32::from(*byte)) % prime);
        let mut powers = (0..prime).scan(1, |power, _| {
            *power = *power * (65537 % prime) % prime;
            Some(*power)
        });
        powers.any(|power| power == left)
    })
}

/// Without leading zeros.
fn unsigned(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

/// As ASN.1 has a number that is not negative.
fn positive(number: &[u8]) -> Vec<u8> {
    match number.first() {
        Some(first) if *first >= 0x80 => [&[0], number].concat(),
        _ => number.to_vec(),
    }
}

/// One value in DER (X.690 §8.1), of less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}
