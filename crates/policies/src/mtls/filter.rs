// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::config::CertificateSubject;
use crate::refusal::refusal;
use serde_json::{Map, Value};
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange, Filter, Flow, Identity, Phases};
use tidegate_core::{ClientCertificate, NamePattern};

/// Lets in who shows a certificate.
#[derive(Clone, Debug)]
pub struct Mtls {
    names: Vec<NamePattern>,
    subject: CertificateSubject,
}

impl Mtls {
    /// The filter for these settings.
    ///
    /// # Errors
    /// One of the names is none.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let names = settings.names.iter().map(|name| NamePattern::parse(name));
        Ok(Self {
            names: names.collect::<Result<_, _>>()?,
            subject: settings.subject,
        })
    }

    fn identity(&self, certificate: &ClientCertificate) -> Result<Identity, Answer> {
        let mut names = certificate.names.iter();
        let own = match self.names.is_empty() {
            true => names.next(),
            false => names.find(|(kind, name)| {
                let mut patterns = self.names.iter();
                patterns.any(|pattern| pattern.fits_name(*kind, name))
            }),
        };
        if own.is_none() && !self.names.is_empty() {
            return Err(refusal(403, "the client's certificate has another name"));
        }
        let subject = match self.subject {
            CertificateSubject::Name => own.map(|(_, name)| name),
            CertificateSubject::DistinguishedName => Some(&certificate.subject),
            CertificateSubject::Fingerprint => Some(&certificate.fingerprint),
        };
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject =
            subject.ok_or_else(|| refusal(403, "the client's certificate names nobody"))?;
        let names = certificate.names.iter();
        let names = names.map(|(kind, name)| format!("{}={name}", kind.name()).into());
        let claims = [
            ("names", Value::Array(names.collect())),
            ("distinguished_name", certificate.subject.as_str().into()),
            ("fingerprint", certificate.fingerprint.as_str().into()),
            ("serial", certificate.serial.as_str().into()),
        ];
        let claims = claims.map(|(name, value)| (name.to_owned(), value));
        let identity = Identity::new("mtls", subject.clone());
        Ok(identity.with_claims(Map::from_iter(claims)))
    }
}

impl Filter for Mtls {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        let identity = match &exchange.certificate {
            Some(certificate) => self.identity(certificate),
            // No challenge is for certificates (RFC 9110 §15.5.2), which are shown in the handshake.
            None => Err(refusal(403, "a client's certificate is needed")),
        };
        match identity {
            Ok(identity) => {
                exchange.identity = Some(Arc::new(identity));
                Flow::Continue
            }
            Err(answer) => Flow::Respond(Box::new(answer)),
        }
    }
}
