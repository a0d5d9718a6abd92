// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 to endpoints.
//!
//! A thread keeps connections for each endpoint ([`Links`]), each with a task of its own ([`driver`]). A
//! request takes a place on one ([`Reserved`]) and has a [`Stream`] of it where it would have a connection.

mod driver;
mod link;
mod links;
mod once;
mod reach;
mod stream;

pub(crate) use link::Reserved;
pub(crate) use links::Links;
pub(crate) use once::{Answered, ask_once};
pub(crate) use reach::{Reached, is_http2};
pub(crate) use stream::Stream;
