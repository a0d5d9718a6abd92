// SPDX-License-Identifier: Apache-2.0
//! TLS for the sockets of `tidegate-net`: certificates, the choice among them, and one connection's
//! session. Bytes in, bytes out: no socket is known here.
//!
//! [`Certificate`] reads files, [`Acceptance`] is what a listener does with a ClientHello, [`Approach`]
//! is how the endpoints of a backend are spoken to, and [`Session`] is a connection of either. The cryptography and the protocol are rustls' with aws-lc-rs.
#![forbid(unsafe_code)]

mod acceptance;
mod approach;
mod authorities;
mod certificate;
mod challenges;
mod clients;
mod der;
mod details;
mod fault;
mod identity;
mod initial;
mod inquiry;
mod quic;
mod refusal;
mod remembered;
mod resolver;
mod session;
mod shown;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod tickets;
mod verifier;

pub use acceptance::{Acceptance, ForHosts, Policy, Protocols, Terms};
pub use approach::{Approach, ApproachTerms, Inside};
pub use authorities::Authorities;
pub use certificate::{Certificate, Files, Validity, validity};
pub use challenges::Challenges;
pub use clients::{Asked, ClientCertificates};
pub use details::{Details, details};
pub use fault::{Fault, Reason};
pub use initial::{InitialKeys, QUIC_VERSION_2};
pub use inquiry::Inquiry;
pub use quic::{QUIC_VERSION, QuicAcceptance, QuicHandshake, quic_refusal};
pub use refusal::Refusal;
pub use session::{Greeting, Session, Told};
pub use shown::Client;
pub use tickets::Tickets;
