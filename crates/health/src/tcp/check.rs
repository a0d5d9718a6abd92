// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::Pace;
use tidegate_contract::{Check, Probe, Verdict};

/// Connects and sends nothing.
#[derive(Clone, Copy, Debug)]
pub struct TcpCheck {
    pace: Pace,
}

impl TcpCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let &Settings {
            interval,
            timeout,
            healthy_after,
            unhealthy_after,
        } = settings;
        let pace = Pace {
            interval,
            timeout,
            healthy_after,
            unhealthy_after,
        }
        .checked();
        Ok(Self {
            pace: pace.map_err(|error| format!("tcp: {error}"))?,
        })
    }
}

impl Check for TcpCheck {
    fn interval_ms(&self) -> u64 {
        self.pace.interval.0
    }

    fn timeout_ms(&self) -> u64 {
        self.pace.timeout.0
    }

    fn healthy_after(&self) -> u32 {
        self.pace.healthy_after.into()
    }

    fn unhealthy_after(&self) -> u32 {
        self.pace.unhealthy_after.into()
    }

    fn probe(&self, _address: &str) -> Probe {
        Probe::Connect
    }

    /// To be asked at all means that the endpoint accepted a connection.
    fn judge(&self, _status: Option<u16>) -> Verdict {
        Verdict::Healthy
    }
}
