// SPDX-License-Identifier: Apache-2.0
//! A function as a backend: the request goes to one of its workers as frames, the response comes
//! back as frames and goes to the client like an endpoint's.
use super::call::{Call, Said};
use super::here::here;
use super::plan::FunctionPlan;
use super::policy::{is_protected, parameters_of, parts_of};
use super::stream::BodySender;
use crate::downstream::{Downstream, Journey, Record, UploadError};
use crate::snapshot::BackendPlan;
use crate::upstream::{Outcome, Place};
use std::future::poll_fn;
use std::task::Poll;
use tidegate_config::FunctionKind;
use tidegate_contract::Exchange;
use tidegate_core::{ErrorKind, Moment};
use tidegate_functions::{Body, FieldList, INLINE, Reason, WorkerMessage};
use tidegate_http::{
    Forwarding, ResponseContext, encode_chunk_head, encode_last_chunk, encode_request,
    encode_response,
};
use tidegate_request::{
    FieldId, Fields, Framing, Reject, Response, ResponseFraming, Storage, Version,
};

/// Milliseconds before a call that had not begun is tried again: its worker is being replaced.
const AGAIN_MS: u64 = 50;

const LATE: (ErrorKind, &str) = (
    ErrorKind::FunctionTimeout,
    "the function passed its deadline",
);
const DIED: (ErrorKind, &str) = (
    ErrorKind::FunctionError,
    "the worker ended in the middle of the call",
);

/// What a wait came to.
enum Step {
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

fn failed((kind, detail): (ErrorKind, &'static str)) -> Outcome {
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
        let told = downstream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
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
    loop {
        let place = match Place::take(downstream, plan, &[], Some(deadline)).await {
            Ok(place) => place,
            Err(failure) => return failed(failure),
        };
        record.endpoint = Some(place.endpoint.clone());
        let call = match begin(
            downstream, journey, exchange, function, &place, deadline, early,
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
                record.entry.retries = record.entry.retries.saturating_add(1);
                let at = downstream.thread.now().after_millis(AGAIN_MS);
                if at >= deadline {
                    return failed(DIED);
                }
                drop(place);
                downstream.timer.set(at);
                poll_fn(|cx| downstream.timer.poll_expired(cx)).await;
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
    place: &Place,
    deadline: Moment,
    early: &[u8],
) -> Result<Call, (ErrorKind, &'static str)> {
    let here = here().ok_or((ErrorKind::ProxyInternalError, "no thread serves here"))?;
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
    let path = place.endpoint.address.strip_prefix("unix:");
    let link = here.link(path.unwrap_or(&place.endpoint.address));
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
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
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
async fn step(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    call: &Call,
    sender: &mut Option<BodySender>,
    deadline: Moment,
) -> Step {
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
        downstream.timer.set(at);
        downstream
            .timer
            .poll_expired(cx)
            .map(|()| match at == deadline {
                true => Step::Late,
                false => Step::Upload(UploadError::Refused(Reject::new(
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

/// The response in canonical form, under the rules for an endpoint's.
fn response_of(
    status: u16,
    given: FieldList<'_>,
    length: Option<usize>,
    exchange: &Exchange,
) -> Option<Response> {
    let mut storage = Storage::new();
    let fields = storage.fields_mut();
    let mut has_length = false;
    for (name, value) in given.iter() {
        let is_length = FieldId::recognise(name) == FieldId::ContentLength;
        // Of the framing, only the length of a body that follows is the function's to say.
        if is_protected(name) && !(is_length && length.is_none()) {
            continue;
        }
        has_length |= is_length;
        fields.append(name, value).ok()?;
    }
    match length {
        // RFC 9110 §8.6: these have no content, and no length of it.
        _ if matches!(status, 204 | 304) => Ok(()),
        Some(length) => fields.append(b"Content-Length", length.to_string().as_bytes()),
        None if has_length => Ok(()),
        None => fields.append(b"Transfer-Encoding", b"chunked"),
    }
    .ok()?;
    let method = exchange.request.method_kind();
    Response::build(storage, status, Version::Http11, method).ok()
}

#[allow(clippy::too_many_arguments)] // everything an exchange consists of, at its last step
async fn deliver(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    record: &mut Record,
    call: &Call,
    sender: &mut Option<BodySender>,
    said: &Said,
) -> Outcome {
    let malformed = (
        ErrorKind::HttpProtocolError,
        "the function's response is malformed",
    );
    let Some(WorkerMessage::Respond {
        status,
        fields,
        body,
        body_follows,
    }) = said.message()
    else {
        return failed(malformed);
    };
    let length = (!body_follows).then_some(body.len());
    let Some(mut response) = response_of(status, fields, length, exchange) else {
        return failed(malformed);
    };
    let now = downstream.thread.now();
    record.entry.first_byte_us = now.micros_since(record.started).max(1);
    let keep_alive = journey.keep_alive && journey.upload.is_done;
    if let Some(answer) = journey.way_back(exchange, &mut response).await {
        let sent = downstream
            .reply(record, &exchange.request, answer, keep_alive)
            .await;
        return match sent {
            Ok(()) => Outcome::Finished { keep_alive },
            Err(_) => Outcome::Broken,
        };
    }
    let mut out = downstream.thread.buffers.take_output();
    let context = ResponseContext {
        version: exchange.request.version(),
        keep_alive,
        pseudonym: &journey.current.snapshot.settings.config.name,
        now: downstream.wall_seconds(),
        is_local: false,
    };
    let told = encode_response(&mut out, &response, &context);
    record.entry.status = response.status();
    let mut writer = Writer {
        is_chunked: told.framing == ResponseFraming::Chunked,
        left: match response.framing() {
            ResponseFraming::None => Some(0),
            ResponseFraming::Length(length) => Some(length),
            ResponseFraming::Chunked | ResponseFraming::Close => None,
        },
        has_content: response.framing() != ResponseFraming::None,
        bytes: 0,
        out,
    };
    let outcome = match writer.put(body, !body_follows) {
        true => {
            let stall = plan.config.timeouts.stall.0;
            pump(
                downstream,
                journey,
                call,
                sender,
                &mut writer,
                !body_follows,
                stall,
            )
            .await
        }
        false => Err((
            ErrorKind::HttpProtocolError,
            "the body is longer than its length",
        )),
    };
    record.entry.bytes_out = writer.bytes;
    downstream
        .thread
        .buffers
        .give_output(std::mem::take(&mut writer.out));
    match outcome {
        Ok(()) => Outcome::Finished {
            keep_alive: told.keep_alive && journey.upload.is_done,
        },
        Err((kind, detail)) => {
            record.fail_with(kind, detail);
            downstream.cut();
            Outcome::Broken
        }
    }
}

/// A response's body on its way to the client.
struct Writer {
    out: Vec<u8>,
    is_chunked: bool,
    /// Bytes that the announced length still has room for.
    left: Option<u64>,
    /// Whether the client gets a body at all.
    has_content: bool,
    bytes: u64,
}

impl Writer {
    /// Takes a piece; false when it does not fit the announced length.
    fn put(&mut self, bytes: &[u8], is_last: bool) -> bool {
        if !self.has_content {
            return true;
        }
        if let Some(left) = &mut self.left {
            match left.checked_sub(bytes.len() as u64) {
                Some(rest) => *left = rest,
                None => return false,
            }
            if is_last && *left > 0 {
                return false;
            }
        }
        self.bytes += bytes.len() as u64;
        if self.is_chunked && !bytes.is_empty() {
            encode_chunk_head(&mut self.out, bytes.len());
        }
        self.out.extend_from_slice(bytes);
        if self.is_chunked && !bytes.is_empty() {
            self.out.extend_from_slice(b"\r\n");
        }
        if self.is_chunked && is_last {
            encode_last_chunk(&mut self.out, &Fields::default());
        }
        true
    }
}

/// Writes what there is and takes more until the body ends. Credit follows what the client took.
async fn pump(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    call: &Call,
    sender: &mut Option<BodySender>,
    writer: &mut Writer,
    mut is_last: bool,
    stall_ms: u64,
) -> Result<(), (ErrorKind, &'static str)> {
    let mut pending = 0;
    loop {
        let sent = downstream.write_all(&writer.out).await;
        sent.map_err(|_| (ErrorKind::ClientGone, "the client stopped reading or left"))?;
        writer.out.clear();
        call.credit(pending);
        if is_last {
            return Ok(());
        }
        let deadline = downstream.thread.now().after_millis(stall_ms);
        let said = match step(downstream, journey, call, sender, deadline).await {
            Step::Said(said) => said,
            Step::Ended { .. } => return Err(DIED),
            Step::Upload(UploadError::Gone) => {
                return Err((ErrorKind::ClientGone, "the client left during its body"));
            }
            Step::Upload(UploadError::Refused(reject)) => return Err((reject.kind, reject.detail)),
            Step::Late => {
                let detail = "the function stopped in its response";
                return Err((ErrorKind::ConnectionReadTimeout, detail));
            }
        };
        pending = 0;
        match said.message() {
            Some(WorkerMessage::Body {
                bytes,
                is_last: ends,
            }) => {
                pending = bytes.len();
                is_last = ends;
                if !writer.put(bytes, ends) {
                    let detail = "the body has another length than announced";
                    return Err((ErrorKind::HttpProtocolError, detail));
                }
            }
            Some(WorkerMessage::Credit(bytes)) => {
                if let Some(sender) = sender {
                    sender.credit(bytes);
                }
            }
            _ => {
                let detail = "the function failed in its response; its log says how";
                return Err((ErrorKind::FunctionError, detail));
            }
        }
    }
}
