// SPDX-License-Identifier: Apache-2.0
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use std::fmt;

/// Why there is no TLS with an endpoint, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The endpoint closed during the handshake.
    Closed,
    /// It took longer than it may.
    Timeout,
    /// What the endpoint speaks is not TLS.
    NotTls,
    /// Nobody that we trust has signed its certificate.
    UnknownIssuer,
    /// Its certificate is no longer good.
    Expired,
    /// Its certificate is not good yet.
    NotYetValid,
    /// Its certificate is for somebody else.
    WrongName,
    /// Its certificate is broken, or not for this use.
    BadCertificate,
    /// It knows no version that is allowed here.
    NoSharedVersion,
    /// It knows no cipher, key exchange or signature that is allowed here.
    NoSharedCipher,
    /// It speaks none of our protocols inside of TLS.
    NoSharedProtocol,
    /// It wants a certificate of ours, or another one.
    ClientCertificate,
    /// It refused for another reason.
    Alert,
    /// What it sent breaks the protocol.
    Malformed,
    /// There is no name to ask for.
    NoName,
}

impl Reason {
    /// All, in order of declaration.
    pub const ALL: [Self; 15] = [
        Self::Closed,
        Self::Timeout,
        Self::NotTls,
        Self::UnknownIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongName,
        Self::BadCertificate,
        Self::NoSharedVersion,
        Self::NoSharedCipher,
        Self::NoSharedProtocol,
        Self::ClientCertificate,
        Self::Alert,
        Self::Malformed,
        Self::NoName,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::NotTls => "not_tls",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongName => "wrong_name",
            Self::BadCertificate => "bad_certificate",
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Malformed => "malformed",
            Self::NoName => "no_name",
        }
    }
}

/// Why there is no TLS with an endpoint. `Display` is for the operator: it names hosts and issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { reason, detail }
    }

    /// The endpoint closed before the handshake was over.
    pub fn closed() -> Self {
        Self::new(
            Reason::Closed,
            "TLS: the endpoint closed during the handshake",
        )
    }

    /// The handshake was not over in time.
    pub fn timeout() -> Self {
        Self::new(Reason::Timeout, "TLS: the handshake took too long")
    }

    pub(crate) fn not_tls(first: u8) -> Self {
        let what = match first {
            b'H' => "it answers in plain HTTP; leave `tls` out, or write its TLS port",
            _ => "what it sends is not TLS; is the port right?",
        };
        Self::new(
            Reason::NotTls,
            format!("the endpoint does not speak TLS: {what}"),
        )
    }

    pub(crate) fn of(error: &Error) -> Self {
        let certificate = match error {
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                if let Some(fault) = other.0.downcast_ref::<Self>() {
                    return fault.clone();
                }
                true
            }
            Error::InvalidCertificate(_) => true,
            _ => false,
        };
        if certificate {
            let detail = format!("the endpoint's certificate can not be used: {error}");
            return Self::new(Reason::BadCertificate, detail);
        }
        match error {
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::NoApplicationProtocol => Self::no_protocol(),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::no_version(),
            Error::PeerIncompatible(_) => Self::new(
                Reason::NoSharedCipher,
                "TLS: the endpoint knows no cipher or key exchange that is allowed here",
            ),
            _ => Self::new(
                Reason::Malformed,
                format!("TLS: what the endpoint sent breaks the protocol: {error}"),
            ),
        }
    }

    fn no_version() -> Self {
        Self::new(
            Reason::NoSharedVersion,
            "TLS: the endpoint knows no version that is allowed here",
        )
    }

    fn no_protocol() -> Self {
        Self::new(
            Reason::NoSharedProtocol,
            "TLS: the endpoint does not speak http/1.1 inside of TLS",
        )
    }

    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as Word;
        let word = alert.as_str().unwrap_or("an alert of its own");
        match alert {
            Word::ProtocolVersion => Self::no_version(),
            Word::NoApplicationProtocol => Self::no_protocol(),
            Word::CertificateRequired => Self::new(
                Reason::ClientCertificate,
                "TLS: the endpoint wants a certificate of ours; give it one by `tls: { certificate: ... }`",
            ),
            Word::BadCertificate
            | Word::UnsupportedCertificate
            | Word::CertificateRevoked
            | Word::CertificateExpired
            | Word::CertificateUnknown
            | Word::UnknownCA
            | Word::AccessDenied => Self::new(
                Reason::ClientCertificate,
                format!("TLS: the endpoint refuses our certificate, or wants one: {word}"),
            ),
            Word::UnrecognisedName => Self::new(
                Reason::WrongName,
                "TLS: the endpoint knows nothing of the name that was asked for; write the right one as `tls: { server_name: ... }`",
            ),
            Word::HandshakeFailure => Self::new(
                Reason::Alert,
                "TLS: the endpoint refused: it shares no cipher with us, or wants a certificate of ours (HandshakeFailure)",
            ),
            _ => Self::new(Reason::Alert, format!("TLS: the endpoint refused: {word}")),
        }
    }
}
