// SPDX-License-Identifier: Apache-2.0
//! Each request goes to the least busy of a few endpoints drawn at random.

mod balancer;
mod config;
#[cfg(test)]
mod tests;

pub use balancer::LeastRequest;
pub use config::Settings;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room, or `choices` is not 2 to 8.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("least_request: {error}"))?;
    Ok(Arc::new(LeastRequest::new(&settings)?))
}
