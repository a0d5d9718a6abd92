// SPDX-License-Identifier: Apache-2.0
use super::plan::UserPlan;
use crate::snapshot::{Pace, Snapshot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tidegate_core::Moment;
use tidegate_telemetry::Gauge;

/// Users that get a label of their own.
const USERS: usize = 1000;

/// What one user does. Outlives snapshots.
#[derive(Default)]
pub(crate) struct UserCounts {
    busy: AtomicU32,
    begun: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
    pace: Pace,
    pub(super) inwards: Meter,
    pub(super) outwards: Meter,
    held_back_us: AtomicU64,
}

/// When all bytes that have moved so far are due at some rate, in microseconds of the node's clock.
#[derive(Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn due(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }

    /// Adds `bytes` that moved at `now`, at `rate` bytes a second; when they are due.
    pub(super) fn charge(&self, now: Moment, rate: u64, bytes: u64) -> Moment {
        let each = bytes.saturating_mul(1_000_000) / rate.max(1);
        let after = |due: u64| due.max(now.0).saturating_add(each);
        let add = |due| Some(after(due));
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        Moment(after(before.unwrap_or_else(|due| due)))
    }
}

impl UserCounts {
    /// Bytes were held back for so many microseconds.
    pub(super) fn held_back(&self, micros: u64) {
        self.held_back_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// One more was refused: by the rules, or for want of a place.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes both ways of one that is over.
    pub(crate) fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A tunnel or a request under way, counted at its user.
pub(crate) struct Busy(Arc<UserCounts>);

impl Busy {
    /// Counts one, unless the user has as many as he may.
    pub(crate) fn begin(user: &UserPlan, now: Moment) -> Option<Self> {
        let (limits, counts) = (&user.limits, &user.counts);
        let before = counts.busy.fetch_add(1, Ordering::Relaxed);
        let busy = Self(counts.clone());
        if limits.connections.is_some_and(|most| before >= most) {
            return None;
        }
        if let Some(rate) = limits.rate
            && !counts.pace.take(now, rate, limits.burst)
        {
            return None;
        }
        counts.begun.fetch_add(1, Ordering::Relaxed);
        Some(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For `/metrics`, those of one name together.
pub(crate) fn gauges(snapshot: &Snapshot, gauges: &mut Vec<Gauge>) {
    let users = snapshot.listeners.iter().flat_map(|listener| {
        let egress = listener.egress.iter();
        let users = egress.flat_map(|egress| egress.users.iter());
        users.map(|user| (listener.name.clone(), user))
    });
    let users: Vec<_> = users.take(USERS).collect();
    let whole = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    type Read<'a> = &'a dyn Fn(&UserCounts) -> f64;
    let all: [(&'static str, Read<'_>); 5] = [
        ("tidegate_proxy_user_exchanges", &|counts| {
            f64::from(counts.busy.load(Ordering::Relaxed))
        }),
        ("tidegate_proxy_user_exchanges_total", &|counts| {
            whole(&counts.begun)
        }),
        ("tidegate_proxy_user_refused_total", &|counts| {
            whole(&counts.refused)
        }),
        ("tidegate_proxy_user_bytes_total", &|counts| {
            whole(&counts.bytes)
        }),
        ("tidegate_proxy_user_held_back_seconds_total", &|counts| {
            whole(&counts.held_back_us) / 1e6
        }),
    ];
    for (name, read) in all {
        for (listener, user) in &users {
            gauges.push(Gauge {
                name,
                labels: vec![
                    ("listener", listener.to_string()),
                    ("user", user.name.to_string()),
                ],
                value: read(&user.counts),
            });
        }
    }
}
