// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the engine's monotonic clock: microseconds since the process took its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Microseconds from `earlier` to this moment; 0 when `earlier` is later.
    #[inline]
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment less `millis` milliseconds; the beginning of time when that is not long ago enough.
    #[inline]
    pub fn before_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis.saturating_mul(1000)))
    }

    /// This moment plus `millis` milliseconds; the end of time when that overflows.
    #[inline]
    pub fn after_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// This moment plus `micros` microseconds; the end of time when that overflows.
    #[inline]
    pub fn after_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Whole milliseconds since the origin.
    #[inline]
    pub fn millis(self) -> u64 {
        self.0 / 1000
    }
}

/// The only source of time in the engine: the machine's clock, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin_micros: u64,
    fake: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The machine's monotonic clock. Wall time is taken once here and moved on by the monotonic
    /// clock, so a step of the wall clock never reaches a timer.
    #[allow(clippy::disallowed_methods)] // the one place that may read it
    pub fn system() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            origin: Instant::now(),
            wall_origin_micros: wall.as_micros() as u64,
            fake: None,
        }
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn fake() -> Self {
        Self {
            fake: Some(Arc::new(AtomicU64::new(0))),
            ..Self::system()
        }
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Moment {
        match &self.fake {
            None => Moment(self.origin.elapsed().as_micros() as u64),
            Some(micros) => Moment(micros.load(Ordering::Relaxed)),
        }
    }

    /// Moves a fake clock on by `millis`; a system clock moves by itself and ignores this.
    pub fn advance(&self, millis: u64) {
        if let Some(micros) = &self.fake {
            micros.fetch_add(millis.saturating_mul(1000), Ordering::Relaxed);
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z at `moment`.
    #[inline]
    pub fn wall_micros(&self, moment: Moment) -> u64 {
        self.wall_origin_micros.saturating_add(moment.0)
    }

    /// The machine's instant for `moment`, for timers of the runtime.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.origin + Duration::from_micros(moment.0)
    }
}
