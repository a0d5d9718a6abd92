// SPDX-License-Identifier: Apache-2.0
//! Tries endpoints until one answers, and passes the answer on.
use super::attempt::{Attempt, Begun, Failed, Sender, head_limits_of};
use super::bind::bind;
use super::download::Download;
use super::giving::give_back;
use super::load;
use super::mirror;
use super::open::Place;
use super::request::{begin, framed};
use super::switch::switch;
use super::tries::Tries;
use super::wait::{Lost, Wait};
use crate::decide;
use crate::downstream::{Downstream, Journey, Record, UploadError};
use crate::pages;
use crate::snapshot::BackendPlan;
use std::borrow::Cow;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::ResponseContext;
use tidegate_request::ResponseFraming;

/// Endpoints a request is offered to before its connects count as failed for good.
pub(crate) const MAX_CONNECTS: usize = 4;

/// Fresh connections to one endpoint that cost no retry.
const MAX_AFRESH: u8 = 3;

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
    } else {
        // What goes over HTTP/2 is not framed, and whether it does is seen when there is a connection.
        let taken = match plan.config.http2 {
            true => journey.upload.take_bare(downstream, &mut body),
            false => journey.upload.take(downstream, &mut body),
        };
        if let Err(reject) = taken {
            return Outcome::Upload(UploadError::Refused(reject));
        }
    }
    if journey.routed.route.mirror.is_some() {
        let copied = match plan.config.http2 && exchange.body.is_none() {
            true => framed(&body, &journey.upload),
            false => Cow::Borrowed(&*body),
        };
        mirror::begin(downstream, journey, exchange, &copied);
    }
    let outcome = tries(
        downstream, journey, exchange, plan, record, until, &mut body,
    )
    .await;
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
    body: &mut Vec<u8>,
) -> Outcome {
    let retries = &journey.routed.route.retries;
    let is_whole = journey.upload.is_done;
    let mut tries = Tries::new(retries, exchange.request.method(), is_whole);
    let key = decide::key(plan, &exchange.request, exchange.client.address);
    let mut again = None;
    let mut lost = None;
    let mut afresh = 0;
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
                let taken = match &journey.passage {
                    Some(passage) => Place::next(plan, &passage.way, &tries.tried),
                    None => Place::take(wait).await,
                };
                match taken {
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
        let request = &exchange.request;
        let reached = match place
            .connect(downstream, plan, request, until, record)
            .await
        {
            Ok(reached) => reached,
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
        let mut is_kept = true;
        let begun = begin(downstream, journey, exchange, plan, &place, reached, body);
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
        let upload = &mut journey.upload;
        let ran = match begun {
            Ok((carrier, mut sender)) => {
                record.entry.endpoint_version = carrier.version().tenths();
                let ran = attempt.run(downstream, upload, &mut sender, carrier);
                let ran = ran.await;
                is_kept = sender.keeps;
                if ran.is_err() && is_kept {
                    *body = std::mem::take(&mut sender.out);
                }
                ran.map(|begun| (begun, sender))
            }
            Err(failed) => Err(failed),
        };
        match ran {
            Ok((mut begun, sender)) => {
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
                is_unseen,
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
                // What nobody has seen may be sent again whatever it is, if all of it is still here.
                let is_unseen = is_unseen && (is_whole || is_kept);
                let may_repeat = tries.is_repeatable || is_unseen;
                if !may_repeat || kind == ErrorKind::RequestDeadline {
                    return Outcome::Failed { kind, detail };
                }
                if (is_stale || is_unseen) && afresh < MAX_AFRESH {
                    // It had closed an idle connection, or takes no more on one: not a failure, and a
                    // fresh one will tell.
                    afresh += 1;
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
        carrier,
        mut response,
        framing,
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
            downstream, journey, exchange, record, carrier, response, buffer,
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
        let is_whole = match framing {
            ResponseFraming::None => buffer.is_empty(),
            ResponseFraming::Length(length) => buffer.len() as u64 == length,
            ResponseFraming::Chunked | ResponseFraming::Close => false,
        };
        let is_clean = is_whole && !sender.is_broken && journey.upload.is_done;
        if is_clean && journey.keeps(&exchange.request, &response) {
            give_back(downstream, plan, carrier, &response);
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
        .run(downstream, upload, &mut sender, &carrier, plan, until)
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
        && journey.keeps(&exchange.request, &response);
    if is_clean {
        give_back(downstream, plan, carrier, &response);
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
