// SPDX-License-Identifier: Apache-2.0
//! Each request goes to the endpoint that is the least busy of all.

mod balancer;
mod config;
#[cfg(test)]
mod tests;

pub use balancer::LeastConnections;
pub use config::Settings;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let Settings {} = serde_json::from_str(settings.get())
        .map_err(|error| format!("least_connections: {error}"))?;
    Ok(Arc::new(LeastConnections))
}
