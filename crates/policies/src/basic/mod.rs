// SPDX-License-Identifier: Apache-2.0
//! Requests show a user's name and password.

mod config;
mod filter;
#[cfg(test)]
mod tests;
mod users;

pub use config::Settings;
pub use filter::Basic;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("basic: {error}"))?;
    let made = Basic::new(settings).map_err(|error| format!("basic: {error}"))?;
    Ok(Arc::new(made))
}
