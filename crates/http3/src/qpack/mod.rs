// SPDX-License-Identifier: Apache-2.0
//! QPACK, RFC 9204, with the static table alone: the peer is offered no dynamic one and ours stays empty.

mod decoder;
mod encoder;
mod static_table;
#[cfg(test)]
mod tests;

pub(crate) use decoder::{Decoder, Outcome};
pub(crate) use encoder::{begin, field, pseudo, status};
