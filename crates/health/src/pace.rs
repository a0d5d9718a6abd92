// SPDX-License-Identifier: Apache-2.0
use tidegate_config::Millis;

/// The pace of a room's settings, all of which have these.
macro_rules! pace {
    ($settings:expr) => {
        $crate::pace::Pace {
            interval: $settings.interval,
            quick_interval: $settings.quick_interval,
            timeout: $settings.timeout,
            healthy_after: $settings.healthy_after,
            unhealthy_after: $settings.unhealthy_after,
        }
        .checked()
    };
}
pub(crate) use pace;

/// What [`tidegate_contract::Check`] asks of every room's pace.
macro_rules! delegate_pace {
    () => {
        fn interval_ms(&self) -> u64 {
            self.pace.interval.0
        }

        fn quick_interval_ms(&self) -> u64 {
            self.pace.quick_interval.0.min(self.pace.interval.0)
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
    };
}
pub(crate) use delegate_pace;

/// How often an endpoint is probed, and how many probes settle it: what all checks have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) interval: Millis,
    pub(crate) quick_interval: Millis,
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
            (
                "quick_interval",
                self.quick_interval.0,
                "a time such as `1s`",
            ),
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
