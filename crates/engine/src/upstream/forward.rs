// SPDX-License-Identifier: Apache-2.0
//! Tries endpoints until one answers, and passes the answer on.
use super::attempt::{Attempt, Begun, Failed};
use super::bind::bind;
use super::deliver::deliver;
use super::http2::Reached;
use super::mirror;
use super::open::Place;
use super::race::Race;
use super::request::{begin, framed};
use super::tries::Tries;
use super::wait::{Lost, Wait};
use crate::decide;
use crate::downstream::{Downstream, Journey, Record, Switched, UploadError};
use crate::grpc;
use crate::snapshot::BackendPlan;
use std::borrow::Cow;
use tidegate_contract::Exchange;
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::Request;

/// Endpoints a request is offered to before its connects count as failed for good.
pub(crate) const MAX_CONNECTS: usize = 4;

/// Fresh connections to one endpoint that cost no retry.
const MAX_AFRESH: u8 = 3;

/// How forwarding ended.
pub(crate) enum Outcome {
    /// The response reached the client.
    Finished { keep_alive: bool },
    /// The client was told that this is no HTTP any more.
    Switched(Box<Switched>),
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
    let until = match deadline(journey, &exchange.request, record) {
        Ok(until) => until,
        Err(detail) => {
            let kind = ErrorKind::HttpRequestError;
            return Outcome::Failed { kind, detail };
        }
    };
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

/// When the exchange must be over: by its route, and by its client where it is a call of gRPC.
fn deadline(
    journey: &Journey<'_>,
    request: &Request,
    record: &Record,
) -> Result<Option<Moment>, &'static str> {
    let limit = journey.routed.route.deadline;
    let until = limit.map(|limit| record.started.after_millis(limit.0));
    if !grpc::is_call(request.fields()) {
        return Ok(until);
    }
    let own = grpc::timeout(request.fields())?.map(|micros| record.started.after_micros(micros));
    Ok([until, own].into_iter().flatten().min())
}

/// The status that passive health judges: of a call that is over with its head, what that says.
fn judged(request: &Request, begun: &Begun) -> u16 {
    let code = grpc::is_call(request.fields())
        .then(|| grpc::ended_at_once(&begun.response, begun.framing))
        .flatten();
    code.map_or(begun.response.status(), grpc::http_status)
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
    let mut tries = Tries::new(retries, &exchange.request, is_whole);
    let key = decide::key(plan, &exchange.request, exchange.client.address);
    let mut again = None;
    let mut lost = None;
    let mut afresh = 0;
    loop {
        let (place, opened) = match again.take() {
            Some(place) => (place, None),
            None => {
                let wait = Wait {
                    downstream,
                    plan,
                    tried: &tries.tried,
                    key: &key,
                    until,
                };
                let taken = match journey.way() {
                    Some(way) => {
                        let race = Race::new(downstream, plan, way, until);
                        let request = Some(&exchange.request);
                        // On the heap: what is asked by a forward proxy alone.
                        let run = Box::pin(race.run(request, &tries.tried, record)).await;
                        run.map(|(place, connection)| (place, Some(connection)))
                    }
                    None => Place::take(wait).await.map(|place| (place, None)),
                };
                match taken {
                    Ok(taken) => taken,
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
        let reached = match opened {
            Some(connection) => Ok(Reached::Whole(connection)),
            None => {
                let connecting = place.connect(downstream, plan, request, until, record);
                connecting.await
            }
        };
        let reached = match reached {
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
        if let Some(until) = until {
            grpc::pass_on(&mut exchange.request, downstream.thread.now(), until);
        }
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
            Ok((mut begun, mut sender)) => {
                let status = begun.response.status();
                if plan.observes {
                    let now = downstream.thread.now();
                    let is_failure = matches!(judged(&exchange.request, &begun), 502..=504);
                    place.observe(plan, now, now.micros_since(sent), is_failure);
                }
                if tries.wants_better(&begun, is_whole || is_kept, &place)
                    && tries.goes_on(downstream, &place, plan, record)
                {
                    record.end_try(span, &exchange.request, &downstream.thread, Ok(status));
                    let now = || downstream.thread.now();
                    match retries.statuses.contains(&status) {
                        true => place.failed(plan, now()),
                        // That a call is made again does not say that its endpoint is sick.
                        false => place.answered(plan, judged(&exchange.request, &begun), now),
                    }
                    if is_kept {
                        *body = std::mem::take(&mut sender.out);
                    }
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
                let mut outcome = deliver(
                    downstream, journey, exchange, plan, record, until, place, begun, sender,
                )
                .await;
                if let Outcome::Switched(switched) = &mut outcome {
                    switched.is_try(span, status);
                    return outcome;
                }
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
                let is_held = is_whole || is_kept;
                let is_unseen = is_unseen && is_held;
                // What its client would be told is what its route names.
                let repeats = is_held && tries.repeats(grpc::code_of(kind.status()));
                let may_repeat = tries.is_repeatable || is_unseen || repeats;
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
