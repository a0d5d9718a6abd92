// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use super::exchange::Exchange;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Exchanges that wait for a thread. The node bounds how many there are.
#[derive(Default)]
pub(super) struct Pool {
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Exchange>>,
    is_closed: bool,
}

impl Pool {
    /// Puts an exchange behind the others.
    pub(super) fn add(&self, exchange: Arc<Exchange>) {
        lock(&self.queue).waiting.push_back(exchange);
        self.ready.notify_one();
    }

    /// Waits for the next one, without the GIL; `None` once the pool is closed and empty.
    pub(super) fn take(&self) -> Option<Arc<Exchange>> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(exchange) = queue.waiting.pop_front() {
                return Some(exchange);
            }
            if queue.is_closed {
                return None;
            }
            queue = self
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the threads end once nothing waits.
    pub(super) fn close(&self) {
        lock(&self.queue).is_closed = true;
        self.ready.notify_all();
    }
}
