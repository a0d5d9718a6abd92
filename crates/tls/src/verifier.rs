// SPDX-License-Identifier: Apache-2.0
//! Whether an endpoint is who it should be.
use crate::der::{Outline, common_name};
use crate::{Authorities, Fault, Reason};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use std::sync::Arc;
use webpki::EndEntityCert;

/// Names that a message has of a certificate, at most.
const MOST_NAMES: usize = 4;

/// What a certificate must be for.
#[derive(Clone, Debug)]
pub(crate) enum Accepted {
    /// A host's name or address.
    Host(ServerName<'static>),
    /// A URI, such as `spiffe://example.org/shop`, to the letter.
    Uri(String),
}

impl Accepted {
    /// Reads `api.internal`, `10.0.0.1` or a URI.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        let name = ServerName::try_from(text.to_owned());
        name.map(Self::Host)
            .map_err(|_| format!("`{text}` is no name of a host, address or URI"))
    }

    fn is_in(&self, certificate: &ParsedCertificate<'_>, bare: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Host(name) => verify_server_name(certificate, name).is_ok(),
            Self::Uri(uri) => bare.valid_uri_names().any(|found| found == uri),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Host(name) => name.to_str().into_owned(),
            Self::Uri(uri) => uri.clone(),
        }
    }
}

/// Chain, dates and name, as an HTTP client must (RFC 9110 §4.3.4, RFC 9525).
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) authorities: Authorities,
    /// One of these; without any the name that is asked for.
    pub(crate) names: Vec<Accepted>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn judge(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Fault> {
        let parsed = ParsedCertificate::try_from(own).map_err(|error| Fault::of(&error))?;
        let outline = Outline::read(own);
        let is_known = self.authorities.known.iter().any(|known| known == own);
        match (is_known, &outline) {
            (true, Some(outline)) => check_dates(outline, now)?,
            _ => verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.authorities.roots,
                others,
                now,
                self.algorithms.all,
            )
            .map_err(|error| of_chain(&error, outline.as_ref(), now))?,
        }
        let bare = EndEntityCert::try_from(own)
            .map_err(|error| Fault::new(Reason::BadCertificate, error.to_string()))?;
        let is_right = match self.names.as_slice() {
            [] => verify_server_name(&parsed, name).is_ok(),
            names => names.iter().any(|name| name.is_in(&parsed, &bare)),
        };
        if is_right {
            return Ok(());
        }
        let wanted = match self.names.as_slice() {
            [] => format!("`{}`", name.to_str()),
            names => listed(names.iter().map(Accepted::text)),
        };
        let found = bare.valid_dns_names().chain(bare.valid_uri_names());
        let detail = match listed(found.map(str::to_owned)) {
            none if none.is_empty() => format!(
                "the endpoint's certificate is not for {wanted}: it names no host at all (subjectAltName)"
            ),
            found => {
                format!("the endpoint's certificate is not for {wanted} but for {found}")
            }
        };
        Err(Fault::new(Reason::WrongName, detail))
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let mut text = names.get(..MOST_NAMES).unwrap_or(&names).join(", ");
    if names.len() > MOST_NAMES {
        text.push_str(" ...");
    }
    text
}

fn check_dates(outline: &Outline, now: UnixTime) -> Result<(), Fault> {
    let now = now.as_secs();
    if now > outline.not_after {
        return Err(expired(now - outline.not_after));
    }
    if now < outline.not_before {
        return Err(not_yet(outline.not_before - now));
    }
    Ok(())
}

fn expired(seconds: u64) -> Fault {
    let ago = span(seconds);
    Fault::new(
        Reason::Expired,
        format!("the endpoint's certificate expired {ago} ago"),
    )
}

fn not_yet(seconds: u64) -> Fault {
    let span = span(seconds);
    Fault::new(
        Reason::NotYetValid,
        format!("the endpoint's certificate is good only in {span}; is the clock right?"),
    )
}

/// `3 days`, in the largest unit of which there is one.
fn span(seconds: u64) -> String {
    let units = [
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let found = units.iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = found.copied().unwrap_or((1, "second"));
    match seconds / unit {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    }
}

/// What is wrong with a chain.
fn of_chain(error: &Error, outline: Option<&Outline>, now: UnixTime) -> Fault {
    let Error::InvalidCertificate(wrong) = error else {
        return Fault::of(error);
    };
    match wrong {
        CertificateError::ExpiredContext { time, not_after } => {
            let own = outline.filter(|own| now.as_secs() > own.not_after);
            match own {
                Some(own) => expired(now.as_secs() - own.not_after),
                None => {
                    let ago = span(time.as_secs().saturating_sub(not_after.as_secs()));
                    let detail =
                        format!("an authority above the endpoint's certificate expired {ago} ago");
                    Fault::new(Reason::Expired, detail)
                }
            }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            not_yet(not_before.as_secs().saturating_sub(time.as_secs()))
        }
        // An authority's certificate as a site's own is what people make who sign for themselves.
        CertificateError::UnknownIssuer | CertificateError::Other(_) => unknown_issuer(outline),
        _ => Fault::of(error),
    }
}

fn unknown_issuer(outline: Option<&Outline>) -> Fault {
    const WAY: &str = "if it is to be trusted, put it into the file of `tls: { ca: ... }`";
    let detail = match outline {
        Some(own) if own.issuer == own.subject => {
            format!("the endpoint's certificate is signed by itself; {WAY}")
        }
        Some(own) => match common_name(&own.issuer) {
            Some(name) => format!(
                "the endpoint's certificate was signed by an unknown issuer, `{name}`; {WAY}"
            ),
            None => format!("the endpoint's certificate was signed by an unknown issuer; {WAY}"),
        },
        None => "the endpoint's certificate can not be read".into(),
    };
    Fault::new(Reason::UnknownIssuer, detail)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.judge(own, others, name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(fault) => {
                let other = CertificateError::Other(OtherError(Arc::new(fault)));
                Err(Error::InvalidCertificate(other))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Believes everybody.
#[derive(Debug)]
pub(crate) struct Blind(pub(crate) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
