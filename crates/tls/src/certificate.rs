// SPDX-License-Identifier: Apache-2.0
use crate::der::Outline;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::sync::Arc;
use webpki::EndEntityCert;

/// A certificate and its key as they were read, and what to call them in messages.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// The certificate, then those that signed it, in PEM.
    pub cert: &'a str,
    /// `site.pem`.
    pub cert_name: &'a str,
    /// The private key, in PEM.
    pub key: &'a str,
    /// `site.key`.
    pub key_name: &'a str,
}

/// From when to when a certificate is good, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

/// A certificate with its key, ready to be shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
    names: Vec<String>,
    validity: Validity,
}

/// The same with what its authority says of it.
#[derive(Clone, Debug)]
struct Stapled {
    key: Arc<CertifiedKey>,
    /// Seconds since 1970 from which it is not shown any more.
    until: u64,
}

impl Certificate {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// What is wrong, with the name of the file and what to do; never a part of a key.
    pub fn read(files: Files<'_>) -> Result<Self, String> {
        let Files { cert_name, .. } = files;
        let chain = chain(files.cert, cert_name)?;
        let signing = key(files.key, files.key_name)?;
        let whole = CertifiedKey::new(chain, signing);
        check_match(&whole, files)?;
        let outlines = outlines(&whole.cert, cert_name)?;
        for pair in outlines.windows(2) {
            if let [own, signer] = pair
                && own.issuer != signer.subject
            {
                return Err(format!(
                    "`{cert_name}` has its certificates out of order: write the site's own first, and behind each the one that signed it"
                ));
            }
        }
        let leaf = whole.cert.first().zip(outlines.first());
        let Some((leaf, outline)) = leaf else {
            return Err(no_certificate(cert_name));
        };
        let parsed = EndEntityCert::try_from(leaf)
            .map_err(|error| format!("`{cert_name}` can not be used: {error}"))?;
        let names: Vec<String> = parsed
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect();
        let validity = Validity {
            not_before: outline.not_before,
            not_after: outline.not_after,
        };
        Ok(Self {
            key: Arc::new(whole),
            stapled: None,
            names,
            validity,
        })
    }

    /// The same with `answer`, by which its authority says that it is good (OCSP, RFC 6960) in DER: clients
    /// that ask for one get it with the certificate, `until` then, in seconds since 1970.
    #[must_use]
    pub fn stapled(self, answer: Vec<u8>, until: u64) -> Self {
        let key = CertifiedKey {
            ocsp: Some(answer),
            ..CertifiedKey::clone(&self.key)
        };
        let key = Arc::new(key);
        Self {
            stapled: Some(Stapled { key, until }),
            ..self
        }
    }

    /// What a client is shown now: an answer that has expired would be worse than none.
    pub(crate) fn shown(&self) -> Arc<CertifiedKey> {
        let counts = |each: &&Stapled| UnixTime::now().as_secs() < each.until;
        let stapled = self.stapled.as_ref().filter(counts);
        stapled.map_or(&self.key, |each| &each.key).clone()
    }

    /// The host names it is for, in lower case, `*.` in front of those that stand for a label.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How long it is good.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// How long the first certificate in a text is good; `None` when there is none that can be read.
pub fn validity(text: &str) -> Option<Validity> {
    let first = CertificateDer::pem_slice_iter(text.as_bytes()).next()?;
    let outline = Outline::read(&first.ok()?)?;
    Some(Validity {
        not_before: outline.not_before,
        not_after: outline.not_after,
    })
}

fn no_certificate(name: &str) -> String {
    format!("`{name}` has no certificate; it must be PEM, with `-----BEGIN CERTIFICATE-----`")
}

pub(crate) fn chain(text: &str, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = found.map_err(|_| format!("`{name}` is broken PEM; copy the whole file again"))?;
    match chain.is_empty() {
        true => Err(no_certificate(name)),
        false => Ok(chain),
    }
}

pub(crate) fn key(text: &str, name: &str) -> Result<Arc<dyn rustls::sign::SigningKey>, String> {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "`{name}` is encrypted, and nobody is there to give the pass phrase; write it without one: `openssl pkey -in {name} -out plain.key`"
        ));
    }
    let Ok(der) = PrivateKeyDer::from_pem_slice(text.as_bytes()) else {
        return Err(format!(
            "`{name}` has no private key; it must be PEM, with `-----BEGIN PRIVATE KEY-----`"
        ));
    };
    any_supported_type(&der).map_err(|_| {
        format!(
            "the key in `{name}` is broken or of a kind that is not used: make one of ECDSA (P-256, P-384), Ed25519, or RSA from 2048 bits"
        )
    })
}

fn check_match(whole: &CertifiedKey, files: Files<'_>) -> Result<(), String> {
    let Files {
        cert_name,
        key_name,
        ..
    } = files;
    match whole.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => return Ok(()),
        Err(Error::InconsistentKeys(_)) => {}
        Err(error) => return Err(format!("`{cert_name}` can not be used: {error}")),
    }
    let is_behind = whole.cert.iter().skip(1).any(|other| {
        let other = CertifiedKey::new(vec![other.clone()], whole.key.clone());
        other.keys_match().is_ok()
    });
    Err(match is_behind {
        true => format!(
            "`{cert_name}` has its certificates out of order: the one that belongs to `{key_name}` must be the first"
        ),
        false => format!(
            "`{key_name}` is not the key of the certificate in `{cert_name}`; give the two that were made together"
        ),
    })
}

fn outlines(chain: &[CertificateDer<'_>], name: &str) -> Result<Vec<Outline>, String> {
    let broken = || format!("`{name}` has a certificate that can not be read; get it anew");
    let read = |each: &CertificateDer<'_>| Outline::read(each).ok_or_else(broken);
    chain.iter().map(read).collect()
}
