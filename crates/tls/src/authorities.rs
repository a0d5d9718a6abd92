// SPDX-License-Identifier: Apache-2.0
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::sync::Arc;

/// Whose word is taken for who an endpoint is.
#[derive(Clone)]
pub struct Authorities {
    pub(crate) roots: Arc<RootCertStore>,
    /// Certificates that are believed by themselves: what `openssl req -x509` makes says that it is an
    /// authority, and an authority's own certificate is nobody else's (RFC 5280 §4.2.1.9).
    pub(crate) known: Arc<[CertificateDer<'static>]>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authorities({})", self.roots.len())
    }
}

impl Authorities {
    /// Those of a PEM text, which messages call `name`.
    ///
    /// # Errors
    /// It has none, or one that can not be read.
    pub fn read(text: &str, name: &str) -> Result<Self, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let found =
            found.map_err(|_| format!("`{name}` is broken PEM; copy the whole file again"))?;
        if found.is_empty() {
            return Err(format!(
                "`{name}` has no certificate; it must be PEM, with `-----BEGIN CERTIFICATE-----`"
            ));
        }
        let mut roots = RootCertStore::empty();
        for each in &found {
            roots.add(each.clone()).map_err(|error| {
                format!("`{name}` has a certificate that can not be used: {error}")
            })?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            known: found.into(),
        })
    }

    /// Those that the system trusts: the files of OpenSSL, or those that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name. What can not be read among many is passed over, as everybody does.
    ///
    /// # Errors
    /// It trusts nobody.
    pub fn system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})"));
            return Err(format!(
                "this system trusts no authority{}: install its package `ca-certificates`, or say with `ca` in which file those are that you trust",
                why.unwrap_or_default()
            ));
        }
        Ok(Self {
            roots: Arc::new(roots),
            known: Arc::new([]),
        })
    }
}
