// SPDX-License-Identifier: Apache-2.0
//! The one canonical request, and the response that answers it.
//!
//! Everything that reads a request reads [`Request`]; nothing else can make one. What is ambiguous
//! is refused while it is built ([`Reject`]), so routing, policies, log and the endpoint cannot
//! understand it differently. No I/O and no wire format: a codec collects fields in a [`Storage`]
//! and hands over the rest as [`Parts`]. Start with [`Request::build`].
#![forbid(unsafe_code)]

mod build;
mod claim;
mod connection;
mod fields;
mod framing;
mod judge;
mod method;
mod pairs;
mod reject;
mod request;
mod response;
mod storage;
pub mod syntax;
mod target;
#[cfg(test)]
mod tests;

pub use build::{Options, Parts};
pub use claim::bearer_claim;
pub use fields::{
    CONNECTION_FIELDS, FieldError, FieldId, FieldRef, FieldSet, Fields, FieldsMut, NOT_IN_TRAILERS,
    PROTECTED, SectionError, UNTRUSTED, folds_to, may_trail, recognise_folded,
};
pub use framing::{Framing, ResponseFraming};
pub use method::{Method, Scheme, Version};
pub use pairs::{cookie_pairs, query_pairs};
pub use reject::Reject;
pub use request::Request;
pub use response::Response;
pub use storage::Storage;
