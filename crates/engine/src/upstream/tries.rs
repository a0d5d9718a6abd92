// SPDX-License-Identifier: Apache-2.0
//! How often an exchange may be sent.
use super::open::Place;
use crate::downstream::{Downstream, Record};
use crate::snapshot::BackendPlan;
use smallvec::SmallVec;
use tidegate_config::Retries;
use tidegate_core::Moment;

/// What the tries of an exchange have come to.
pub(super) struct Tries<'a> {
    retries: &'a Retries,
    /// Whether the exchange can and may be sent again: what has left the client's connection for good
    /// cannot be sent a second time.
    pub(super) is_repeatable: bool,
    /// Places of endpoints that are not asked again.
    pub(super) tried: SmallVec<[u16; 8]>,
    /// Retries left.
    left: u8,
}

impl<'a> Tries<'a> {
    pub(super) fn new(retries: &'a Retries, method: &str, is_whole: bool) -> Self {
        let is_listed = retries.methods.iter().any(|listed| listed == method);
        Self {
            retries,
            is_repeatable: is_whole && is_listed,
            tried: SmallVec::new(),
            left: retries.attempts,
        }
    }

    /// Goes on to another endpoint; false when retries or the backend's budget of them are used up.
    pub(super) fn goes_on(
        &mut self,
        downstream: &Downstream,
        place: &Place,
        plan: &BackendPlan,
        record: &mut Record,
    ) -> bool {
        let may = self.left > 0 && plan.spend(downstream.thread.now());
        if may {
            self.left -= 1;
            self.tried.push(place.index as u16);
            record.entry.retries = record.entry.retries.saturating_add(1);
        }
        may
    }

    /// Whether an answer with `status` is worth another try, and another endpoint is left for it.
    pub(super) fn wants_better(&self, status: u16, place: &Place) -> bool {
        self.is_repeatable
            && self.retries.statuses.contains(&status)
            && self.tried.len() + 1 < place.list.endpoints.len()
    }
}

impl BackendPlan {
    /// Takes one retry from the budget.
    fn spend(&self, now: Moment) -> bool {
        let budget = &self.config.retry_budget;
        self.shared
            .spend_retry(now, budget.percent, budget.floor_per_second)
    }
}
