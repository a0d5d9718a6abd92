// SPDX-License-Identifier: Apache-2.0
use rustls::{Error, PeerIncompatible};

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
}

impl Refusal {
    /// All.
    pub const ALL: [Self; 11] = [
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
        }
    }

    pub(crate) fn of(error: &Error) -> Self {
        use PeerIncompatible as Missing;
        match error {
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::AlertReceived(_) => Self::ClientAlert,
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
}
