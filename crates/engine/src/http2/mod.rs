// SPDX-License-Identifier: Apache-2.0
//! What connections of HTTP/2 have in common, a client's and those to endpoints: what the connection's
//! task and those of its streams share, and a stream as one of these sees it.

mod shared;
mod stream;

pub(crate) use shared::{Arrived, Put, Reset, Shared};
pub(crate) use stream::Stream;

/// Room to read into: a frame of the largest kind that is taken, and the header of the next.
pub(crate) const ROOM: usize = 32 << 10;
/// Reads before others get their turn.
pub(crate) const READS: usize = 4;
/// Milliseconds between two looks at what is not told, when nothing is waited for.
pub(crate) const LOOK_MS: u64 = 60_000;
