// SPDX-License-Identifier: Apache-2.0
//! A new connection to an endpoint, with TLS where its backend has it.
use super::announce::announce;
use crate::snapshot::BackendPlan;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use tidegate_core::ErrorKind;
use tidegate_net::{Announced, Stream, Target, connect};
use tidegate_tls::{Fault, Inside, Reason};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NotReached {
    /// The kernel's reason.
    Connect(io::Error),
    /// There was a connection, and no TLS on it.
    Tls(Fault),
}

impl std::fmt::Display for NotReached {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(error) => write!(formatter, "connecting failed: {error}"),
            Self::Tls(fault) => write!(formatter, "{fault}"),
        }
    }
}

/// Connects to `target`, an address of the endpoint that `address` names, and speaks TLS if its backend
/// does. Takes as long as it takes: `is_shaking` tells for what it waits. Handshakes are counted here,
/// but for one that is given up from outside. `ends` is whose connection it is, for endpoints that are told:
/// of `None` that it is our own.
pub(crate) async fn dial(
    plan: &BackendPlan,
    address: &str,
    target: &Target,
    inside: Inside,
    ends: Option<&Announced>,
    is_shaking: &Cell<bool>,
) -> Result<Stream, NotReached> {
    let mut stream = connect(target).await.map_err(NotReached::Connect)?;
    announce(plan, &stream, ends).map_err(NotReached::Connect)?;
    let Some(tls) = &plan.tls else {
        return Ok(stream);
    };
    is_shaking.set(true);
    let begun = stream.secure_to(&tls.approach, tls.name(address), inside);
    let outcome = match begun {
        Ok(()) => poll_fn(|cx| stream.poll_answered(cx)).await,
        Err(fault) => Err(fault),
    };
    is_shaking.set(false);
    let handshakes = &plan.shared.handshakes;
    match outcome {
        Ok(()) => {
            handshakes.count(stream.told().is_some_and(|told| told.is_resumed));
            Ok(stream)
        }
        Err(fault) => {
            handshakes.count_failed(fault.reason);
            Err(NotReached::Tls(fault))
        }
    }
}

/// The word for a fault, and what is said where its own sentence has no place.
pub(crate) fn fault_kind(fault: &Fault) -> (ErrorKind, &'static str) {
    match fault.reason {
        Reason::Timeout => (
            ErrorKind::ConnectionTimeout,
            "the TLS handshake with the endpoint took too long",
        ),
        Reason::UnknownIssuer
        | Reason::Expired
        | Reason::NotYetValid
        | Reason::WrongName
        | Reason::BadCertificate => (
            ErrorKind::TlsCertificateError,
            "the endpoint's certificate was not accepted",
        ),
        Reason::Alert | Reason::ClientCertificate => (
            ErrorKind::TlsAlertReceived,
            "the endpoint refused the TLS handshake",
        ),
        Reason::Closed
        | Reason::NotTls
        | Reason::NoSharedVersion
        | Reason::NoSharedCipher
        | Reason::NoSharedProtocol
        | Reason::Malformed
        | Reason::NoName => (
            ErrorKind::TlsProtocolError,
            "there was no TLS with the endpoint",
        ),
    }
}
