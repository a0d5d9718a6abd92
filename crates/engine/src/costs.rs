// SPDX-License-Identifier: Apache-2.0
//! What the exchanges of one connection take of the memory that it may hold.
use std::cell::Cell;

/// What all exchanges of a connection take, in bytes.
#[derive(Default)]
pub(crate) struct Costs {
    all: Cell<usize>,
    /// What of that is ahead.
    ahead: Cell<usize>,
}

/// What one of them takes.
#[derive(Default)]
pub(crate) struct Cost {
    /// Its request, its task, and what else it needs.
    own: usize,
    /// Content of its response that waits for the client, or that its endpoint may send ahead.
    ahead: usize,
}

impl Costs {
    pub(crate) fn all(&self) -> usize {
        self.all.get()
    }

    /// An exchange needs `bytes` more.
    pub(crate) fn add(&self, cost: &mut Cost, bytes: usize) {
        cost.own += bytes;
        self.all.set(self.all.get() + bytes);
    }

    /// An exchange needs `bytes` less.
    pub(crate) fn take(&self, cost: &mut Cost, bytes: usize) {
        let bytes = bytes.min(cost.own);
        cost.own -= bytes;
        self.all.set(self.all.get().saturating_sub(bytes));
    }

    /// So much of its response is ahead.
    pub(crate) fn hold(&self, cost: &mut Cost, bytes: usize) {
        let before = std::mem::replace(&mut cost.ahead, bytes);
        let moved = |all: usize| (all + bytes).saturating_sub(before);
        self.all.set(moved(self.all.get()));
        self.ahead.set(moved(self.ahead.get()));
    }

    /// As [`Self::hold`] before it comes; false, and nothing is changed, unless a connection that may hold `most` and
    /// holds `held` has room for it, leaves twice as much for other responses, and five eighths for some seventy
    /// requests.
    pub(crate) fn may_hold(&self, cost: &mut Cost, bytes: usize, held: usize, most: usize) -> bool {
        let more = bytes.saturating_sub(cost.ahead);
        let may = self.ahead.get() + 3 * more <= most / 8 * 3 && held + more <= most;
        if may {
            self.hold(cost, bytes);
        }
        may
    }

    /// An exchange is over.
    pub(crate) fn end(&self, mut cost: Cost) {
        self.hold(&mut cost, 0);
        self.take(&mut cost, usize::MAX);
    }
}
