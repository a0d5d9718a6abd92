// SPDX-License-Identifier: Apache-2.0
//! Runs the filters of an exchange: the request phase forwards, the response phase backwards.
use crate::snapshot::FilterPlan;
use tidegate_contract::{Answer, Exchange, Flow};
use tidegate_request::Response;

/// Runs the request phase; an answer comes with the position of the filter that gave it.
pub(crate) async fn run_request_filters(
    filters: &[FilterPlan],
    exchange: &mut Exchange,
) -> Option<(Answer, usize)> {
    for (position, plan) in filters.iter().enumerate() {
        if !plan.phases.request {
            continue;
        }
        let mut flow = plan.filter.request(exchange, position);
        loop {
            match flow {
                Flow::Continue => break,
                Flow::Respond(answer) => return Some((*answer, position)),
                Flow::Wait(future) => flow = future.await,
            }
        }
    }
    None
}

/// Runs the response phase backwards, from the filter before `position`.
pub(crate) async fn run_response_filters(
    filters: &[FilterPlan],
    exchange: &mut Exchange,
    response: &mut Response,
    position: usize,
) -> Option<Answer> {
    let before = filters.get(..position).unwrap_or(filters);
    for (position, plan) in before.iter().enumerate().rev() {
        if !plan.phases.response {
            continue;
        }
        let mut flow = plan.filter.response(exchange, response, position);
        loop {
            match flow {
                Flow::Continue => break,
                Flow::Respond(answer) => return Some(*answer),
                Flow::Wait(future) => flow = future.await,
            }
        }
    }
    None
}
