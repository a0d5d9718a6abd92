// SPDX-License-Identifier: Apache-2.0
//! HTTP/3 (RFC 9114) with QPACK (RFC 9204): what is said on the streams of one QUIC connection, for
//! servers and clients, without I/O and without QUIC.
//!
//! The caller has the streams. It hands what comes on one to its [`RequestReader`] or [`UniReader`],
//! which say one thing at a time, and asks [`Connection`] for the bytes of what it sends. Content is a
//! slice of what the caller handed over; the only thing that is kept is a head of which more is to come.
//! No dynamic table is offered and none is used, so nothing on one stream waits for another, and no
//! block can grow beyond what it is on the wire. Every limit is a field of [`Settings`].
#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
mod qpack;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod unidirectional;
mod varint;

pub use connection::Connection;
pub use error::{Code, Error, Failure};
pub use request::{Part, Read, RequestReader};
pub use settings::Settings;
pub use tidegate_http2::{Pseudo, RequestHead};
pub use unidirectional::{UniReader, Verdict};
