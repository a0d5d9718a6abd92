// SPDX-License-Identifier: Apache-2.0
//! Datagrams that are passed on as they are.
//!
//! A [`Port`] is a listener's socket on one thread. What comes by it from one address and port to one
//! address of ours is a [`Session`]: it has an endpoint, and a socket of its own that is connected to it,
//! so that answers need no table and the kernel tells when nobody is there.

mod open;
mod port;
mod session;

pub(crate) use port::Ports;
