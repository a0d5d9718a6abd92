// SPDX-License-Identifier: Apache-2.0
//! What connections of HTTP/2 have in common, a client's and those to endpoints: what the connection's
//! task and those of its streams share, and a stream as one of these sees it.

mod shared;
mod stream;

pub(crate) use shared::{Arrived, Put, Reset, Shared};
pub(crate) use stream::Stream;
