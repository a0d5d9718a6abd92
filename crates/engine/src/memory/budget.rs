// SPDX-License-Identifier: Apache-2.0
use super::Reading;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// Percent of the limit from which new connections are refused, and below which they are welcome
/// again.
const REFUSES: u64 = 85;
const WELCOMES: u64 = 80;
/// Percent from which connections are closed, and how far down that goes.
const CLOSES: u64 = 93;
const ENOUGH: u64 = 88;

/// How near the node is to its limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// Nothing is the matter.
    Ample = 0,
    /// New connections are refused.
    Refuses = 1,
    /// Idle connections are closed as well, and then those that hold most.
    Closes = 2,
}

impl Level {
    /// The level at `reading` when it was this one before.
    pub(crate) fn next(self, reading: &Reading) -> Self {
        let percent = reading.percent();
        match self {
            _ if percent >= CLOSES => Self::Closes,
            Self::Closes if percent >= ENOUGH => Self::Closes,
            _ if percent >= REFUSES => Self::Refuses,
            Self::Refuses | Self::Closes if percent >= WELCOMES => Self::Refuses,
            _ => Self::Ample,
        }
    }

    /// What is done at this level, for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Refuses => "new connections are refused",
            Self::Closes => "new connections are refused, idle and large ones closed",
        }
    }
}

/// The level, for every thread to look at, and what it was judged by.
pub(crate) struct Budget {
    level: AtomicU8,
    /// Bytes that may still be taken before the next reading; the greatest number without a limit.
    room: AtomicI64,
    reading: Mutex<Option<Reading>>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            level: AtomicU8::new(Level::Ample as u8),
            room: AtomicI64::new(i64::MAX),
            reading: Mutex::new(None),
        }
    }

    /// Whether a request may take `bytes` more. Between two readings memory can grow by more than
    /// there is: what is taken counts at once, what is given back from the next reading on.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if room == i64::MAX {
            return true;
        }
        room > bytes && self.room.fetch_sub(bytes, Ordering::Relaxed) > bytes
    }

    #[inline]
    pub(crate) fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Ample,
            1 => Level::Refuses,
            _ => Level::Closes,
        }
    }

    /// Judges a new reading; `None` is no limit. Returns the new level.
    pub(crate) fn set(&self, reading: Option<Reading>) -> Level {
        let level = match &reading {
            Some(reading) => self.level().next(reading),
            None => Level::Ample,
        };
        let room = reading.as_ref().map_or(i64::MAX, |reading| {
            let most = reading.limit / 100 * CLOSES;
            i64::try_from(most.saturating_sub(reading.used)).unwrap_or(i64::MAX - 1)
        });
        self.room.store(room, Ordering::Relaxed);
        self.level.store(level as u8, Ordering::Relaxed);
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = reading;
        level
    }

    /// The last reading; `None` without a limit.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let reading = self.reading.lock();
        reading.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reading {
    /// Bytes to be given back before connections stop being closed; 0 below that level.
    pub(crate) fn excess(&self) -> u64 {
        match self.percent() >= CLOSES {
            true => self.used.saturating_sub(self.limit / 100 * ENOUGH),
            false => 0,
        }
    }

    /// Bytes to be given back before new connections are welcome again.
    pub(crate) fn unwelcome(&self) -> u64 {
        self.used.saturating_sub(self.limit / 100 * (WELCOMES - 1))
    }
}
