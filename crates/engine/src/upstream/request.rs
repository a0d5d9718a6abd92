// SPDX-License-Identifier: Apache-2.0
//! The beginning of a try: the request's head, and as much of its content as is there.
use super::attempt::{Failed, Sender};
use super::carrier::Carrier;
use super::http2::{Reached, Reserved};
use super::open::Place;
use super::switch::KEY;
use crate::downstream::{Downstream, Journey, Upload};
use crate::snapshot::BackendPlan;
use std::borrow::Cow;
use tidegate_config::HostField;
use tidegate_contract::Exchange;
use tidegate_core::ErrorKind;
use tidegate_http::{
    Forwarding, RequestFields, encode_chunk_head, encode_last_chunk, encode_request,
};
use tidegate_http2::{RequestHead, SendError};
use tidegate_request::{FieldRef, Framing};

/// Begins the exchange on what was reached; `body` is what was read of its content, framed as HTTP/1.1
/// frames it unless the backend may speak HTTP/2.
///
/// # Errors
/// When the endpoint does not take the head.
pub(super) fn begin(
    downstream: &mut Downstream,
    journey: &Journey<'_>,
    exchange: &mut Exchange,
    plan: &BackendPlan,
    place: &Place,
    reached: Reached,
    body: &[u8],
) -> Result<(Carrier, Sender), Failed> {
    if plan.config.host == HostField::Endpoint && journey.passage.is_none() {
        // An address that is no authority (a Unix socket) leaves the client's Host in place.
        let _ = exchange
            .request
            .set_authority(plan.authority(&place.endpoint.address).as_bytes());
    }
    let framing = match &exchange.body {
        Some(body) if journey.upload.framing() != Framing::None => {
            Framing::Length(body.len() as u64)
        }
        _ => journey.upload.framing(),
    };
    let forwarding = Forwarding {
        client: &downstream.peer_text,
        pseudonym: journey.pseudonym(),
        is_anonymous: journey.passage.is_some(),
        to_proxy: journey.asks_parent(),
        prefix: journey.prefix(),
        request_id: &exchange.request_id,
        framing,
        passes_expect: exchange.body.is_none() && !journey.upload.is_done,
    };
    let is_shared = matches!(reached, Reached::Shared(_));
    let mut out = match is_shared && body.is_empty() && journey.upload.is_done {
        // A hundred of them may wait for their answers.
        true => Vec::new(),
        false => downstream.thread.buffers.take_output(),
    };
    let carrier = match reached {
        Reached::Whole(connection) => {
            encode_request(&mut out, &exchange.request, &forwarding);
            match plan.config.http2 && framing == Framing::Chunked {
                true => frame(&mut out, body, &journey.upload),
                false => out.extend_from_slice(body),
            }
            Carrier::Whole(connection)
        }
        Reached::Shared(reserved) => {
            out.extend_from_slice(body);
            let stream = on_stream(reserved, exchange, &forwarding)?;
            stream.begin_wide(&downstream.stream);
            Carrier::Stream(stream)
        }
    };
    let sender = Sender::new(out, downstream.thread.moment(), &carrier);
    Ok((carrier, sender))
}

fn on_stream(
    reserved: Reserved,
    exchange: &Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<super::http2::Stream, Failed> {
    let request = &exchange.request;
    // RFC 8441 §5: a protocol is asked for by another method, and without a key.
    let protocol = request.upgrade();
    let is_tunnel = protocol.is_some();
    let head = RequestHead {
        method: match is_tunnel {
            true => b"CONNECT",
            false => request.method_bytes(),
        },
        scheme: reserved.scheme(),
        authority: request.authority_bytes(),
        path: request.path_bytes(),
        query: request.query(),
        protocol,
    };
    let fields = RequestFields::new(request, forwarding);
    let goes = |field: &FieldRef<'_>| !(is_tunnel && field.name.eq_ignore_ascii_case(KEY));
    let (ends, owed) = match forwarding.framing {
        _ if is_tunnel => (false, None),
        Framing::None | Framing::Length(0) => (true, None),
        Framing::Length(length) => (false, Some(length)),
        Framing::Chunked => (false, None),
    };
    let begun = reserved.begin(head, fields.iter().filter(goes), ends, owed);
    begun.map_err(|error| match error {
        SendError::TooLarge => Failed::Endpoint {
            kind: ErrorKind::RequestHeaderSize,
            detail: "the endpoint takes no head of this size",
            is_stale: false,
            is_unseen: false,
            is_fault: false,
            fault: None,
        },
        _ => Failed::Endpoint {
            kind: ErrorKind::ConnectionTerminated,
            detail: "the endpoint took no more requests on the connection",
            is_stale: false,
            is_unseen: true,
            is_fault: false,
            fault: None,
        },
    })
}

/// Appends content as chunks, with the end if it has come.
pub(crate) fn frame(out: &mut Vec<u8>, body: &[u8], upload: &Upload) {
    if !body.is_empty() {
        encode_chunk_head(out, body.len());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }
    if upload.is_done {
        match &upload.trailers {
            Some(trailers) => encode_last_chunk(out, trailers),
            None => encode_last_chunk(out, &Default::default()),
        }
    }
}

/// Content that was read bare, as HTTP/1.1 frames it for a copy of the request.
pub(crate) fn framed<'a>(body: &'a [u8], upload: &Upload) -> Cow<'a, [u8]> {
    if upload.framing() != Framing::Chunked {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len() + 32);
    frame(&mut out, body, upload);
    Cow::Owned(out)
}
