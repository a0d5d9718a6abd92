// SPDX-License-Identifier: Apache-2.0
//! A limit of requests in flight that follows the latency: where it rises above what the backend
//! takes when idle, requests wait in line there, and fewer are sent.
//!
//! The gradient of Netflix's concurrency-limits and Envoy's adaptive concurrency filter: the limit
//! is multiplied by idle latency over present latency, and grows by its square root, so that it
//! looks for more. The idle latency is measured again from time to time with few in flight.
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tidegate_config::AdaptiveConcurrency;
use tidegate_core::Moment;

/// The bounds of one step.
const LEAST_GRADIENT: f64 = 0.5;
const MOST_GRADIENT: f64 = 2.0;
/// Answers that a window needs to say anything; it goes on until it has them.
const LEAST_SAMPLES: u32 = 5;

/// What the limit is made from. Pure: time comes in by hand.
#[derive(Debug)]
pub(crate) struct Gradient {
    settings: AdaptiveConcurrency,
    limit: f64,
    /// What an answer takes with few in flight, in microseconds.
    idle_us: Option<f64>,
    measured: Moment,
    /// While measuring: the limit before.
    before: Option<f64>,
}

impl Gradient {
    pub(crate) fn new(settings: &AdaptiveConcurrency, now: Moment) -> Self {
        let least = f64::from(settings.least);
        Self {
            settings: settings.clone(),
            limit: least,
            idle_us: None,
            measured: now,
            before: Some(least),
        }
    }

    /// A window is over in which answers took `mean_us` and at most `peak` requests were in flight;
    /// tells the limit from now on.
    pub(crate) fn step(&mut self, now: Moment, mean_us: f64, peak: u32) -> u32 {
        if let Some(before) = self.before.take() {
            self.idle_us = Some(mean_us.max(1.0));
            self.measured = now;
            self.limit = before;
            return self.rounded();
        }
        let idle_us = self.idle_us.unwrap_or(mean_us).min(mean_us).max(1.0);
        self.idle_us = Some(idle_us);
        let tolerance = f64::from(self.settings.tolerance_percent) / 100.0;
        let gradient =
            (idle_us * tolerance / mean_us.max(1.0)).clamp(LEAST_GRADIENT, MOST_GRADIENT);
        let fresh = self.limit * gradient + self.limit.sqrt();
        // What was not used says nothing of what could be.
        let is_used = f64::from(peak) * 2.0 >= self.limit;
        if fresh < self.limit || is_used {
            self.limit = fresh;
        }
        let (least, most) = (self.settings.least, self.settings.most);
        self.limit = self
            .limit
            .clamp(f64::from(least), f64::from(most.max(least)));
        if now >= self.measured.after_millis(self.settings.measure_every.0) {
            // What waits in line drains within a window or two, and the next one measures.
            self.before = Some(self.limit);
            self.limit = f64::from(least);
        }
        self.rounded()
    }

    fn rounded(&self) -> u32 {
        self.limit.round().max(1.0) as u32
    }
}

/// The limit of a backend, fed by every thread.
#[derive(Debug)]
pub(crate) struct Adaptive {
    limit: AtomicU32,
    sum_us: AtomicU64,
    samples: AtomicU32,
    peak: AtomicU32,
    /// When the window ends, in microseconds.
    ends: AtomicU64,
    window_us: u64,
    gradient: Mutex<Gradient>,
}

impl Adaptive {
    pub(crate) fn new(settings: &AdaptiveConcurrency, now: Moment) -> Self {
        let window_us = settings.window.0.saturating_mul(1000);
        Self {
            limit: AtomicU32::new(settings.least),
            sum_us: AtomicU64::new(0),
            samples: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            ends: AtomicU64::new(now.0.saturating_add(window_us)),
            window_us,
            gradient: Mutex::new(Gradient::new(settings, now)),
        }
    }

    /// Requests that may be in flight at the backend.
    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// What an answer takes with few in flight, in microseconds; 0 before it was measured.
    pub(crate) fn idle_us(&self) -> u64 {
        let gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        gradient.idle_us.unwrap_or_default() as u64
    }

    /// An answer came `latency_us` after its request was sent, with `in_flight` at the backend.
    /// Returns true when the limit rose: others may go on.
    pub(crate) fn observe(&self, now: Moment, latency_us: u64, in_flight: u32) -> bool {
        self.sum_us.fetch_add(latency_us, Ordering::Relaxed);
        self.peak.fetch_max(in_flight, Ordering::Relaxed);
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        if now.0 < self.ends.load(Ordering::Relaxed) || samples < LEAST_SAMPLES {
            return false;
        }
        let Ok(mut gradient) = self.gradient.try_lock() else {
            return false;
        };
        let count = self.samples.swap(0, Ordering::Relaxed);
        let sum = self.sum_us.swap(0, Ordering::Relaxed);
        let peak = self.peak.swap(0, Ordering::Relaxed);
        if count < LEAST_SAMPLES {
            return false;
        }
        let fresh = gradient.step(now, sum as f64 / f64::from(count), peak);
        self.ends
            .store(now.0.saturating_add(self.window_us), Ordering::Relaxed);
        self.limit.swap(fresh, Ordering::Relaxed) < fresh
    }
}

#[cfg(test)]
mod tests;
