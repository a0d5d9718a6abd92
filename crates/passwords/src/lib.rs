// SPDX-License-Identifier: Apache-2.0
//! Passwords: how they are kept ([`Hashed`]), shown ([`credentials`]), checked without keeping anybody waiting
//! ([`Checker`]), remembered ([`Known`]), and how many wrong ones an address may show ([`Attempts`]).
#![forbid(unsafe_code)]

mod attempts;
mod checking;
mod credentials;
mod hashed;
mod known;
#[cfg(test)]
mod tests;

pub use attempts::Attempts;
pub use checking::{Busy, Checker};
pub use credentials::credentials;
pub use hashed::Hashed;
pub use known::Known;
