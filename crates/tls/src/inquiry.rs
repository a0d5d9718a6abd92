// SPDX-License-Identifier: Apache-2.0
use crate::verifier::Verifier;
use crate::{Authorities, Fault, Policy};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, Mutex};

/// How somebody is asked once, over TCP or QUIC: by TLS 1.3, with one protocol to be spoken inside, and
/// with nothing remembered.
#[derive(Debug)]
pub struct Inquiry {
    /// For one connection.
    pub config: Arc<ClientConfig>,
    judge: Arc<Judge>,
}

impl Inquiry {
    /// By the word of these authorities alone; `protocol` by its name of ALPN (RFC 7301).
    ///
    /// # Errors
    /// The cryptography can not be had.
    pub fn new(authorities: Authorities, protocol: &[u8]) -> Result<Self, String> {
        let provider = Arc::new(default_provider());
        let judge = Arc::new(Judge {
            verifier: Verifier {
                authorities,
                names: Vec::new(),
                algorithms: provider.signature_verification_algorithms,
            },
            fault: Mutex::new(None),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(Policy::Modern.versions())
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            judge,
        })
    }

    /// Why the certificate was refused, if it was: layers in between put it into words of their own.
    pub fn fault(&self) -> Option<Fault> {
        let fault = self.judge.fault.lock();
        fault.ok().and_then(|fault| fault.clone())
    }
}

/// A verifier that remembers what it has refused.
#[derive(Debug)]
struct Judge {
    verifier: Verifier,
    fault: Mutex<Option<Fault>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self
            .verifier
            .verify_server_cert(own, others, name, ocsp, now);
        if let (Err(error), Ok(mut fault)) = (&judged, self.fault.lock()) {
            *fault = Some(Fault::of(error));
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
