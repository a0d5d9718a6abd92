// SPDX-License-Identifier: Apache-2.0
use crate::snapshot::Counted;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use tidegate_core::Moment;

/// Addresses that are remembered: those that come when it is full are not.
pub(super) const KEPT: usize = 4096;
/// Milliseconds between two looks for what can be forgotten.
pub(super) const SWEPT_MS: u64 = 1000;

/// What addresses (a /64 of IPv6 is one) have done lately, in milliseconds that it takes to be forgotten.
pub(super) struct Debts {
    /// When all that an address has done is forgotten.
    until: RefCell<HashMap<u128, Moment>>,
    swept_at: Cell<Moment>,
}

impl Default for Debts {
    fn default() -> Self {
        Self {
            until: RefCell::default(),
            swept_at: Cell::new(Moment(0)),
        }
    }
}

impl Debts {
    /// Adds to what `address` has done; no more than `most` is remembered.
    pub(super) fn add(&self, address: IpAddr, millis: u64, most: u64, now: Moment) {
        let mut all = self.until.borrow_mut();
        if all.len() >= KEPT && now >= self.swept_at.get().after_millis(SWEPT_MS) {
            self.swept_at.set(now);
            all.retain(|_, until| *until > now);
        }
        let key = Counted::key(address);
        if all.len() >= KEPT && !all.contains_key(&key) {
            return;
        }
        let until = all.entry(key).or_insert(now);
        *until = (*until).max(now).after_millis(millis);
        *until = (*until).min(now.after_millis(most));
    }

    /// Takes from what `address` has done.
    pub(super) fn pay(&self, address: IpAddr, millis: u64) {
        let mut all = self.until.borrow_mut();
        if all.is_empty() {
            return;
        }
        if let Some(until) = all.get_mut(&Counted::key(address)) {
            *until = until.before_millis(millis);
        }
    }

    /// Whether `address` has done more than what takes so long to be forgotten.
    pub(super) fn is_beyond(&self, address: IpAddr, millis: u64, now: Moment) -> bool {
        let all = self.until.borrow();
        let until = match all.is_empty() {
            true => None,
            false => all.get(&Counted::key(address)),
        };
        until.is_some_and(|until| *until > now.after_millis(millis))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.until.borrow().len()
    }
}
