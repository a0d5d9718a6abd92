// SPDX-License-Identifier: Apache-2.0
//! Tries endpoints until one answers, and passes the answer on.
use super::attempt::{Attempt, Begun, Failed, Sender, head_limits_of};
use super::bind::bind;
use super::download::Download;
use super::giving::give_back;
use super::load;
use super::mirror;
use super::open::Place;
use super::switch::switch;
use super::tries::Tries;
use super::wait::{Lost, Wait};
use crate::decide;
use crate::downstream::{Downstream, Journey, Record, UploadError};
use crate::pages;
use crate::snapshot::BackendPlan;
use tidegate_config::HostField;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::{Forwarding, ResponseContext, encode_request};
use tidegate_request::{Framing, ResponseFraming};

/// Endpoints a request is offered to before its connects count as failed for good.
pub(crate) const MAX_CONNECTS: usize = 4;

/// How forwarding ended.
pub(crate) enum Outcome {
    /// The response reached the client.
    Finished { keep_alive: bool },
    /// Nothing was sent to the client yet.
    Failed {
        kind: ErrorKind,
        detail: &'static str,
    },
    /// The client's body was at fault; nothing was sent to it yet.
    Upload(UploadError),
    /// The response had begun: the client's connection must be cut.
    Broken,
}

/// Sends the exchange to the backend and the response to the client.
pub(crate) async fn forward(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    record: &mut Record,
) -> Outcome {
    let until = journey
        .routed
        .route
        .deadline
        .map(|limit| record.started.after_millis(limit.0));
    let mut body = match journey.upload.is_done && exchange.body.is_none() {
        true => Vec::new(),
        false => downstream.thread.buffers.take_output(),
    };
    if let Some(bytes) = &exchange.body {
        body.extend_from_slice(bytes);
    } else if let Err(reject) = journey.upload.take(downstream, &mut body) {
        return Outcome::Upload(UploadError::Refused(reject));
    }
    mirror::begin(downstream, journey, exchange, &body);
    let outcome = tries(downstream, journey, exchange, plan, record, until, &body).await;
    downstream.thread.buffers.give_output(body);
    outcome
}

async fn tries(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    record: &mut Record,
    until: Option<Moment>,
    body: &[u8],
) -> Outcome {
    let retries = &journey.routed.route.retries;
    let is_whole = journey.upload.is_done;
    let mut tries = Tries::new(retries, exchange.request.method(), is_whole);
    let key = decide::key(plan, &exchange.request, exchange.client.address);
    let mut again = None;
    let mut lost = None;
    loop {
        let place = match again.take() {
            Some(place) => place,
            None => {
                let wait = Wait {
                    downstream,
                    plan,
                    tried: &tries.tried,
                    key: &key,
                    until,
                };
                match Place::take(wait).await {
                    Ok(place) => place,
                    // What the first try came to says more than that no other endpoint is left.
                    Err(error) => {
                        if let Some(lost) = lost
                            && wait.restarted(lost).await
                        {
                            tries.tried.clear();
                            continue;
                        }
                        let (kind, detail) = record.last_failure.take().unwrap_or(error);
                        return Outcome::Failed { kind, detail };
                    }
                }
            }
        };
        record.endpoint = Some(place.endpoint.clone());
        let span = record.begin_try(&mut exchange.request, &downstream.thread);
        let is_safe = exchange.request.method_kind().is_safe();
        let connection = match place
            .connect(downstream, plan, is_safe, until, record)
            .await
        {
            Ok(connection) => connection,
            Err((kind, detail)) => {
                record.end_try(span, &exchange.request, &downstream.thread, Err(kind));
                // Out of descriptors is our fault, not the endpoint's.
                if kind != ErrorKind::ConnectionLimitReached {
                    place.failed_after(plan, downstream.thread.now(), 0);
                }
                lost = Lost::note(lost, kind, &place, downstream.thread.now());
                tries.tried.push(place.index as u16);
                record.last_failure = Some((kind, detail));
                // Nothing was sent: another endpoint costs no retry.
                if tries.tried.len() >= MAX_CONNECTS && plan.config.start_wait.is_none() {
                    return Outcome::Failed { kind, detail };
                }
                record.entry.retries = record.entry.retries.saturating_add(1);
                continue;
            }
        };
        let mut sender = begin(downstream, journey, exchange, plan, &place, body);
        let attempt = Attempt {
            plan,
            request: &exchange.request,
            first_byte_ms: journey
                .routed
                .route
                .timeouts
                .first_byte
                .unwrap_or(plan.config.timeouts.first_byte)
                .0,
            until,
            pseudonym: &journey.current.snapshot.settings.config.name,
        };
        let sent = match plan.observes {
            true => downstream.thread.now(),
            false => record.started,
        };
        match attempt
            .run(downstream, &mut journey.upload, &mut sender, connection)
            .await
        {
            Ok(mut begun) => {
                let status = begun.response.status();
                if plan.observes {
                    let now = downstream.thread.now();
                    let is_failure = matches!(status, 502..=504);
                    place.observe(plan, now, now.micros_since(sent), is_failure);
                }
                if tries.wants_better(status, &place)
                    && tries.goes_on(downstream, &place, plan, record)
                {
                    record.end_try(span, &exchange.request, &downstream.thread, Ok(status));
                    place.failed(plan, downstream.thread.now());
                    continue;
                }
                bind(
                    downstream,
                    exchange,
                    plan,
                    &place,
                    &key,
                    &mut begun.response,
                );
                let outcome = deliver(
                    downstream, journey, exchange, plan, record, until, place, begun, sender,
                )
                .await;
                let cut = record
                    .entry
                    .error
                    .filter(|_| matches!(outcome, Outcome::Broken));
                let ended = cut.map_or(Ok(status), Err);
                record.end_try(span, &exchange.request, &downstream.thread, ended);
                return outcome;
            }
            Err(Failed::Upload(error)) => {
                let kind = ErrorKind::HttpRequestError;
                record.end_try(span, &exchange.request, &downstream.thread, Err(kind));
                return Outcome::Upload(error);
            }
            Err(Failed::Endpoint {
                kind,
                detail,
                is_stale,
                is_fault,
                fault,
            }) => {
                record.end_try(span, &exchange.request, &downstream.thread, Err(kind));
                if is_fault && !is_stale {
                    let now = downstream.thread.now();
                    place.failed_after(plan, now, now.micros_since(sent));
                }
                if let Some(fault) = fault {
                    plan.shared.handshakes.count_failed(fault.reason);
                    place.note_fault(plan, downstream.thread.now(), *fault, record);
                }
                record.last_failure = Some((kind, detail));
                if !tries.is_repeatable || kind == ErrorKind::RequestDeadline {
                    return Outcome::Failed { kind, detail };
                }
                if is_stale {
                    // It had closed an idle connection: not a failure, and a fresh one will tell.
                    downstream.thread.pool.forget(&place.endpoint.state);
                    again = Some(place);
                    continue;
                }
                if !tries.goes_on(downstream, &place, plan, record) {
                    return Outcome::Failed { kind, detail };
                }
                lost = Lost::note(lost, kind, &place, downstream.thread.now());
            }
        }
    }
}

/// The request's first bytes: head, and as much of the body as is there.
fn begin(
    downstream: &mut Downstream,
    journey: &Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    place: &Place,
    body: &[u8],
) -> Sender {
    if plan.config.host == HostField::Endpoint {
        // An address that is no authority (a Unix socket) leaves the client's Host in place.
        let _ = exchange
            .request
            .set_authority(plan.authority(&place.endpoint.address).as_bytes());
    }
    let settings = &journey.current.snapshot.settings;
    let framing = match &exchange.body {
        Some(body) if journey.upload.framing() != Framing::None => {
            Framing::Length(body.len() as u64)
        }
        _ => journey.upload.framing(),
    };
    let mut out = downstream.thread.buffers.take_output();
    let forwarding = Forwarding {
        client: &downstream.peer_text,
        pseudonym: &settings.config.name,
        prefix: journey.prefix(),
        request_id: &exchange.request_id,
        framing,
        passes_expect: exchange.body.is_none() && !journey.upload.is_done,
    };
    encode_request(&mut out, &exchange.request, &forwarding);
    out.extend_from_slice(body);
    Sender::new(out, downstream.thread.moment())
}

#[allow(clippy::too_many_arguments)] // everything an exchange consists of, at its last step
async fn deliver(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    record: &mut Record,
    until: Option<Moment>,
    place: Place,
    begun: Begun,
    mut sender: Sender,
) -> Outcome {
    let Begun {
        connection,
        mut response,
        buffer,
    } = begun;
    let now = downstream.thread.moment();
    record.entry.first_byte_us = now.micros_since(record.started).max(1);
    if let Some(report) = &plan.config.load_report {
        let load = load::take(report, response.fields_mut());
        if let Some(load) = load {
            load::note(report, load, &place.endpoint.state, now);
        }
    }
    if response.status() == 101 {
        return switch(
            downstream, journey, exchange, record, connection, response, buffer,
        )
        .await;
    }
    // As the endpoint sent it, whatever becomes of it.
    let status = response.status();
    if downstream.is_tunnel(&exchange.request) && matches!(status, 200..300) {
        // To the client it would say that the protocol was switched.
        place.answered(plan, status, || now);
        return Outcome::Failed {
            kind: ErrorKind::HttpUpgradeFailed,
            detail: "the endpoint answered without switching protocols",
        };
    }
    let (route, listener) = (journey.routed.route, &downstream.listener);
    if let Some(answer) = pages::intercept(route, listener, exchange, &response) {
        place.answered(plan, status, || now);
        // What is all here needs no new connection for the next request.
        let is_whole = match response.framing() {
            ResponseFraming::None => buffer.is_empty(),
            ResponseFraming::Length(length) => buffer.len() as u64 == length,
            ResponseFraming::Chunked | ResponseFraming::Close => false,
        };
        let is_clean = is_whole && !sender.is_broken && journey.upload.is_done;
        if is_clean && response.keep_alive() {
            give_back(downstream, plan, connection, &response);
        }
        downstream.thread.buffers.give(buffer);
        let count = journey.filters.len();
        let keep_alive = downstream
            .answer(journey, exchange, record, answer, count)
            .await;
        return Outcome::Finished { keep_alive };
    }
    let replaced = journey.way_back(exchange, &mut response).await;
    if let Some(answer) = replaced {
        place.answered(plan, status, || now);
        return replace(downstream, journey, exchange, record, answer).await;
    }
    let version = exchange.request.version();
    let framing = response.framing();
    let mut out = downstream.thread.buffers.take_output();
    let context = ResponseContext {
        version,
        keep_alive: journey.keep_alive && journey.upload.is_done,
        pseudonym: &journey.current.snapshot.settings.config.name,
        date: downstream.thread.date(),
        is_local: false,
    };
    let begun = downstream.begin_response(&mut out, &response, &context);
    let Ok(told) = begun.await else {
        return not_taken(downstream, record);
    };
    record.responds(&response, journey.current);
    let is_chunked = told.framing == ResponseFraming::Chunked;
    let limits = head_limits_of(plan);
    let report = plan.config.load_report.as_ref();
    let mut download = Download::new(framing, is_chunked, out, buffer, &limits, now, report);
    let upload = &mut journey.upload;
    let outcome = download
        .run(downstream, upload, &mut sender, &connection, plan, until)
        .await;
    record.entry.bytes_out = download.bytes;
    if let (Some(report), Some(load)) = (report, download.load) {
        load::note(
            report,
            load,
            &place.endpoint.state,
            downstream.thread.moment(),
        );
    }
    let is_clean = outcome.is_ok()
        && !download.has_surplus()
        && !sender.is_broken
        && journey.upload.is_done
        && framing != ResponseFraming::Close
        && response.keep_alive();
    if is_clean {
        give_back(downstream, plan, connection, &response);
    }
    let thread = &downstream.thread;
    thread
        .buffers
        .give_output(std::mem::take(&mut download.out));
    thread.buffers.give_output(std::mem::take(&mut sender.out));
    thread.buffers.give(std::mem::take(&mut download.buffer));
    thread.give_storage(Some(response.into_storage()));
    match outcome {
        Ok(()) => {
            place.answered(plan, status, || downstream.thread.now());
            Outcome::Finished {
                keep_alive: told.keep_alive,
            }
        }
        Err(cut) => {
            record.fail_with(cut.kind, cut.detail);
            if cut.is_fault {
                place.failed(plan, downstream.thread.now());
            }
            downstream.cut();
            Outcome::Broken
        }
    }
}

/// The client did not take the head of the response.
pub(crate) fn not_taken(downstream: &mut Downstream, record: &mut Record) -> Outcome {
    record.fail_with(ErrorKind::ClientGone, "the client stopped reading or left");
    downstream.cut();
    Outcome::Broken
}

/// A response filter answered in the endpoint's place.
async fn replace(
    downstream: &mut Downstream,
    journey: &Journey<'_>,
    exchange: &Exchange,
    record: &mut Record,
    answer: Answer,
) -> Outcome {
    let keep_alive = journey.keep_alive && journey.upload.is_done;
    match downstream
        .reply(record, &exchange.request, answer, keep_alive)
        .await
    {
        Ok(()) => Outcome::Finished { keep_alive },
        Err(_) => Outcome::Broken,
    }
}
