// SPDX-License-Identifier: Apache-2.0
//! How often an exchange may be sent.
use super::attempt::Begun;
use super::open::Place;
use crate::downstream::{Downstream, Record};
use crate::grpc;
use crate::snapshot::BackendPlan;
use smallvec::SmallVec;
use tidegate_config::Retries;
use tidegate_core::{GrpcCode, Moment};
use tidegate_request::Request;

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
    /// A call of gRPC that may be made again for what it ended with.
    is_call: bool,
}

impl<'a> Tries<'a> {
    pub(super) fn new(retries: &'a Retries, request: &Request, is_whole: bool) -> Self {
        let method = request.method();
        let is_listed = retries.methods.iter().any(|listed| listed == method);
        Self {
            retries,
            is_repeatable: is_whole && is_listed,
            tried: SmallVec::new(),
            left: retries.attempts,
            is_call: !retries.grpc_statuses.is_empty() && grpc::is_call(request.fields()),
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

    /// Whether an answer is worth another try, and another endpoint is left for it. `is_held` says whether
    /// all content that was sent is still here.
    pub(super) fn wants_better(&self, begun: &Begun, is_held: bool, place: &Place) -> bool {
        if self.tried.len() + 1 >= place.list.endpoints.len() {
            return false;
        }
        let (response, framing) = (&begun.response, begun.framing);
        self.is_repeatable && self.retries.statuses.contains(&response.status())
            || is_held
                && self.is_call
                && grpc::ended_at_once(response, framing).is_some_and(|code| self.repeats(code))
    }

    /// Whether a call that ended with `code` may be made again.
    pub(super) fn repeats(&self, code: GrpcCode) -> bool {
        let mut listed = self.retries.grpc_statuses.iter();
        self.is_call && listed.any(|listed| grpc::named(*listed) == code)
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
