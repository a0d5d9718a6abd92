// SPDX-License-Identifier: Apache-2.0
//! Only clients of these addresses come in; others get a 403.

mod config;
mod filter;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::IpAllow;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or name what is no network.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("ip_allow: {error}"))?;
    Ok(Arc::new(IpAllow::new(&settings)?))
}
