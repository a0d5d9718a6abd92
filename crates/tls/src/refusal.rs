// SPDX-License-Identifier: Apache-2.0
use rustls::{CertificateError, Error, PeerIncompatible};

/// Why a connection did not come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client left before it was done.
    Closed,
    /// It took longer than it may.
    Timeout,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// What the client speaks is not TLS.
    NotTls,
    /// No certificate is for the name that was asked for.
    UnknownName,
    /// The certificate for the name that was asked for is not there yet.
    AwaitedCertificate,
    /// The client knows no version that is spoken here.
    NoSharedVersion,
    /// The client knows no cipher, key exchange or signature that is used here.
    NoSharedCipher,
    /// The client wants none of the protocols that are spoken here inside of TLS.
    NoSharedProtocol,
    /// The client refused, most often our certificate.
    ClientAlert,
    /// What the client sent breaks the protocol.
    Malformed,
    /// The client showed no certificate, and must.
    CertificateMissing,
    /// Its certificate has expired, or is not good yet.
    CertificateExpired,
    /// Its certificate was revoked.
    CertificateRevoked,
    /// No authority that is believed has signed its certificate, or with too many between.
    CertificateUnknownIssuer,
    /// No list tells whether its certificate was revoked, or an expired one.
    CertificateRevocationUnknown,
    /// Its certificate has none of the names that are taken.
    CertificateName,
    /// Its certificate is broken, odd, or for something else than clients.
    CertificateInvalid,
}

impl Refusal {
    /// All.
    pub const ALL: [Self; 18] = [
        Self::Closed,
        Self::Timeout,
        Self::PlainHttp,
        Self::NotTls,
        Self::UnknownName,
        Self::AwaitedCertificate,
        Self::NoSharedVersion,
        Self::NoSharedCipher,
        Self::NoSharedProtocol,
        Self::ClientAlert,
        Self::Malformed,
        Self::CertificateMissing,
        Self::CertificateExpired,
        Self::CertificateRevoked,
        Self::CertificateUnknownIssuer,
        Self::CertificateRevocationUnknown,
        Self::CertificateName,
        Self::CertificateInvalid,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::UnknownName => "unknown_name",
            Self::AwaitedCertificate => "awaited_certificate",
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::ClientAlert => "client_alert",
            Self::Malformed => "malformed",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateUnknownIssuer => "certificate_unknown_issuer",
            Self::CertificateRevocationUnknown => "certificate_revocation_unknown",
            Self::CertificateName => "certificate_name",
            Self::CertificateInvalid => "certificate_invalid",
        }
    }

    /// As the log tells it.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Closed => "TLS: the client left during the handshake",
            Self::Timeout => "TLS: the handshake took too long",
            Self::PlainHttp => "plain HTTP was sent to a TLS port",
            Self::NotTls => "what was sent to a TLS port is not TLS",
            Self::UnknownName => "TLS: no certificate for the name that was asked for",
            Self::AwaitedCertificate => {
                "TLS: the certificate for this name is not there yet; `tidegate cert list` says why"
            }
            Self::NoSharedVersion => "TLS: the client knows no version that is allowed here",
            Self::NoSharedCipher => {
                "TLS: the client knows no cipher or key exchange that is allowed here"
            }
            Self::NoSharedProtocol => "TLS: the client wants no protocol that is spoken here",
            Self::ClientAlert => "TLS: the client refused, most often our certificate",
            Self::Malformed => "TLS: what the client sent breaks the protocol",
            Self::CertificateMissing => "TLS: the client showed no certificate",
            Self::CertificateExpired => "TLS: the client's certificate is not good at this time",
            Self::CertificateRevoked => "TLS: the client's certificate was revoked",
            Self::CertificateUnknownIssuer => {
                "TLS: the client's certificate leads to no authority that is believed"
            }
            Self::CertificateRevocationUnknown => {
                "TLS: no list, or an expired one, for the authority of the client's certificate"
            }
            Self::CertificateName => "TLS: the client's certificate has no name that is taken",
            Self::CertificateInvalid => {
                "TLS: the client's certificate is broken, odd, or not for clients"
            }
        }
    }

    pub(crate) fn of(error: &Error) -> Self {
        use PeerIncompatible as Missing;
        match error {
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::AlertReceived(_) => Self::ClientAlert,
            Error::NoCertificatesPresented => Self::CertificateMissing,
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            Error::PeerIncompatible(missing) => match missing {
                Missing::ServerDoesNotSupportTls12Or13
                | Missing::ServerTlsVersionIsDisabledByOurConfig
                | Missing::SupportedVersionsExtensionRequired
                // Every client of TLS 1.2 that is in use has it, and none before.
                | Missing::SignatureAlgorithmsExtensionRequired
                | Missing::Tls12NotOffered
                | Missing::Tls12NotOfferedOrEnabled
                | Missing::Tls13RequiredForQuic => Self::NoSharedVersion,
                _ => Self::NoSharedCipher,
            },
            _ => Self::Malformed,
        }
    }

    fn of_certificate(why: &CertificateError) -> Self {
        use CertificateError as Why;
        match why {
            Why::Expired | Why::NotValidYet => Self::CertificateExpired,
            Why::Revoked => Self::CertificateRevoked,
            Why::UnknownIssuer => Self::CertificateUnknownIssuer,
            Why::UnknownRevocationStatus | Why::ExpiredRevocationList => {
                Self::CertificateRevocationUnknown
            }
            Why::ApplicationVerificationFailure => Self::CertificateName,
            _ => Self::CertificateInvalid,
        }
    }
}
