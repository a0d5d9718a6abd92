// SPDX-License-Identifier: Apache-2.0
//! Policies, one room each: what happens to a request before an endpoint gets it, and to a
//! response before the client does.
//!
//! Rooms change the one exchange they are given; the order of policies, their scopes and phases
//! are the engine's. Start with [`request_headers`], the smallest, and
//! [`tidegate_contract::Filter`], what each implements. `rooms.rs` is generated from the folders.
#![forbid(unsafe_code)]

mod addresses;
mod conditions;
mod edit;
mod refusal;
mod rooms;
#[cfg(test)]
mod testing;

pub use conditions::{Condition, condition_problem};
// By glob: a new room is added to the generated list and nowhere else.
pub use rooms::*;
