// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::{Pace, delegate_pace, pace};
use crate::verdict::of_function;
use serde_json::json;
use tidegate_contract::{Check, Heard, Probe, Verdict};

/// The function that `compile.py` adds where a backend has this check.
const FUNCTION: &str = "tidegate.commands";

/// Has a function worker of tidegate's own run a command: the node starts no processes.
#[derive(Clone, Debug)]
pub struct CommandCheck {
    pace: Pace,
    command: Vec<String>,
}

impl CommandCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0, or there is no command.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        if settings.command.is_empty() {
            return Err("command: `command` is empty; write program and arguments".into());
        }
        Ok(Self {
            pace: pace!(settings).map_err(|error| format!("command: {error}"))?,
            command: settings.command.clone(),
        })
    }
}

/// Host and port of an address; a Unix socket's path is its host and it has no port.
fn parts(address: &str) -> (&str, &str) {
    match address.strip_prefix("unix:") {
        Some(path) => (path, ""),
        None => {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            (host.trim_start_matches('[').trim_end_matches(']'), port)
        }
    }
}

impl Check for CommandCheck {
    delegate_pace!();

    /// Each argument stays one argument, whatever the address is: there is no shell.
    fn probe(&self, address: &str) -> Probe {
        let (host, port) = parts(address);
        let fill = |text: &String| {
            text.replace("{address}", address)
                .replace("{host}", host)
                .replace("{port}", port)
        };
        let command: Vec<String> = self.command.iter().map(fill).collect();
        Probe::Function {
            function: FUNCTION.into(),
            body: json!({"command": command}).to_string().into_bytes(),
        }
    }

    fn judge(&self, heard: Heard<'_>) -> Verdict {
        of_function(heard)
    }
}
