// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tidegate_config::Function;
use tidegate_core::Padded;
use tokio::sync::Notify;

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
    pub(crate) fn build(name: &str, config: Function, before: Option<&Self>) -> Self {
        let workers = before
            .filter(|before| before.config.workers == config.workers)
            .map_or_else(
                || {
                    Arc::new(Workers {
                        in_flight: config.workers.iter().map(|_| Padded::default()).collect(),
                        next: AtomicUsize::new(0),
                        room: Notify::new(),
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

    /// The path of the least busy worker with room, and a seat there; `None` when all are full.
    pub(crate) fn take(&self) -> Option<(&str, Seat)> {
        let count = self.config.workers.len();
        let first = self.workers.next.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let mut best: Option<(usize, u32)> = None;
        for offset in 0..count {
            let index = (first + offset) % count;
            let busy = self.workers.in_flight.get(index)?.load(Ordering::Relaxed);
            if busy < self.config.concurrency && best.is_none_or(|(_, least)| busy < least) {
                best = Some((index, busy));
            }
        }
        let (index, _) = best?;
        // Two threads may both take the last seat: one call more for a moment.
        self.workers
            .in_flight
            .get(index)?
            .fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            workers: self.workers.clone(),
            index,
        };
        Some((self.config.workers.get(index)?, seat))
    }

    /// Told when a seat becomes free.
    pub(crate) fn room(&self) -> &Notify {
        &self.workers.room
    }
}
