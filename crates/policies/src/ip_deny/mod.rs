// SPDX-License-Identifier: Apache-2.0
//! Clients of these addresses get a 403.

mod config;
mod filter;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::IpDeny;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room, or name what is no network.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("ip_deny: {error}"))?;
    Ok(Arc::new(IpDeny::new(&settings)?))
}
