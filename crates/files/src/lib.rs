// SPDX-License-Identifier: Apache-2.0
//! Judges everything about a file that is asked for, without opening one: the name in the path,
//! validators and conditions, ranges, codings, media types, cache rules, listings.
//!
//! Nothing here does I/O or reads a clock; `tidegate-engine` opens and sends. Start reading at
//! [`name`] and [`condition`].
#![forbid(unsafe_code)]

pub mod accept;
pub mod condition;
pub mod date;
pub mod listing;
pub mod name;
pub mod pattern;
pub mod range;
#[cfg(test)]
mod tests;
pub mod types;
