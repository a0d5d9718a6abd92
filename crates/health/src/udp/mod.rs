// SPDX-License-Identifier: Apache-2.0
//! An endpoint is well if it answers a datagram.

mod check;
mod config;
#[cfg(test)]
mod tests;

pub use check::UdpCheck;
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
        serde_json::from_str(settings.get()).map_err(|error| format!("udp: {error}"))?;
    Ok(Arc::new(UdpCheck::new(&settings)?))
}
