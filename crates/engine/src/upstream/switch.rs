// SPDX-License-Identifier: Apache-2.0
//! A response that ends HTTP on both sides: `101 Switching Protocols`, or what stands for it on a stream of HTTP/2.
use super::carrier::Carrier;
use super::forward::Outcome;
use super::open::Place;
use super::tunnel::{Terms, Tunnel};
use crate::downstream::{Downstream, Journey, Record, Switched};
use crate::thread::Buffer;
use sha1::{Digest as _, Sha1};
use tidegate_contract::Exchange;
use tidegate_core::{ErrorKind, base64_encoded};
use tidegate_http::ResponseContext;
use tidegate_request::{FieldId, Method, Request, Response, Storage, Version};

/// What a client of HTTP/1.1 proves that a WebSocket's server has read (RFC 6455 §4.1).
pub(super) const KEY: &[u8] = b"sec-websocket-key";
/// What is added to it (RFC 6455 §1.3).
const ADDED: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The endpoint switched protocols: right if the client asked for that one.
#[allow(clippy::too_many_arguments)] // everything an exchange consists of, at its last step
pub(crate) async fn switch(
    downstream: &mut Downstream,
    journey: &Journey<'_>,
    exchange: &mut Exchange,
    record: &mut Record,
    place: Place,
    carrier: Carrier,
    mut response: Response,
    buffer: Buffer,
) -> Outcome {
    let asked = exchange.request.upgrade().map(<[u8]>::to_vec);
    if carrier.is_tunnel() {
        match switched(&exchange.request, response) {
            Ok(told) => response = told,
            Err(outcome) => return outcome,
        }
    }
    let is_asked = match (&asked, response.upgrade()) {
        (Some(asked), Some(given)) => asked.eq_ignore_ascii_case(given),
        _ => false,
    };
    if !is_asked || exchange.request.method_kind() == Method::Head {
        return failed("the endpoint switched to a protocol that was not asked for");
    }
    // The handshake is the endpoint's own; a filter may watch it, not replace it.
    let _ = journey.way_back(exchange, &mut response).await;
    if downstream.stream.stream().is_some() {
        match established(response) {
            Ok(told) => response = told,
            Err(outcome) => return outcome,
        }
    }
    let mut out = downstream.thread.buffers.take_output();
    let context = ResponseContext {
        version: Version::Http11,
        keep_alive: true,
        pseudonym: &journey.current.snapshot.settings.config.name,
        date: downstream.thread.date(),
        is_local: false,
    };
    let begun = downstream
        .begin_response(&mut out, &response, &context)
        .await;
    record.responds(&response, journey.current);
    let sent = downstream.write_all(&out).await;
    downstream.thread.buffers.give_output(out);
    if begun.is_err() || sent.is_err() {
        return Outcome::Broken;
    }
    let route = journey.routed.route;
    let life = route.timeouts.upgraded_life;
    let until = life.map(|life| downstream.thread.now().after_millis(life.0));
    let mut terms = Terms::bare(route.timeouts.upgraded_idle.0, until);
    if asked.is_some_and(|asked| asked.eq_ignore_ascii_case(b"websocket")) {
        terms = terms.with_messages(route.websocket.as_ref());
    }
    let tunnel = Tunnel::new(downstream, carrier, buffer, terms);
    Outcome::Switched(Switched::new(tunnel, Some(place)))
}

/// An endpoint's word on a stream that it carries the protocol, as it would be told over HTTP/1.1.
fn switched(request: &Request, response: Response) -> Result<Response, Outcome> {
    let Some(key) = request.fields().get_name(KEY) else {
        return Err(Outcome::Failed {
            kind: ErrorKind::HttpRequestError,
            detail: "a WebSocket without Sec-WebSocket-Key",
        });
    };
    let accept = Sha1::new().chain_update(key).chain_update(ADDED).finalize();
    let accept = base64_encoded(&accept);
    let mut storage = response.into_storage();
    let fields = storage.fields_mut();
    for id in [FieldId::ContentLength, FieldId::TransferEncoding] {
        fields.remove_id(id);
    }
    let told = fields
        .append_id(FieldId::Connection, b"Upgrade")
        .and_then(|()| fields.append_id(FieldId::Upgrade, b"websocket"))
        .and_then(|()| fields.set(b"Sec-WebSocket-Accept", accept.as_bytes()));
    if told.is_err() {
        return Err(failed("the endpoint's head leaves no room for its answer"));
    }
    built(storage, 101)
}

/// What a client of HTTP/2 is told in place of 101 (RFC 8441 §5): its stream carries the protocol.
fn established(response: Response) -> Result<Response, Outcome> {
    let mut storage = response.into_storage();
    let fields = storage.fields_mut();
    for id in [
        FieldId::Connection,
        FieldId::Upgrade,
        FieldId::ContentLength,
    ] {
        fields.remove_id(id);
    }
    fields.remove_id(FieldId::TransferEncoding);
    fields.remove(b"Sec-WebSocket-Accept");
    built(storage, 200)
}

fn built(storage: Storage, status: u16) -> Result<Response, Outcome> {
    Response::build(storage, status, Version::Http11, Method::Get)
        .map_err(|(reject, _)| failed(reject.detail))
}

fn failed(detail: &'static str) -> Outcome {
    Outcome::Failed {
        kind: ErrorKind::HttpUpgradeFailed,
        detail,
    }
}
