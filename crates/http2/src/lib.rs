// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 (RFC 9113) with HPACK (RFC 7541): the protocol of one connection, for servers and
//! clients, without I/O.
//!
//! The caller reads bytes and hands them to [`Connection::receive`], which tells one [`Event`] at a
//! time; it writes what [`Connection::output`] holds. Nothing is stored for later but what the
//! protocol needs: content goes from the caller's read buffer to the caller, and from the caller
//! into the output as far as windows and the output's limit allow. Every limit is a field of
//! [`Settings`] and is counted where frames are read. What a request means is judged by
//! `tidegate-request`; here is what RFC 9113 §8 asks of its form.
#![forbid(unsafe_code)]

mod budget;
mod connection;
mod error;
mod event;
mod frame;
mod head;
mod hpack;
mod output;
mod settings;
mod streams;

pub use connection::{Connection, RequestHead, Taken};
pub use error::{ConnectionError, ErrorCode, SendError};
pub use event::{Event, Received};
pub use head::Pseudo;
pub use settings::{Allowance, Settings};

/// What HTTP/3 asks of heads and QPACK of strings in the same words as HTTP/2 and HPACK do.
pub mod sections {
    pub use crate::budget::Budget;
    pub use crate::head::{Builder, Problem, Section};
    pub use crate::hpack::{CompressionError, ENTRY_OVERHEAD, Key, Sink, huffman, integer};
    pub use crate::hpack::{is_credential, key_of};
}
