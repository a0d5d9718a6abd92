// SPDX-License-Identifier: Apache-2.0
//! JSON Web Tokens as a resource server reads them: sets of keys (RFC 7517), signatures (RFC 7515,
//! RFC 7518, RFC 8037) and claims (RFC 7519), with the advice of RFC 8725.
//!
//! - The key decides which algorithms may be used with it, and whoever verifies names those he takes:
//!   a public key is never a secret of HMAC, and `none` has no name here.
//! - What the header says of keys (`jku`, `jwk`, `x5u`, `x5c`) is not read. `crit` is refused, as no
//!   extension is known.
//! - A member that occurs twice is refused: two readers would differ.
//!
//! It makes no tokens, decrypts none (JWE), and fetches nothing. Start with [`Token`] and [`KeySet`].
#![forbid(unsafe_code)]

mod algorithm;
mod base64url;
mod claims;
mod json;
mod key;
mod key_set;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

pub use algorithm::{Algorithm, Algorithms};
pub use claims::{Claims, Expected};
pub use json::object;
pub use key_set::{KeySet, MOST_KEYS};
pub use refusal::Refusal;
pub use token::{MOST_BYTES, Token};
