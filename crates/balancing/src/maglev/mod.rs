// SPDX-License-Identifier: Apache-2.0
//! Each key goes to the endpoint that a Maglev table names.

mod balancer;
mod config;
#[cfg(test)]
mod tests;

pub use balancer::Maglev;
pub use config::Settings;

use crate::by_key::ByKey;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Balancer;

/// Builds the balancer from its settings.
///
/// # Errors
/// The settings are not those of this room, or the size of the table is no prime it can have.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Balancer>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("maglev: {error}"))?;
    Ok(Arc::new(ByKey(Maglev::new(&settings)?)))
}
