// SPDX-License-Identifier: Apache-2.0
//! A client's requests all go to one endpoint.

mod balancer;
mod config;
#[cfg(test)]
mod tests;

pub use balancer::IpHash;
pub use config::Settings;

use crate::by_key::ByKey;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room, or an address has no such prefix.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("ip_hash: {error}"))?;
    Ok(Arc::new(ByKey(IpHash::new(&settings)?)))
}
