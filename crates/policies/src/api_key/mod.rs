// SPDX-License-Identifier: Apache-2.0
//! Requests show a key, which tells who calls.

mod checked;
mod config;
mod filter;
mod table;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::ApiKey;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("api_key: {error}"))?;
    let made = ApiKey::new(settings).map_err(|error| format!("api_key: {error}"))?;
    Ok(Arc::new(made))
}
