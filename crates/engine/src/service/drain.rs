// SPDX-License-Identifier: Apache-2.0
//! The end of a node: it accepts no more, finishes what it has, and says what it had to cut.
use super::state::Service;
use crate::thread::Command;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tidegate_core::Moment;
use tokio::sync::{Notify, oneshot};

/// How long an idle connection is kept for the request that may be on its way, when the whole
/// gateway ends. After an upgrade the supervisor says how long: there, nothing presses.
const IDLE: Duration = Duration::from_millis(200);
/// How long before the deadline WebSockets are told that they end; of a short grace it is a tenth.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a node that has drained waits to be asked what it came to.
const FAREWELL: Duration = Duration::from_secs(3);

/// How a node is to end.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// What is not finished after so long is cut.
    pub(crate) grace: Duration,
    /// A kept connection is closed when no request has come on it for so long.
    pub(crate) idle: Duration,
    /// Whether another node accepts on the same sockets: what waits in their queues is its.
    pub(crate) has_heir: bool,
}

impl Wish {
    /// The end of the whole gateway.
    pub(crate) fn stop(grace: Duration) -> Self {
        Self {
            grace,
            idle: IDLE,
            has_heir: false,
        }
    }
}

/// How far the end has come.
#[derive(Default)]
pub(crate) struct Drain {
    wish: RefCell<Option<Wish>>,
    wished: Notify,
    deadline: Cell<Option<Moment>>,
    /// Connections cut, once it is over.
    outcome: Cell<Option<u64>>,
    told: Notify,
}

impl Drain {
    /// Asks for the end; asked again, the shorter grace counts.
    pub(crate) fn ask(&self, wish: Wish) {
        *self.wish.borrow_mut() = Some(wish);
        self.wished.notify_one();
    }

    pub(crate) async fn asked(&self) -> Wish {
        loop {
            self.wished.notified().await;
            if let Some(wish) = *self.wish.borrow() {
                return wish;
            }
        }
    }

    /// Whether it is over, so that the next answer is the last word.
    pub(crate) fn is_over(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Notes that somebody has had the last word.
    pub(crate) fn has_told(&self) {
        self.told.notify_one();
    }

    /// Waits until the outcome was asked for, or nobody can be expected to ask: only a supervisor
    /// that has started another node does.
    pub(crate) async fn farewell(&self) {
        if !self.wish.borrow().is_some_and(|wish| wish.has_heir) {
            return;
        }
        let _ = tokio::time::timeout(FAREWELL, self.told.notified()).await;
    }
}

impl Service {
    /// `connections` are those that are open, `left_ms` the time until they are cut; `cut` is null
    /// until it is over. Null as a whole for a node that accepts.
    pub(crate) fn drain_status(&self) -> Value {
        let Some(deadline) = self.drain.deadline.get() else {
            return Value::Null;
        };
        let left = deadline.micros_since(self.node.clock.now()) / 1000;
        json!({
            "connections": self.node.registry.connections(),
            "left_ms": left,
            "cut": self.drain.outcome.get(),
        })
    }

    /// Stops accepting and waits for what is under way.
    pub(crate) async fn drain(&self, mut wish: Wish) {
        // The threads close theirs. A copy left open here would keep the port listening with nobody
        // to accept: new clients would wait for the end of the drain, and then be reset.
        self.sockets
            .borrow_mut()
            .retain(|key, _| key.starts_with("worker:"));
        let begun = self.node.clock.now();
        // Kept ones are closed in good time: whatever is open at the deadline is at work.
        wish.idle = wish.idle.min(wish.grace / 2);
        let mut waits = Vec::new();
        for thread in &self.threads {
            let (done, wait) = oneshot::channel();
            if thread.send(Command::Drain(wish, done)).is_ok() {
                waits.push(wait);
            }
        }
        let all = async {
            for wait in waits {
                let _ = wait.await;
            }
        };
        let mut all = std::pin::pin!(all);
        let mut deadline = begun.after_millis(millis(wish.grace));
        let last_words = LAST_WORDS.min(wish.grace / 10);
        let mut has_told = false;
        loop {
            self.drain.deadline.set(Some(deadline));
            let rest = Duration::from_micros(deadline.micros_since(self.node.clock.now()));
            let rest = if has_told {
                rest
            } else {
                rest.saturating_sub(last_words)
            };
            tokio::select! {
                () = &mut all => break,
                () = tokio::time::sleep(rest) => {
                    if has_told {
                        break;
                    }
                    has_told = true;
                    for thread in &self.threads {
                        let _ = thread.send(Command::Leave); // one that is gone has nothing to say
                    }
                }
                wish = self.drain.asked() => {
                    let sooner = self.node.clock.now().after_millis(millis(wish.grace));
                    deadline = deadline.min(sooner);
                }
            }
        }
        self.drain
            .outcome
            .set(Some(self.node.registry.connections()));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
