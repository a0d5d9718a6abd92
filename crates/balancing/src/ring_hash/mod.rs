// SPDX-License-Identifier: Apache-2.0
//! Each key goes to the next endpoint on a ring that is not overloaded.

mod balancer;
mod config;
mod ring;
#[cfg(test)]
mod tests;

pub use balancer::RingHash;
pub use config::Settings;

use crate::by_key::ByKey;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room, or out of bounds.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("ring_hash: {error}"))?;
    Ok(Arc::new(ByKey(RingHash::new(&settings)?)))
}
