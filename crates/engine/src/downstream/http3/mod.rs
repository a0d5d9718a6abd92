// SPDX-License-Identifier: Apache-2.0
//! HTTP/3 on a listener's port of UDP.
//!
//! Each thread has an [`Endpoint`] for each listener: it takes packets, and tells connections of theirs.
//! One task drives a connection ([`Driver`]): QUIC's timers and packets, the control streams, heads. Each
//! request is an exchange like one of HTTP/1.1, in a task of its own, whose [`super::Downstream`] has a
//! [`Stream`] where the other has its socket. Content is not held here: it stays where QUIC keeps what
//! has come, and its windows open again as exchanges take it.

mod driver;
mod endpoint;
mod events;
mod identifiers;
mod kin;
mod shared;
mod stream;
mod transport;

pub(super) use driver::Driver;
pub(crate) use endpoint::Endpoint;
pub(crate) use identifiers::Identifiers;
pub(crate) use shared::Shared;
pub(crate) use stream::Stream;
