// SPDX-License-Identifier: Apache-2.0
//! What of QUIC can be read by those who pass its packets on: the parts of headers that are in the clear, and
//! a client's first message.
//!
//! [`long_header`] takes a header apart, [`QuicId`] is a connection identifier, and [`InitialReader`] puts a
//! ClientHello together from the packets that it is spread over.

mod header;
mod initial;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use header::{LongHeader, LongKind, QuicId, long_header};
pub use initial::{InitialReader, Read};
