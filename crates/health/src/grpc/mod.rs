// SPDX-License-Identifier: Apache-2.0
//! An endpoint is well if its health service says that it serves.

mod answer;
mod check;
mod config;
#[cfg(test)]
mod tests;

pub use check::GrpcCheck;
pub use config::Settings;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Check;

/// Builds the check from its settings.
///
/// # Errors
/// The settings are not those of this room, or make no request that tidegate would take itself.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Check>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("grpc: {error}"))?;
    Ok(Arc::new(GrpcCheck::new(&settings)?))
}
