// SPDX-License-Identifier: Apache-2.0
//! What every other crate of the engine may use: error kinds, the clock and randomness.
//!
//! No I/O. Start with [`ErrorKind`], the one vocabulary for what went wrong in
//! the log, the metrics and `Proxy-Status`.
#![forbid(unsafe_code)]

mod base64;
mod calendar;
mod clock;
pub mod digits;
mod draw;
mod error;
mod grpc;
mod hash;
mod networks;
mod padded;
mod peer;
mod written;

pub use base64::{base64_decoded, base64_encoded, base64_group, base64_value};
pub use calendar::{civil, days};
pub use clock::{Clock, Moment};
pub use draw::Draw;
pub use error::{ErrorKind, Side};
pub use grpc::GrpcCode;
pub use hash::StableHash;
pub use networks::{Networks, parse_network};
pub use padded::Padded;
pub use peer::{ClientCertificate, NameKind, NamePattern};
pub use written::written_bytes;
