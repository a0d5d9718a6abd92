// SPDX-License-Identifier: Apache-2.0
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::Moment;

/// What health checks say of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// No check is configured, or none has finished: counts as healthy.
    Unchecked = 0,
    /// The last checks passed.
    Up = 1,
    /// The last checks failed.
    Down = 2,
}

/// A multiplier of weights: 0 to [`Factor::MOST`] in steps of 1/1024; 1 unless something is set.
#[derive(Debug)]
pub struct Factor(AtomicU32);

impl Factor {
    /// The steps in 1.
    pub const ONE: u32 = 1024;
    /// The greatest, in steps: 1000.
    pub const MOST: u32 = 1000 * Self::ONE;

    /// In steps of 1/1024.
    #[inline]
    pub fn steps(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// As a number.
    pub fn get(&self) -> f64 {
        f64::from(self.steps()) / f64::from(Self::ONE)
    }

    /// Sets the nearest step to `factor`, within the bounds; above 0 it stays above 0. What is no
    /// number counts as 1. Returns whether that changed anything.
    pub fn set(&self, factor: f64) -> bool {
        let factor = if factor.is_nan() { 1.0 } else { factor };
        let steps = (factor * f64::from(Self::ONE)).round();
        let least = u32::from(factor > 0.0);
        let steps = (steps.clamp(0.0, f64::from(Self::MOST)) as u32).max(least);
        self.0.swap(steps, Ordering::Relaxed) != steps
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self(AtomicU32::new(Self::ONE))
    }
}

/// A number that grows old: the value and when it was last told, in milliseconds of the engine's
/// clock; 0 is never. Threads may lose each other's update, which an average can bear.
#[derive(Debug, Default)]
pub struct Average {
    value: AtomicU64,
    at: AtomicU64,
}

impl Average {
    /// The value and the milliseconds of its last update; `None` before the first.
    #[inline]
    pub fn get(&self) -> Option<(f64, u64)> {
        match self.at.load(Ordering::Relaxed) {
            0 => None,
            at => Some((f64::from_bits(self.value.load(Ordering::Relaxed)), at)),
        }
    }

    /// Sets the value as of `now`.
    #[inline]
    pub fn set(&self, value: f64, now: Moment) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.at.store(now.millis().max(1), Ordering::Relaxed);
    }

    /// How much of the value is still old after `time_constant_ms`: e^(-age / time constant).
    #[inline]
    pub fn kept(at: u64, now: Moment, time_constant_ms: u64) -> f64 {
        let age = now.millis().saturating_sub(at) as f64;
        (-age / time_constant_ms.max(1) as f64).exp()
    }
}

/// What the whole node knows of one endpoint, shared by its threads. It outlives snapshots.
///
/// Alone on its cache lines: every request writes here. In the order of its fields, so that what
/// every choice reads lies in the first line.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct EndpointState {
    /// Requests sent and not yet answered in full.
    pub in_flight: AtomicU32,
    /// What the weight is multiplied by just now: slow start, reported load and computed weight.
    pub factor: Factor,
    health: AtomicU8,
    /// Milliseconds of the engine's clock until which passive health keeps it out; 0 is never.
    pub excluded_until: AtomicU64,
    /// Failures since the last success.
    pub failures: AtomicU32,
    /// Open connections, idle ones included.
    pub connections: AtomicU32,
    /// Requests ever sent.
    pub requests: AtomicU64,
    /// Failures ever seen.
    pub failures_total: AtomicU64,
    /// Milliseconds of the engine's clock at which it was new or came back; 0 is long ago.
    pub since: AtomicU64,
    /// How long it takes to answer, in microseconds; kept by balancers that ask for it.
    pub latency: Average,
    /// The load that it reports.
    pub load: Average,
    /// Exclusions in a row, forgiven with time: the next one takes so many times as long.
    pub exclusions: AtomicU32,
    /// Exclusions ever.
    pub excluded_total: AtomicU64,
    /// Answers that were timed, where they are.
    pub answers: AtomicU64,
    /// What they took in all, in microseconds.
    pub answers_us: AtomicU64,
    /// The part of `factor` that was computed outside of the node.
    pub computed: Factor,
    /// Why the last check failed; empty where it passed. Nobody reads it on a request's way.
    failing: Mutex<String>,
}

impl EndpointState {
    /// What the checks say.
    #[inline]
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::Unchecked,
        }
    }

    /// Notes that it came back at `now`: slow start counts from here.
    pub fn returned(&self, now: Moment) {
        self.since.store(now.millis().max(1), Ordering::Relaxed);
    }

    /// Why the last check failed; empty where it passed or there was none.
    pub fn failing(&self) -> String {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.clone()
    }

    /// Notes what the last check said; empty where it passed.
    pub fn note_failing(&self, why: &str) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if *failing != why {
            why.clone_into(&mut failing);
        }
    }

    /// Sets what the checks say.
    pub fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// Takes it in again before the end of an exclusion, `until` being that end; false when it was
    /// excluded anew meanwhile.
    pub fn readmit(&self, until: u64) -> bool {
        let order = Ordering::Relaxed;
        let is_same = self.excluded_until.compare_exchange(until, 0, order, order);
        if is_same.is_ok() {
            self.failures.store(0, order);
        }
        is_same.is_ok()
    }

    /// Whether passive health keeps it out at `now`.
    #[inline]
    pub fn is_excluded(&self, now: Moment) -> bool {
        let until = self.excluded_until.load(Ordering::Relaxed);
        until != 0 && now.millis() < until
    }
}

impl Endpoint {
    /// The weight as it is just now, in steps of 1/1024; 0 if it should take nothing.
    #[inline]
    pub fn effective_weight(&self) -> u64 {
        u64::from(self.weight) * u64::from(self.state.factor.steps())
    }
}

/// One address of one running server, with its state.
#[derive(Debug)]
pub struct Endpoint {
    /// `IP:port`, `[IPv6]:port`, `name:port` or `unix:/path`.
    pub address: String,
    /// Where it stands, if that is known.
    pub zone: Option<String>,
    /// 0 is wanted first; others only as far as those before cannot carry the load.
    pub priority: u8,
    /// Its share relative to its neighbours; 0 takes no new requests.
    pub weight: u32,
    /// Whether it finishes what it has and takes nothing new.
    pub is_draining: bool,
    /// Who named it: `configuration`, `operator`, a kind of discovery, ...
    pub source: String,
    /// Shared by every snapshot that has this address in this backend.
    pub state: Arc<EndpointState>,
}
