// SPDX-License-Identifier: Apache-2.0
use tidegate_config::Millis;

/// How often an endpoint is probed, and how many probes settle it: what all checks have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) interval: Millis,
    pub(crate) timeout: Millis,
    pub(crate) healthy_after: u8,
    pub(crate) unhealthy_after: u8,
}

impl Pace {
    /// Refuses what would probe without a pause, wait for nothing or settle on no probe at all.
    ///
    /// # Errors
    /// The name of the setting that is 0, and what to write instead.
    pub(crate) fn checked(self) -> Result<Self, String> {
        let settings = [
            ("interval", self.interval.0, "a time such as `5s`"),
            ("timeout", self.timeout.0, "a time such as `2s`"),
            ("healthy_after", self.healthy_after.into(), "at least 1"),
            ("unhealthy_after", self.unhealthy_after.into(), "at least 1"),
        ];
        match settings.iter().find(|(_, value, _)| *value == 0) {
            Some((name, _, instead)) => Err(format!("`{name}` is 0; write {instead}")),
            None => Ok(self),
        }
    }
}
