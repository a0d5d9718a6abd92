// SPDX-License-Identifier: Apache-2.0
//! The chunked transfer coding, RFC 9112 §7.1.

mod decoder;
mod encoder;
mod extension;
#[cfg(test)]
mod tests;
mod trailers;

pub use decoder::{ChunkDecoder, Decoded};
pub use encoder::{encode_chunk_head, encode_last_chunk};
pub(crate) use extension::Extension;
pub(crate) use trailers::Trailers;
