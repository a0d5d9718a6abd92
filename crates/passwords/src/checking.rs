// SPDX-License-Identifier: Apache-2.0
use crate::Hashed;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;

/// Passwords that may wait for their check, of one whom they are shown to; who comes then is told to come again.
const WAITING: u32 = 64;

/// Passwords that are checked at a time in the process: what it takes, in time and memory, is meant to be much.
static CHECKING: Semaphore = Semaphore::const_new(2);

/// Checks passwords off the threads that others wait for, a few at a time.
#[derive(Debug, Default)]
pub struct Checker {
    waiting: AtomicU32,
}

/// Too many passwords wait for their check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Checker {
    /// Whether `hashed` is that of `password`. Dropped, a check that has begun goes on to its end, and has its
    /// turn until then: what it takes is taken.
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn is_of(&self, hashed: Arc<Hashed>, password: Vec<u8>) -> Result<bool, Busy> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Busy);
        }
        let _waits = Waits(self);
        let turn = CHECKING.acquire().await.map_err(|_| Busy)?;
        let check = move || {
            let is_right = hashed.is_of(&password);
            drop(turn);
            is_right
        };
        Ok(matches!(tokio::task::spawn_blocking(check).await, Ok(true)))
    }
}

struct Waits<'a>(&'a Checker);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
