// SPDX-License-Identifier: Apache-2.0
//! Lets in who brings a JSON Web Token. Start with [`Jwt`]; `places` finds the token, `issuer` has the keys,
//! `known` remembers what was verified.

mod claims;
mod config;
mod filter;
mod issuer;
mod known;
mod places;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::Jwt;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or have keys that cannot be read.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("jwt: {error}"))?;
    Ok(Arc::new(
        Jwt::new(settings).map_err(|error| format!("jwt: {error}"))?,
    ))
}
