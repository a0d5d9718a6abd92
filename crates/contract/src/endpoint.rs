// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
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

/// What the whole node knows of one endpoint, shared by its threads. It outlives snapshots.
///
/// Alone on its cache lines: every request writes here.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointState {
    /// Requests sent and not yet answered in full.
    pub in_flight: AtomicU32,
    /// Open connections, idle ones included.
    pub connections: AtomicU32,
    /// Failures since the last success.
    pub failures: AtomicU32,
    /// Requests ever sent.
    pub requests: AtomicU64,
    /// Failures ever seen.
    pub failures_total: AtomicU64,
    /// Milliseconds of the engine's clock until which passive health keeps it out; 0 is never.
    pub excluded_until: AtomicU64,
    health: AtomicU8,
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

/// One address of one running server, with its state.
#[derive(Debug)]
pub struct Endpoint {
    /// `IP:port`, `[IPv6]:port`, `name:port` or `unix:/path`.
    pub address: String,
    /// Where it stands, if that is known.
    pub zone: Option<String>,
    /// Its share relative to its neighbours; 0 takes no new requests.
    pub weight: u32,
    /// Whether it finishes what it has and takes nothing new.
    pub is_draining: bool,
    /// Who named it: `configuration`, `operator`, a kind of discovery, ...
    pub source: String,
    /// Shared by every snapshot that has this address in this backend.
    pub state: Arc<EndpointState>,
}
