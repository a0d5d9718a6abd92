// SPDX-License-Identifier: Apache-2.0
//! HPACK, RFC 7541: fields on the wire of HTTP/2.

mod decoder;
mod encoder;
pub mod huffman;
pub mod integer;
mod key;
mod static_table;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use decoder::{Decoder, Outcome};
pub use decoder::{Sink, key_of};
pub(crate) use encoder::Encoder;
pub use encoder::is_credential;
pub use key::Key;
pub use table::ENTRY_OVERHEAD;

use std::fmt;

/// A header block that is no HPACK. The connection's compression state is lost: RFC 9113 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionError(pub &'static str);

impl fmt::Display for CompressionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}
