// SPDX-License-Identifier: Apache-2.0
//! What came of a request: the head of a response, or why there is none.
use super::attempt::{Attempt, Event, Failed};
use super::dial::fault_kind;
use crate::downstream::{Downstream, UploadError};
use crate::http2::Arrived;
use crate::thread::{Buffer, Connection};
use tidegate_core::ErrorKind;
use tidegate_http::{HeadLimits, HeadScanner, parse_response};
use tidegate_request::{Reject, Response, ResponseFraming, Version};

impl Attempt<'_> {
    /// The response whose head is the first `length` bytes of `buffer`.
    pub(super) fn parse(
        &self,
        downstream: &Downstream,
        buffer: &Buffer,
        length: usize,
        limits: &HeadLimits,
    ) -> Result<Response, Failed> {
        let head = buffer.data().get(..length).unwrap_or_default();
        let storage = downstream.thread.take_storage().unwrap_or_default();
        let method = self.request.method_kind();
        parse_response(head, storage, limits, method).map_err(|(reject, _)| malformed(&reject))
    }

    /// The response whose head came on a stream, and how its content comes.
    pub(super) fn arrived(&self, head: Arrived) -> Result<(Response, ResponseFraming), Failed> {
        let method = self.request.method_kind();
        let built = Response::build(head.storage, head.status, Version::Http2, method);
        let mut response = built.map_err(|(reject, _)| malformed(&reject))?;
        if !head.ends {
            // Up to the end of the stream: that it has the length told is judged as it comes.
            return Ok((response, ResponseFraming::Close));
        }
        if response.framing() == ResponseFraming::Close {
            response.set_framing(ResponseFraming::Length(0));
        }
        let framing = response.framing();
        Ok((response, framing))
    }
}

pub(super) fn scan(
    scanner: &mut HeadScanner,
    buffer: &Buffer,
    limits: &HeadLimits,
) -> Option<Event> {
    match scanner.scan(buffer.data(), limits) {
        Ok(None) => None,
        Ok(Some(end)) => Some(Event::Head(end)),
        Err(reject) => Some(Event::Failed(malformed(&reject))),
    }
}

/// The connection ended before a whole head came.
pub(super) fn ended(connection: &Connection, buffer: &Buffer) -> Event {
    let fault = connection.stream.fault();
    let told = fault.as_ref().map(fault_kind);
    let (kind, detail) = told.unwrap_or((
        ErrorKind::ConnectionTerminated,
        "the endpoint closed before its response",
    ));
    Event::Failed(Failed::Endpoint {
        kind,
        detail,
        is_stale: connection.is_reused && buffer.is_empty() && fault.is_none(),
        is_unseen: false,
        is_fault: true,
        fault: fault.map(Box::new),
    })
}

pub(super) fn malformed(reject: &Reject) -> Failed {
    // The scanner and the parser speak of requests and responses alike; a response's faults are
    // the endpoint's.
    let kind = match reject.kind {
        ErrorKind::RequestHeaderSize | ErrorKind::RequestTargetSize => {
            ErrorKind::HttpResponseHeaderSectionSize
        }
        ErrorKind::HttpRequestError => ErrorKind::HttpProtocolError,
        kind => kind,
    };
    Failed::Endpoint {
        kind,
        detail: reject.detail,
        is_stale: false,
        is_unseen: false,
        is_fault: true,
        fault: None,
    }
}

pub(super) fn too_late(kind: ErrorKind) -> Failed {
    if kind == ErrorKind::RequestTimeout {
        let reject = Reject::new(kind, "the body came too slowly");
        return Failed::Upload(UploadError::Refused(reject));
    }
    let detail = match kind {
        ErrorKind::HttpResponseTimeout => "the endpoint did not answer in time",
        ErrorKind::ConnectionWriteTimeout => "the endpoint did not take the request in time",
        _ => "the exchange took too long",
    };
    let is_fault = kind != ErrorKind::RequestDeadline;
    Failed::Endpoint {
        kind,
        detail,
        is_stale: false,
        is_unseen: false,
        is_fault,
        fault: None,
    }
}
