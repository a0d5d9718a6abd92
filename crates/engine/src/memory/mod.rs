// SPDX-License-Identifier: Apache-2.0
//! How much memory the node may use, and what follows from how near it is to that.
//!
//! [`Meter`] reads limits and use, [`Budget`] is what threads look at. Who measures and acts is
//! `service/memory.rs`; what can be given back is in `thread/holders.rs`.

mod budget;
mod cgroup;
mod meter;
#[cfg(test)]
mod tests;

pub(crate) use budget::{Budget, Level};
pub(crate) use meter::{Meter, Reading};
