// SPDX-License-Identifier: Apache-2.0
//! A function as a backend: the request goes to one of its workers as frames, the response comes
//! back as frames and goes to the client like an endpoint's.
use super::call::{Call, Said};
use super::deliver::deliver;
use super::here::here;
use super::link::Link;
use super::plan::FunctionPlan;
use super::policy::{parameters_of, parts_of};
use super::seats;
use super::stream::BodySender;
use crate::downstream::{Absence, Downstream, Expired, Journey, Record, UploadError};
use crate::snapshot::BackendPlan;
use crate::upstream::Outcome;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use tidegate_config::FunctionKind;
use tidegate_contract::Exchange;
use tidegate_core::{ErrorKind, Moment};
use tidegate_functions::{Body, INLINE, Reason, WorkerMessage};
use tidegate_http::{Forwarding, encode_request};
use tidegate_request::{FieldId, Framing, Reject};

const LATE: (ErrorKind, &str) = (
    ErrorKind::FunctionTimeout,
    "the function passed its deadline",
);
pub(super) const DIED: (ErrorKind, &str) = (
    ErrorKind::FunctionError,
    "the worker ended in the middle of the call",
);

/// What a wait came to.
pub(super) enum Step {
    Said(Said),
    Ended { may_have_begun: bool },
    Upload(UploadError),
    Late,
}

/// How one call went before its response began.
enum Tried {
    Answered(Said),
    /// Nothing began: another try may help.
    Again,
    Over(Outcome),
}

fn too_large() -> Outcome {
    let detail = "the body is too large for the function";
    Outcome::Upload(UploadError::Refused(Reject::new(
        ErrorKind::RequestBodySize,
        detail,
    )))
}

pub(super) fn failed((kind, detail): (ErrorKind, &'static str)) -> Outcome {
    Outcome::Failed { kind, detail }
}

/// Sends the exchange to a function and its response to the client.
pub(crate) async fn forward(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    record: &mut Record,
) -> Outcome {
    let name = plan.name.strip_prefix("function:").unwrap_or(&plan.name);
    let Some(function) = journey.current.snapshot.functions.get(name) else {
        return failed((
            ErrorKind::ProxyConfigurationError,
            "the function is not there",
        ));
    };
    let function = function.clone();
    let deadline = downstream
        .thread
        .now()
        .after_millis(function.config.deadline.0);
    let until = journey.routed.route.deadline;
    let until = until.map(|limit| record.started.after_millis(limit.0));
    let deadline = until.map_or(deadline, |until| until.min(deadline));
    let is_streamed = function.config.kind == FunctionKind::Asgi;
    let mut early = Vec::new();
    if is_streamed {
        if let Err(outcome) = begin_body(downstream, journey, exchange, &mut early).await {
            return outcome;
        }
    } else if exchange.body.is_none()
        && let Err(error) = downstream
            .read_body(journey, exchange, function.config.max_body.0)
            .await
    {
        return Outcome::Upload(error);
    }
    if let Some(body) = exchange.body.take() {
        early = body;
    }
    if early.len() as u64 > function.config.max_body.0 {
        return too_large();
    }
    tries(
        downstream, journey, exchange, plan, &function, record, deadline, &early,
    )
    .await
}

/// Takes what has arrived of a streamed body, and has the client send the rest.
async fn begin_body(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &Exchange,
    early: &mut Vec<u8>,
) -> Result<(), Outcome> {
    let refused = |reject| Outcome::Upload(UploadError::Refused(reject));
    journey
        .upload
        .take_bare(downstream, early)
        .map_err(refused)?;
    if exchange.request.expects_continue() && early.is_empty() && !journey.upload.is_done {
        let told = downstream.ask_to_continue();
        told.await.map_err(|_| Outcome::Upload(UploadError::Gone))?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // everything an exchange consists of
async fn tries(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    function: &FunctionPlan,
    record: &mut Record,
    deadline: Moment,
    early: &[u8],
) -> Outcome {
    let Some(here) = here() else {
        return failed((ErrorKind::ProxyInternalError, "no thread serves here"));
    };
    loop {
        let found = seats::of_backend(&here, downstream, plan, function, deadline).await;
        let (place, link) = match found {
            Ok(found) => found,
            Err(failure) => return failed(failure),
        };
        record.endpoint = Some(place.endpoint.clone());
        let call = match begin(
            downstream, journey, exchange, function, &link, deadline, early,
        ) {
            Ok(call) => call,
            Err(failure) => return failed(failure),
        };
        let is_whole = journey.upload.is_done;
        let mut sender =
            (early.len() > INLINE || !is_whole).then(|| BodySender::new(early, is_whole));
        let tried = first(downstream, journey, function, &call, &mut sender, deadline).await;
        match tried {
            Tried::Answered(said) => {
                let answer = deliver(
                    downstream,
                    journey,
                    exchange,
                    plan,
                    record,
                    &call,
                    &mut sender,
                    &said,
                );
                let outcome = answer.await;
                match &outcome {
                    Outcome::Finished { .. } => place.succeeded(),
                    Outcome::Failed { .. } => place.failed(plan, downstream.thread.now()),
                    _ => {}
                }
                return outcome;
            }
            // What was read from the client since is in the lost frames.
            Tried::Again if !is_whole => {
                place.failed(plan, downstream.thread.now());
                return failed(DIED);
            }
            Tried::Again => {
                // Its worker takes no calls any more: another one gets it.
                record.entry.retries = record.entry.retries.saturating_add(1);
            }
            Tried::Over(outcome) => {
                if let Outcome::Failed { .. } = outcome {
                    place.failed(plan, downstream.thread.now());
                }
                return outcome;
            }
        }
    }
}

/// Sends the head, with the body if it is short and whole.
fn begin(
    downstream: &Downstream,
    journey: &Journey<'_>,
    exchange: &Exchange,
    function: &FunctionPlan,
    link: &Rc<Link>,
    deadline: Moment,
    early: &[u8],
) -> Result<Call, (ErrorKind, &'static str)> {
    let settings = &journey.current.snapshot.settings;
    let is_whole = journey.upload.is_done;
    let framing = match journey.upload.framing() {
        Framing::None => Framing::None,
        _ if is_whole => Framing::Length(early.len() as u64),
        other => other,
    };
    let mapping = journey.mapping.as_ref();
    let forwarding = Forwarding {
        client: &downstream.peer_text,
        pseudonym: &settings.config.name,
        is_anonymous: false,
        to_proxy: None,
        prefix: mapping
            .map(|mapping| mapping.outer.as_str())
            .filter(|outer| !outer.is_empty()),
        request_id: &exchange.request_id,
        framing,
        passes_expect: false,
    };
    // The very head an HTTP endpoint would get, so that both see the same fields.
    let mut head = downstream.thread.buffers.take_output();
    encode_request(&mut head, &exchange.request, &forwarding);
    let client = exchange.client.address.to_string();
    let left = deadline.micros_since(downstream.thread.now()) / 1000;
    let parts = parts_of(&exchange.request, &client, exchange, &function.name, left);
    let body = match (is_whole, early.len()) {
        (true, 0) => Body::None,
        (true, 1..=INLINE) => Body::Inline(early),
        _ => Body::Stream,
    };
    let call = link.begin(&parts, parameters_of(exchange), lines(&head), body);
    downstream.thread.buffers.give_output(head);
    call.map_err(|_| {
        (
            ErrorKind::RequestHeaderSize,
            "the head is too large for a function",
        )
    })
}

/// Names and values of an encoded head, without those that frame a message between two hops.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let hops = matches!(
                FieldId::recognise(name),
                FieldId::TransferEncoding | FieldId::Connection
            );
            (!hops).then(|| (name, value.get(1..).unwrap_or_default().trim_ascii()))
        })
}

/// Moves the body up until something happens.
pub(super) async fn step(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    call: &Call,
    sender: &mut Option<BodySender>,
    deadline: Moment,
) -> Step {
    let mut absence = Absence::default();
    poll_fn(|cx| {
        if let Some(sender) = sender {
            sender.send(call);
            while sender.wants_more() {
                let upload = &mut journey.upload;
                match upload.poll_more(downstream, cx, sender.buffer(), false) {
                    Poll::Ready(Ok(())) => {
                        if journey.upload.is_done {
                            sender.finish();
                        }
                        sender.send(call);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Step::Upload(error)),
                    Poll::Pending => break,
                }
            }
        }
        match call.poll_next(cx) {
            Poll::Ready(Ok(said)) => return Poll::Ready(Step::Said(said)),
            Poll::Ready(Err(may_have_begun)) => {
                return Poll::Ready(Step::Ended { may_have_begun });
            }
            Poll::Pending => {}
        }
        let mut at = deadline;
        let slow = journey.upload.deadline(downstream);
        let waits_for_client = sender.as_ref().is_some_and(BodySender::wants_more);
        if waits_for_client {
            at = at.min(slow);
        }
        let expired = absence.poll(downstream, cx, at);
        expired.map(|expired| match expired {
            Expired::ClientGone => Step::Upload(UploadError::Gone),
            Expired::Deadline if at == deadline => Step::Late,
            Expired::Deadline => Step::Upload(UploadError::Refused(Reject::new(
                ErrorKind::RequestTimeout,
                "the body came too slowly",
            ))),
        })
    })
    .await
}

/// Waits for the response to begin.
async fn first(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    function: &FunctionPlan,
    call: &Call,
    sender: &mut Option<BodySender>,
    deadline: Moment,
) -> Tried {
    loop {
        if journey.upload.received > function.config.max_body.0 {
            return Tried::Over(too_large());
        }
        let said = match step(downstream, journey, call, sender, deadline).await {
            Step::Said(said) => said,
            Step::Ended {
                may_have_begun: false,
            } => return Tried::Again,
            Step::Ended { .. } => return Tried::Over(failed(DIED)),
            Step::Upload(error) => return Tried::Over(Outcome::Upload(error)),
            Step::Late => return Tried::Over(failed(LATE)),
        };
        match said.message() {
            Some(WorkerMessage::Credit(bytes)) => {
                if let Some(sender) = sender {
                    sender.credit(bytes);
                }
            }
            Some(WorkerMessage::BodyWanted) => {}
            Some(WorkerMessage::Respond { .. }) => return Tried::Answered(said),
            Some(WorkerMessage::Error(Reason::BodySize)) => return Tried::Over(too_large()),
            _ => {
                let detail = "the function failed; its log says how";
                return Tried::Over(failed((ErrorKind::FunctionError, detail)));
            }
        }
    }
}
