// SPDX-License-Identifier: Apache-2.0
//! gRPC-Web on the wire (gRPC's `PROTOCOL-WEB.md`): calls of gRPC as pages of browsers can make them.
//!
//! Messages stand in the content as gRPC has them, trailers follow as one more frame, and all of it may be
//! base64. Start with [`Messages`], which tells where a message ends.

mod messages;
#[cfg(test)]
mod tests;
mod text;
mod trailers;

pub use messages::{BadMessage, Messages};
pub use text::{BadText, TextDecoder, TextEncoder};
pub use trailers::trailers_frame;
