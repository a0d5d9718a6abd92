// SPDX-License-Identifier: Apache-2.0
use super::seats::Found;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use tidegate_config::Function;
use tidegate_core::{Moment, Padded};
use tokio::sync::Notify;

/// Milliseconds that the workers of a start have until they are ready.
const STARTUP_MS: u64 = 10_000;

/// A function as the engine calls it.
pub(crate) struct FunctionPlan {
    pub(crate) name: Arc<str>,
    pub(crate) config: Function,
    workers: Arc<Workers>,
}

/// Calls of a policy under way, by worker, for the whole node. A function's are counted by its
/// backend.
struct Workers {
    in_flight: Vec<Padded<AtomicU32>>,
    /// Where the next search begins, so that equals take turns.
    next: AtomicUsize,
    room: Notify,
    /// When they were first named.
    since: Moment,
    /// Whether any of them ever took calls.
    was_ready: AtomicBool,
}

/// A call counted at a worker for as long as it is under way.
pub(crate) struct Seat {
    workers: Arc<Workers>,
    index: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.workers.in_flight.get(self.index) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        self.workers.room.notify_one();
    }
}

impl FunctionPlan {
    /// `before` is the same function in the snapshot before this one: its calls still count.
    pub(crate) fn build(name: &str, config: Function, before: Option<&Self>, now: Moment) -> Self {
        let workers = before
            .filter(|before| before.config.workers == config.workers)
            .map_or_else(
                || {
                    Arc::new(Workers {
                        in_flight: config.workers.iter().map(|_| Padded::default()).collect(),
                        next: AtomicUsize::new(0),
                        room: Notify::new(),
                        since: now,
                        was_ready: AtomicBool::new(false),
                    })
                },
                |before| before.workers.clone(),
            );
        Self {
            name: name.into(),
            config,
            workers,
        }
    }

    /// A seat at the least busy of the workers that `ready` gives something for, with what it gave.
    pub(crate) fn take<L>(&self, ready: impl Fn(&str) -> Option<L>) -> Found<(L, Seat)> {
        let count = self.config.workers.len();
        let first = self.workers.next.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let mut best: Option<(usize, u32, L)> = None;
        let mut is_any_ready = false;
        let workers = self.config.workers.iter().zip(&self.workers.in_flight);
        for (index, (path, in_flight)) in workers.enumerate().cycle().skip(first).take(count) {
            let busy = in_flight.load(Ordering::Relaxed);
            let is_better = best.as_ref().is_none_or(|(_, least, _)| busy < *least);
            if is_any_ready && !(is_better && busy < self.config.concurrency) {
                continue;
            }
            let Some(link) = ready(path) else { continue };
            is_any_ready = true;
            if busy < self.config.concurrency {
                best = Some((index, busy, link));
            }
        }
        let Some((index, _, link)) = best else {
            return match is_any_ready {
                true => Found::Busy,
                false => Found::Nobody,
            };
        };
        // Two threads may both take the last seat: one call more for a moment.
        if let Some(in_flight) = self.workers.in_flight.get(index) {
            in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let seat = Seat {
            workers: self.workers.clone(),
            index,
        };
        Found::Seat((link, seat))
    }

    /// A worker takes calls: the time of the start is over.
    pub(crate) fn note_ready(&self) {
        if !self.workers.was_ready.load(Ordering::Relaxed) {
            self.workers.was_ready.store(true, Ordering::Relaxed);
        }
    }

    /// Until when a call that comes at `now` waits for a worker that is ready. One that died is
    /// started again by its supervisor, ever later; workers that were never ready have just been
    /// started, and their code takes as long to load as it takes.
    pub(crate) fn ready_until(&self, now: Moment) -> Moment {
        let pending = now.after_millis(self.config.pending.0);
        match self.workers.was_ready.load(Ordering::Relaxed) {
            true => pending,
            false => pending.max(self.workers.since.after_millis(STARTUP_MS)),
        }
    }

    /// Told when a seat becomes free.
    pub(crate) fn room(&self) -> &Notify {
        &self.workers.room
    }
}
