// SPDX-License-Identifier: Apache-2.0
//! Keys, and what is signed with them.
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
};

/// A certificate, or nothing yet, and its private key, both in PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// Of which kind a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA of 2048 bits.
    Rsa2048,
}

impl KeyKind {
    /// By its name in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ecdsa_p256" => Self::EcdsaP256,
            "ecdsa_p384" => Self::EcdsaP384,
            "rsa_2048" => Self::Rsa2048,
            _ => return None,
        })
    }

    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
    }
}

/// A fresh private key in PEM.
///
/// # Errors
/// When the system gives no random bytes.
pub fn key(kind: KeyKind) -> Result<String, String> {
    let pair = kind.generate().map_err(|error| error.to_string())?;
    Ok(pair.serialize_pem())
}

/// A request for a certificate (PKCS #10, RFC 2986) in DER: for `names`, signed with `key` in PEM.
///
/// # Errors
/// What is wrong with a name or the key.
pub fn signing_request(names: &[String], key: &str) -> Result<Vec<u8>, String> {
    let pair = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    let request = params
        .serialize_request(&pair)
        .map_err(|error| error.to_string())?;
    Ok(request.der().to_vec())
}

/// What a validation by `tls-alpn-01` is shown: a certificate that `name` signed itself, with the SHA-256 of
/// the key authorization in an extension that every other client has to refuse (RFC 8737 §3).
///
/// # Errors
/// What is wrong with `name`, or when `digest` has not 32 bytes.
pub fn challenge_certificate(name: &str, digest: &[u8]) -> Result<Pair, String> {
    if digest.len() != 32 {
        return Err(format!("a digest has 32 bytes, and not {}", digest.len()));
    }
    let pair = KeyKind::EcdsaP256
        .generate()
        .map_err(|error| error.to_string())?;
    let mut params =
        CertificateParams::new(vec![name.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params
        .self_signed(&pair)
        .map_err(|error| error.to_string())?;
    Ok(Pair {
        cert: certificate.pem(),
        key: pair.serialize_pem(),
    })
}
