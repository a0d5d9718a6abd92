// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use super::exchange::Exchange;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Exchanges that wait for a thread. The node bounds how many there are.
pub(super) struct Pool {
    queue: Mutex<Queue>,
    ready: Condvar,
    most: u32,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Exchange>>,
    threads: u32,
    idle: u32,
    is_closed: bool,
}

impl Pool {
    /// A pool of up to `most` threads, which are started as they are needed.
    pub(super) fn new(most: u32) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Condvar::new(),
            most,
        }
    }

    /// Puts an exchange behind the others. Answers the number of the thread to start for it, if
    /// none is free and more are allowed.
    pub(super) fn add(&self, exchange: Arc<Exchange>) -> Option<u32> {
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(exchange);
        if queue.waiting.len() > queue.idle as usize && queue.threads < self.most {
            queue.threads += 1;
            return Some(queue.threads);
        }
        drop(queue);
        self.ready.notify_one();
        None
    }

    /// A thread could not be started. Answers how many there are.
    pub(super) fn failed(&self) -> u32 {
        let mut queue = lock(&self.queue);
        queue.threads = queue.threads.saturating_sub(1);
        queue.threads
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

            queue.idle += 1;
            queue = self
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    /// Lets the threads end once nothing waits.
    pub(super) fn close(&self) {
        lock(&self.queue).is_closed = true;
        self.ready.notify_all();
    }
}
