// SPDX-License-Identifier: Apache-2.0
//! A function's response on its way to the client.
use super::call::{Call, Said};
use super::forward::{DIED, Step, failed, step};
use super::message::is_protected;
use super::stream::BodySender;
use crate::downstream::{Downstream, Journey, Record, UploadError};
use crate::pages;
use crate::snapshot::BackendPlan;
use crate::upstream::{Outcome, not_taken};
use tidegate_contract::Exchange;
use tidegate_core::ErrorKind;
use tidegate_functions::{FieldList, WorkerMessage};
use tidegate_http::{ResponseContext, encode_chunk_head, encode_last_chunk};
use tidegate_request::{FieldId, Fields, Response, ResponseFraming, Storage, Version};

/// Bytes of a body that are written at once.
const WRITE: usize = 128 << 10;

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
pub(super) async fn deliver(
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
    let (route, listener) = (journey.routed.route, &downstream.listener);
    let in_its_place = pages::intercept(route, listener, exchange, &response);
    if let Some(answer) = in_its_place {
        let count = journey.filters.len();
        let keep_alive = downstream
            .answer(journey, exchange, record, answer, count)
            .await;
        return Outcome::Finished { keep_alive };
    }
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
        date: downstream.thread.date(),
        is_local: false,
    };
    let begun = downstream.begin_response(&mut out, &response, &context);
    let Ok(told) = begun.await else {
        return not_taken(downstream, record);
    };
    record.responds(&response, journey.current);
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
    is_last: bool,
    stall_ms: u64,
) -> Result<(), (ErrorKind, &'static str)> {
    let mut taken = Taken { bytes: 0, is_last };
    loop {
        // What has come already leaves in the same write.
        while !taken.is_last && writer.out.len() < WRITE {
            let Some(said) = call.take() else { break };
            taken.take(&said, writer, sender)?;
        }
        let sent = downstream.write_all(&writer.out).await;
        sent.map_err(|_| (ErrorKind::ClientGone, "the client stopped reading or left"))?;
        writer.out.clear();
        call.credit(std::mem::take(&mut taken.bytes));
        if taken.is_last {
            let ended = downstream.finish().await;
            return ended
                .map_err(|_| (ErrorKind::ClientGone, "the client stopped reading or left"));
        }
        let deadline = downstream.thread.now().after_millis(stall_ms);
        let said = match step(downstream, journey, call, sender, deadline).await {
            Step::Said(said) => said,
            Step::Ended { .. } => return Err(DIED),
            Step::Upload(UploadError::Gone) => {
                return Err((ErrorKind::ClientGone, "the client left"));
            }
            Step::Upload(UploadError::Refused(reject)) => return Err((reject.kind, reject.detail)),
            Step::Late => {
                let detail = "the function stopped in its response";
                return Err((ErrorKind::ConnectionReadTimeout, detail));
            }
        };
        taken.take(&said, writer, sender)?;
    }
}

/// How much of a response's body was taken from the worker since the last write.
struct Taken {
    bytes: usize,
    is_last: bool,
}

impl Taken {
    fn take(
        &mut self,
        said: &Said,
        writer: &mut Writer,
        sender: &mut Option<BodySender>,
    ) -> Result<(), (ErrorKind, &'static str)> {
        match said.message() {
            Some(WorkerMessage::Body { bytes, is_last }) => {
                self.bytes += bytes.len();
                self.is_last = is_last;
                if !writer.put(bytes, is_last) {
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
        Ok(())
    }
}
