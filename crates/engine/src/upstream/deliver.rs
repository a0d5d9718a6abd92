// SPDX-License-Identifier: Apache-2.0
//! Passes an endpoint's answer on to the client.
use super::attempt::{Begun, Sender, head_limits_of};
use super::download::Download;
use super::forward::Outcome;
use super::giving::give_back;
use super::load;
use super::open::Place;
use super::switch::switch;
use crate::downstream::{Downstream, Journey, Record};
use crate::grpc;
use crate::pages;
use crate::snapshot::BackendPlan;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::ResponseContext;
use tidegate_request::ResponseFraming;

#[allow(clippy::too_many_arguments)] // everything an exchange consists of, at its last step
pub(super) async fn deliver(
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
    if response.status() == 101 || (carrier.is_tunnel() && matches!(response.status(), 200..300)) {
        let switched = switch(
            downstream, journey, exchange, record, place, carrier, response, buffer,
        );
        // On the heap, like what else is rare: every request would have room for it.
        return Box::pin(switched).await;
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
    if let Some((kind, detail)) = journey.refused_by_parent(status) {
        place.answered(plan, status, || now);
        return Outcome::Failed { kind, detail };
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
        let answered = downstream.answer(journey, exchange, record, answer, count);
        let keep_alive = Box::pin(answered).await;
        return Outcome::Finished { keep_alive };
    }
    let replaced = journey.way_back(exchange, &mut response).await;
    if let Some(answer) = replaced {
        place.answered(plan, status, || now);
        return Box::pin(replace(downstream, journey, exchange, record, answer)).await;
    }
    // What ends with its head says there what trailers would say.
    let is_over = matches!(framing, ResponseFraming::None | ResponseFraming::Length(0));
    let call = journey.web.as_ref().and_then(|web| web.call);
    let call = call.filter(|call| call.retitle(&mut response) && !is_over);
    if call.is_some() {
        // It becomes longer.
        response.set_framing(ResponseFraming::Chunked);
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
    let is_call = grpc::is_call(exchange.request.fields());
    if is_call {
        record.entry.grpc_status = grpc::code_in(response.fields());
    }
    let is_chunked = told.framing == ResponseFraming::Chunked;
    let limits = head_limits_of(plan);
    let report = plan.config.load_report.as_ref();
    let mut download = Download::new(framing, is_chunked, out, buffer, &limits, now, report);
    download.web = call.map(|call| Box::new(call.outgoing()));
    let upload = &mut journey.upload;
    let outcome = download
        .run(downstream, upload, &mut sender, &carrier, plan, until)
        .await;
    let mut has_end = false;
    if let Err(cut) = &outcome
        && cut.kind != ErrorKind::ClientGone
        && download.end_early(grpc::last_words(cut.kind))
    {
        let written = downstream.write_all(&download.out).await.is_ok();
        has_end = written && downstream.finish().await.is_ok();
    }
    record.entry.bytes_out = download.bytes;
    record.entry.grpc_status = record.entry.grpc_status.or(download.grpc_status);
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
            let said = record.entry.grpc_status.filter(|_| status == 200);
            let judged = said.map_or(status, grpc::http_status);
            place.answered(plan, judged, || downstream.thread.now());
            Outcome::Finished {
                keep_alive: told.keep_alive,
            }
        }
        Err(cut) => {
            record.fail_with(cut.kind, cut.detail);
            if cut.is_fault {
                place.failed(plan, downstream.thread.now());
            }
            if has_end {
                return Outcome::Finished { keep_alive: false };
            }
            if is_call && call.is_none() && cut.kind != ErrorKind::ClientGone {
                // In trailers a call's end is told as what it is.
                let trailers = grpc::last_words(cut.kind);
                record.entry.grpc_status = grpc::code_in(&trailers);
                downstream.finish_with(&trailers).await;
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
