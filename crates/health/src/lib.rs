// SPDX-License-Identifier: Apache-2.0
//! Health checks, one room each: what to send to an endpoint and how to judge the answer.
//!
//! Rooms connect nowhere and wait for nothing; when to probe, the connection and the timeout are
//! the engine's. Start with [`tcp`], the smallest, and [`tidegate_contract::Check`], what each
//! implements. `rooms.rs` is generated from the folders.
#![forbid(unsafe_code)]

mod host;
mod pace;
mod rooms;
#[cfg(test)]
mod testing;
mod verdict;

// By glob: a new room is added to the generated list and nowhere else.
pub use rooms::*;
