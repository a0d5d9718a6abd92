// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on the wire (RFC 9112): finding and parsing heads, the chunked coding, writing heads.
//!
//! Pure functions over byte slices and small state machines without I/O. What a message means is
//! judged by `tidegate-request`; here is only how its bytes are laid out, and nothing is repaired:
//! lines end in CRLF, a field is `name:` and a value, a chunk size is hexadecimal digits.
//! Start with [`parse_request`] and [`encode_request`].
#![forbid(unsafe_code)]

mod chunk;
mod encode;
mod grpc_web;
mod head;

pub use chunk::{ChunkDecoder, Decoded, encode_chunk_head, encode_last_chunk};
pub use encode::{
    Forwarding, HttpDate, RequestFields, ResponseContext, ResponseFields, Sent, encode_request,
    encode_response, error_answer, problem, reason, write_error,
};
pub use grpc_web::{BadMessage, BadText, Messages, TextDecoder, TextEncoder, trailers_frame};
pub use head::{HeadLimits, HeadScanner, parse_request, parse_response};
