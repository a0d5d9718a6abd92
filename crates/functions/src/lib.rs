// SPDX-License-Identifier: Apache-2.0
//! The protocol between a node and a function worker: frames over one Unix stream socket.
//!
//! Both ends use this crate, so it is pure: bytes in, bytes out, no sockets, no runtime, no clock.
//! A frame is `u32 length | u8 kind | u32 exchange | payload`, all integers big-endian, `length`
//! counting what follows it. Any number of exchanges is in flight on a connection, told apart by
//! the number the node gave them; 0 is the connection itself.
//!
//! ```text
//! node                                   worker
//!      <-- Ready {version, capacity}            once, first
//!   Settings {number, text} -->                 before the first request that names the number
//!   Request {head, body?} -->
//!      <-- BodyWanted, Credit                   when the body is asked for, as it is used up
//!   Body {bytes, last} -->
//!      <-- Continue {changes, wants_response}   a policy lets the request pass
//!   Response {status, fields} -->               what came back, when it was wanted
//!      <-- Changes {changes}                    send that response, changed like this
//!      <-- Respond {status, fields, body?}      or: send this one
//!      <-- Body {bytes, last}
//!   Credit -->                                  as the client takes the body
//!   Cancel -->                                  deadline passed, or the client left
//!      <-- Error {reason}                       the code failed; the log says how
//!      <-- Closing                              draining: finish here, send no more
//!      <-- Fatal {begun}                        about to die; what is not listed never began
//! ```
//!
//! A body that does not travel inside its head goes in [`CHUNK`]s under a [`WINDOW`] per exchange
//! and direction: a sender may have that many bytes on the way, and gets them back as [`Credit`]
//! frames. So a slow client holds back the code that answers it, and not the node's memory.
//!
//! Start with [`Frames`], which cuts a stream into frames, then [`NodeMessage`] and
//! [`WorkerMessage`], one variant per kind. [`Client`] is the node's half without its socket.
//!
//! [`Credit`]: NodeMessage::Credit
#![forbid(unsafe_code)]

mod change;
mod client;
mod cursor;
mod fields;
mod frame;
mod node;
mod request;
mod worker;

pub use change::{Change, Changes, encode_changes};
pub use client::{Client, Event, Lost};
pub use cursor::Malformed;
pub use fields::FieldList;
pub use frame::{
    CHUNK, Frame, Frames, INLINE, MAX_FRAME, MAX_SETS, MAX_SETTINGS, TooLarge, VERSION, WINDOW,
};
pub use node::{
    NodeMessage, encode_body, encode_cancel, encode_credit, encode_response, encode_settings,
};
pub use request::{Body, BodyKind, RequestHead, RequestParts, encode_request};
pub use worker::{
    Reason, WorkerMessage, encode_body_wanted, encode_closing, encode_continue, encode_error,
    encode_fatal, encode_ready, encode_respond, encode_response_changes, encode_worker_body,
    encode_worker_credit,
};

#[cfg(test)]
mod tests;
