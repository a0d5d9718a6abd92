// SPDX-License-Identifier: Apache-2.0
use crate::identity::{digest, identity};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs::default_provider};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error};
use rustls::{RootCertStore, SignatureScheme};
use std::fmt;
use tidegate_core::NamePattern;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// What clients are asked to show, as it was read.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Whether those without a certificate are refused.
    pub is_required: bool,
    /// Authorities, in PEM, and what to call the file.
    pub authorities: (&'a str, &'a str),
    /// Lists of revoked certificates, in PEM, and what to call each file.
    pub revoked: Vec<(&'a str, &'a str)>,
    /// Whether a list that is older than it says it may be still counts.
    pub accepts_expired_lists: bool,
    /// One of which must be in the certificate, where there is any.
    pub names: Vec<NamePattern>,
    /// Certificates between the client's own and the authority's at most.
    pub depth: usize,
}

/// What clients are asked to show, ready to use.
pub struct ClientCertificates {
    pub(crate) is_required: bool,
    roots: RootCertStore,
    hints: Vec<DistinguishedName>,
    revoked: Vec<CertRevocationList<'static>>,
    expiration: ExpirationPolicy,
    names: Vec<NamePattern>,
    depth: usize,
    algorithms: WebPkiSupportedAlgorithms,
    key: Vec<u8>,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientCertificates({:?})", self.names)
    }
}

impl ClientCertificates {
    /// Reads authorities and lists.
    ///
    /// # Errors
    /// What is wrong, with the name of the file and what to do.
    pub fn read(asked: &Asked<'_>) -> Result<Self, String> {
        let (text, file) = asked.authorities;
        let mut roots = RootCertStore::empty();
        for each in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let each = each.map_err(|_| broken(file))?;
            roots.add(each).map_err(|error| {
                format!("`{file}` has a certificate that can not be used: {error}")
            })?;
        }
        if roots.is_empty() {
            return Err(format!(
                "`{file}` has no certificate; it must be PEM, with `-----BEGIN CERTIFICATE-----`"
            ));
        }
        let texts: Vec<&str> = asked.revoked.iter().map(|(text, _)| *text).collect();
        // Not with the names of files: what was read decides.
        let (names, depth) = (&asked.names, asked.depth);
        let flags = (asked.is_required, asked.accepts_expired_lists);
        let key = format!("{:?}", (flags, text, texts, names, depth));
        let mut revoked = Vec::new();
        for (text, file) in &asked.revoked {
            let before = revoked.len();
            for each in CertificateRevocationListDer::pem_slice_iter(text.as_bytes()) {
                let each = each.map_err(|_| broken(file))?;
                let list = OwnedCertRevocationList::from_der(&each)
                    .map_err(|error| format!("the list in `{file}` can not be used: {error}"))?;
                revoked.push(CertRevocationList::Owned(list));
            }
            if revoked.len() == before {
                return Err(format!(
                    "`{file}` has no list of revoked certificates; it must be PEM, with `-----BEGIN X509 CRL-----`"
                ));
            }
        }
        Ok(Self {
            is_required: asked.is_required,
            hints: roots.subjects(),
            roots,
            revoked,
            expiration: match asked.accepts_expired_lists {
                true => ExpirationPolicy::Ignore,
                false => ExpirationPolicy::Enforce,
            },
            names: asked.names.clone(),
            depth: asked.depth,
            algorithms: default_provider().signature_verification_algorithms,
            key: digest(key.as_bytes()),
        })
    }

    /// Whether those without a certificate are refused.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Equal where the same is asked, by the content of every file. Sessions that were begun under one are
    /// not taken up under another.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Judges a chain, the client's own certificate first, as of now.
    ///
    /// # Errors
    /// What rustls tells the client by an alert.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let Some((own, between)) = chain.split_first() else {
            return match self.is_required {
                true => Err(Error::NoCertificatesPresented),
                false => Ok(()),
            };
        };
        let parsed = EndEntityCert::try_from(own).map_err(|error| judged(&error))?;
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            let options = options.with_depth(RevocationCheckDepth::Chain);
            let options = options.with_status_policy(UnknownStatusPolicy::Deny);
            options.with_expiration_policy(self.expiration).build()
        });
        let depth = self.depth;
        let is_short =
            move |path: &webpki::VerifiedPath<'_>| match path.intermediate_certificates().count()
                > depth
            {
                true => Err(webpki::Error::MaximumPathDepthExceeded),
                false => Ok(()),
            };
        parsed
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                between,
                now,
                KeyUsage::client_auth(),
                revocation,
                Some(&is_short),
            )
            .map_err(|error| judged(&error))?;
        let identity = identity(chain).ok_or(CertificateError::BadEncoding)?;
        let is_named = self.names.is_empty() || self.names.iter().any(|name| name.fits(&identity));
        match is_named {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

fn broken(file: &str) -> String {
    format!("`{file}` is broken PEM; copy the whole file again")
}

/// The error as rustls has it, from which it chooses the alert.
fn judged(error: &webpki::Error) -> Error {
    use CertificateError as To;
    use webpki::Error as From;
    let to = match error {
        From::CertExpired { .. } | From::InvalidCertValidity => To::Expired,
        From::CertNotValidYet { .. } => To::NotValidYet,
        From::CertRevoked => To::Revoked,
        From::CrlExpired { .. } => To::ExpiredRevocationList,
        From::UnknownRevocationStatus => To::UnknownRevocationStatus,
        From::UnknownIssuer | From::MaximumPathDepthExceeded => To::UnknownIssuer,
        From::InvalidSignatureForPublicKey | From::InvalidCrlSignatureForPublicKey => {
            To::BadSignature
        }
        From::RequiredEkuNotFoundContext(_) | From::EmptyEkuExtension => To::InvalidPurpose,
        _ => To::BadEncoding,
    };
    to.into()
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut chain = vec![end_entity.clone()];
        chain.extend_from_slice(intermediates);
        self.verify(&chain, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
