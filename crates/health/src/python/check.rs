// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::{Pace, delegate_pace, pace};
use crate::verdict::of_function;
use serde_json::json;
use tidegate_contract::{Check, Heard, Probe, Verdict};

/// Calls a `@health_check` in a function worker.
#[derive(Clone, Debug)]
pub struct PythonCheck {
    pace: Pace,
    function: String,
}

impl PythonCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            pace: pace!(settings).map_err(|error| format!("python: {error}"))?,
            function: settings.function.clone(),
        })
    }
}

impl Check for PythonCheck {
    delegate_pace!();

    fn probe(&self, address: &str) -> Probe {
        Probe::Function {
            function: self.function.clone(),
            body: json!({"address": address}).to_string().into_bytes(),
        }
    }

    fn judge(&self, heard: Heard<'_>) -> Verdict {
        of_function(heard)
    }
}
