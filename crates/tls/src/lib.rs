// SPDX-License-Identifier: Apache-2.0
//! TLS for the sockets of `tidegate-net`: certificates, the choice among them, and one connection's
//! session. Bytes in, bytes out: no socket is known here.
//!
//! [`Certificate`] reads files, [`Acceptance`] is what a listener does with a ClientHello, and
//! [`Session`] is a connection. The cryptography and the protocol are rustls' with aws-lc-rs.
#![forbid(unsafe_code)]

mod acceptance;
mod certificate;
mod der;
mod details;
mod refusal;
mod resolver;
mod session;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use acceptance::{Acceptance, Policy, Protocols, Terms, Tickets};
pub use certificate::{Certificate, Files, Validity, validity};
pub use details::{Details, details};
pub use refusal::Refusal;
pub use session::{Greeting, Session, Told};
