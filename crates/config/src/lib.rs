// SPDX-License-Identifier: Apache-2.0
//! The snapshot's structs, generated from the Pydantic models, and the delta that carries them.
//!
//! No I/O. Defaults live in the Python models alone: every field arrives with a value, and an
//! unknown field is an error. Start with [`Delta`].
#![forbid(unsafe_code)]

mod delta;
mod generated;
mod secret;
#[cfg(test)]
mod tests;
mod units;

pub use delta::{Delta, EndpointSet, Kind, PolicyUse, Resource, Room, SCHEMA};
pub use generated::*;
pub use secret::{Hidden, SecretSet, Text, filled, shown};
pub use units::{Millis, Octets};
