// SPDX-License-Identifier: Apache-2.0
//! Which pages of other sites may ask, and what they may send and read: CORS, as the Fetch standard has it.
//!
//! [`CorsPlan`] is what the policy, and routes of gRPC-Web, tell browsers.

mod config;
mod filter;
mod origin;
mod plan;
#[cfg(test)]
mod tests;

pub use config::Settings;
pub use filter::Cors;
pub use origin::is_listed_origin;
pub use plan::{CorsPlan, Terms, Told, asked_method};

use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_contract::Filter;

/// Builds the filter from the policy's settings.
///
/// # Errors
/// The settings are not those of this room.
pub fn build(settings: &RawValue) -> Result<Arc<dyn Filter>, String> {
    let settings: Settings =
        serde_json::from_str(settings.get()).map_err(|error| format!("cors: {error}"))?;
    Ok(Arc::new(Cors::new(settings)?))
}
