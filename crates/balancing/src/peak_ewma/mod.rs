// SPDX-License-Identifier: Apache-2.0
//! Each request goes to the one of two endpoints that should answer sooner.

mod balancer;
mod config;
#[cfg(test)]
mod tests;

pub use balancer::PeakEwma;
pub use config::Settings;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room, or `decay` is 0.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("peak_ewma: {error}"))?;
    Ok(Arc::new(PeakEwma::new(&settings)?))
}
