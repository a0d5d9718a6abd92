// SPDX-License-Identifier: Apache-2.0
//! Balancing algorithms, one room each: which endpoint of a backend takes a request.
//!
//! Rooms choose among the candidates they are given; health, retries and limits are the engine's.
//! Start with [`round_robin`], the smallest, and [`tidegate_contract::Balancer`], what each
//! implements. `rooms.rs` is generated from the folders.
#![forbid(unsafe_code)]

mod by_key;
mod maglev_table;
mod prepared;
mod rooms;
#[cfg(test)]
mod testing;
mod turns;
mod weights;

// By glob: a new room is added to the generated list and nowhere else.
pub use rooms::*;
