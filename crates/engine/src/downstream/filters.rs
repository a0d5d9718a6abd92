// SPDX-License-Identifier: Apache-2.0
//! Runs the filters of an exchange: the request phase forwards, the response phase backwards.
use crate::functions::here;
use crate::snapshot::{FilterPlan, PolicyCounts};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_contract::{Answer, Exchange, Flow};
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Response};

/// How far the request phase came.
pub(crate) enum Phase {
    /// Through all filters.
    Passed,
    /// To an answer, and the position of the filter that gave it.
    Answered(Answer, usize),
    /// To a filter that wants the body first, of at most so many bytes; it goes on at its position.
    Body(usize, u64),
}

/// Runs the request phase from a position on.
pub(crate) async fn run_request_filters(
    filters: &[Arc<FilterPlan>],
    exchange: &mut Exchange,
    from: usize,
) -> Phase {
    for (position, plan) in filters.iter().enumerate().skip(from) {
        match begins(plan, exchange, position) {
            Ok(true) if plan.phases.request => {}
            Ok(_) => continue,
            Err(answer) => return Phase::Answered(answer, position),
        }
        match (plan.phases.body, &exchange.body) {
            (Some(limit), None) => return Phase::Body(position, limit),
            (Some(limit), Some(body)) if body.len() as u64 > limit => {
                if let Some(answer) = judged(plan, exchange, Some(too_large())) {
                    return Phase::Answered(answer, position);
                }
                exchange.left_out.push(position);
                continue;
            }
            _ => {}
        }
        let before = plan.shadow.then(|| exchange.keep());
        let answer = outcome(&plan.counts, plan.filter.request(exchange, position)).await;
        if let Some(before) = before {
            exchange.restore(before);
        }
        if let Some(answer) = judged(plan, exchange, answer) {
            return Phase::Answered(answer, position);
        }
    }
    Phase::Passed
}

/// Runs the response phase backwards, from the filter before `position`. Where one answers in place of the response,
/// those around it go on with that.
pub(crate) async fn run_response_filters(
    filters: &[Arc<FilterPlan>],
    exchange: &mut Exchange,
    response: &mut Response,
    position: usize,
) -> Option<Answer> {
    let before = filters.get(..position).unwrap_or(filters);
    let mut given: Option<Box<Answer>> = None;
    for (position, plan) in before.iter().enumerate().rev() {
        let Some(answer) = respond(plan, exchange, response, position).await else {
            continue;
        };
        let Answer {
            status,
            fields,
            body,
            error,
        } = answer;
        let method = exchange.request.method_kind();
        *response = Response::local(status, fields, body.len() as u64, method);
        let error = error.or(given.and_then(|given| given.error));
        given = Some(Box::new(Answer {
            status,
            fields: Fields::new(),
            body,
            error,
        }));
    }
    let given = *given?;
    Some(Answer {
        status: response.status(),
        fields: std::mem::take(response.fields_mut()),
        ..given
    })
}

/// One filter of the response phase: its answer in place of the response, if it gives one.
async fn respond(
    plan: &FilterPlan,
    exchange: &mut Exchange,
    response: &mut Response,
    position: usize,
) -> Option<Answer> {
    if !plan.phases.response || exchange.left_out.contains(&position) {
        return None;
    }
    if let Some(condition) = plan.condition.as_ref().filter(|own| own.is_late) {
        match condition.holds(exchange, Some(response)) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => return judged(plan, exchange, Some(unjudged())),
        }
    }
    let before = plan.shadow.then(|| Box::new(response.clone()));
    let flow = plan.filter.response(exchange, response, position);
    let answer = outcome(&plan.counts, flow).await;
    if let Some(before) = before {
        *response = *before;
    }
    judged(plan, exchange, answer)
}

/// The answer of a filter, if it gives one. What it waits for is timed.
async fn outcome(counts: &PolicyCounts, flow: Flow<'_>) -> Option<Answer> {
    let mut flow = match flow {
        Flow::Continue => return None,
        Flow::Respond(answer) => return Some(*answer),
        Flow::Wait(future) => Flow::Wait(future),
    };
    let thread = here().map(|here| here.thread.clone());
    let begun = thread.as_ref().map(|thread| thread.now());
    let answer = loop {
        match flow {
            Flow::Continue => break None,
            Flow::Respond(answer) => break Some(*answer),
            Flow::Wait(future) => flow = future.await,
        }
    };
    if let (Some(thread), Some(begun)) = (thread, begun) {
        counts.calls.fetch_add(1, Relaxed);
        counts
            .micros
            .fetch_add(thread.now().micros_since(begun), Relaxed);
    }
    answer
}

/// Whether a filter takes part, as its condition says of the request that comes to it.
///
/// # Errors
/// The answer where that cannot be told: to leave it out would be to let somebody in.
pub(crate) fn begins(
    plan: &FilterPlan,
    exchange: &mut Exchange,
    position: usize,
) -> Result<bool, Answer> {
    let Some(condition) = plan.condition.as_ref().filter(|own| !own.is_late) else {
        return Ok(true);
    };
    match condition.holds(exchange, None) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(_) => {
            if let Some(answer) = judged(plan, exchange, Some(unjudged())) {
                return Err(answer);
            }
        }
    }
    exchange.left_out.push(position);
    Ok(false)
}

/// The answer of a filter, unless it is only tried: then it is told.
fn judged(plan: &FilterPlan, exchange: &mut Exchange, answer: Option<Answer>) -> Option<Answer> {
    let answer = answer?;
    let counts = &plan.counts;
    // What is the client's own doing is no failure of the policy.
    let is_failure = answer.error.is_some() && answer.status >= 500;
    let count = match (is_failure, plan.shadow) {
        (false, false) => &counts.answered,
        (false, true) => &counts.would_answer,
        (true, false) => &counts.failed,
        (true, true) => &counts.would_fail,
    };
    count.fetch_add(1, Relaxed);
    if plan.continues && is_failure && !plan.shadow {
        return None;
    }
    if plan.shadow {
        exchange
            .would_answer
            .push((plan.name.clone(), answer.status));
        return None;
    }
    Some(answer)
}

fn unjudged() -> Answer {
    let error = ErrorKind::ProxyInternalError;
    Answer::failure(error, "the condition of a policy can not be told")
}

/// A body that another filter wanted, and that is more than this one takes.
fn too_large() -> Answer {
    Answer::failure(ErrorKind::RequestBodySize, "the body is too large")
}
