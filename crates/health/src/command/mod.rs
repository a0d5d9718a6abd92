// SPDX-License-Identifier: Apache-2.0
//! An endpoint is well if a command ends with code 0.

mod check;
mod config;
#[cfg(test)]
mod tests;

pub use check::CommandCheck;
pub use config::Settings;

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Check;

/// Builds the check from its settings.
///
/// # Errors
/// The settings are not those of this room.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Check>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("command: {error}"))?;
    Ok(Arc::new(CommandCheck::new(&settings)?))
}
