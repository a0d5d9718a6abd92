// SPDX-License-Identifier: Apache-2.0
//! Endpoints learn who calls.

mod config;
mod filter;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::ForwardIdentity;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or have a part that cannot be read.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings = serde_json::from_str(settings.get())
        .map_err(|error| format!("forward_identity: {error}"))?;
    Ok(Arc::new(
        ForwardIdentity::new(settings).map_err(|error| format!("forward_identity: {error}"))?,
    ))
}
