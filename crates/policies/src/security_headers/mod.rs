// SPDX-License-Identifier: Apache-2.0
//! Fields of responses that tell browsers what not to do with them.

mod config;
mod filter;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::SecurityHeaders;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or hold what may not stand in a field.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings = serde_json::from_str(settings.get())
        .map_err(|error| format!("security_headers: {error}"))?;
    Ok(Arc::new(SecurityHeaders::new(settings)?))
}
