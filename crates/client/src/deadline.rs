// SPDX-License-Identifier: Apache-2.0
use std::io;
use std::time::{Duration, Instant};
use tidegate_core::{Clock, Moment};

/// Until when there must be an answer.
pub(crate) struct Deadline {
    clock: Clock,
    end: Moment,
    patience: Duration,
}

impl Deadline {
    pub(crate) fn new(patience: Duration) -> Self {
        let clock = Clock::system();
        let micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        Self {
            end: clock.now().after_micros(micros),
            clock,
            patience,
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant(self.clock.now())
    }

    /// What is left, never nothing, which a socket would take for no end at all.
    pub(crate) fn left(&self) -> Result<Duration, String> {
        match self.end.micros_since(self.clock.now()) {
            0 => Err(format!("no answer within {:?}", self.patience)),
            micros => Ok(Duration::from_micros(micros)),
        }
    }
}

/// Whether a socket's time was over, which systems tell in two ways.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
