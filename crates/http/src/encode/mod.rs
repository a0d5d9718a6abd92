// SPDX-License-Identifier: Apache-2.0
//! Writing heads from the canonical form.

mod date;
mod error;
mod forwarding;
mod reason;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod write;

pub use date::HttpDate;
pub use error::{error_answer, problem, write_error};
pub use forwarding::Forwarding;
pub use reason::reason;
pub use request::{RequestFields, encode_request};
pub use response::{ResponseContext, ResponseFields, Sent, encode_response};
pub(crate) use write::{push_field, push_length, push_text};
