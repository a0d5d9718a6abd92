// SPDX-License-Identifier: Apache-2.0
//! Fields of responses on their way to the client are removed, set and added.

mod config;
mod filter;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::ResponseHeaders;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or name a field that no policy may touch.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings = serde_json::from_str(settings.get())
        .map_err(|error| format!("response_headers: {error}"))?;
    Ok(Arc::new(ResponseHeaders::new(settings)?))
}
