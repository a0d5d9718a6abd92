// SPDX-License-Identifier: Apache-2.0
use super::driver::{STREAM_WINDOW, WIDE, WIDER};
use super::link::Link;
use crate::downstream::Wire;
use crate::http2::{self, Arrived, Reset};
use crate::upstream::attempt::Failed;
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use tidegate_core::ErrorKind;
use tidegate_http2::ErrorCode;
use tidegate_request::Fields;

/// Streams of a client's connection whose endpoints may send more ahead at once.
const FEW: usize = 12;

/// One exchange's stream of a connection to an endpoint. Dropped before its end, it is cancelled.
pub(crate) struct Stream {
    inner: http2::Stream<Link>,
    /// Others have begun on the connection before.
    is_reused: bool,
    /// Bytes that the connection had brought when it began.
    received: u64,
    /// It carries another protocol, whose end is not that of the request.
    is_tunnel: bool,
    /// What the endpoint may send ahead of the client.
    window: Cell<u32>,
}

impl Stream {
    pub(super) fn new(
        inner: http2::Stream<Link>,
        is_reused: bool,
        received: u64,
        is_tunnel: bool,
    ) -> Self {
        Self {
            inner,
            is_reused,
            received,
            is_tunnel,
            window: Cell::new(STREAM_WINDOW),
        }
    }

    /// Whether another protocol was asked for (RFC 8441).
    pub(in crate::upstream) fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// Waits for the head of a response.
    pub(in crate::upstream) fn poll_head(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arrived, Failed>> {
        let is_gone = self.inner.poll_gone(cx);
        match self.inner.shared.take_head(self.inner.id) {
            Some(head) => Poll::Ready(Ok(head)),
            None if is_gone => Poll::Ready(Err(self.failure())),
            None => Poll::Pending,
        }
    }

    /// Waits for content: what there is, and nothing at the end. What was taken before has been passed on.
    pub(in crate::upstream) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let content = self.inner.take();
        if !content.is_empty() || self.inner.is_at_end() {
            return Poll::Ready(Ok(content));
        }
        match self.inner.poll_gone(cx) {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Poll::Pending,
        }
    }

    /// Content that has come and was not passed on.
    pub(in crate::upstream) fn waiting(&self) -> usize {
        let shared = &self.inner.shared;
        let waiting = shared.with(self.inner.id, |slot| slot.inbox.len() + slot.held);
        waiting.unwrap_or(0)
    }

    /// Lets the endpoint send more ahead, if the client's connection may hold that: of a request that has just
    /// begun, and of a response of which the client has taken `taken` bytes and has `left` to take.
    #[inline]
    pub(in crate::upstream) fn widen(&self, client: &Wire, taken: u64, left: u64) {
        let window = self.window.get();
        let is_worth_it = taken >= u64::from(window / 2) && left > u64::from(window);
        if is_worth_it && let Some(wider) = WIDER.iter().find(|wider| **wider > window) {
            self.widen_to(client, *wider);
        }
    }

    /// As [`Self::widen`], before there is a response.
    pub(in crate::upstream) fn begin_wide(&self, client: &Wire) {
        let is_one_of_few = !client.is_among(FEW) || self.is_tunnel;
        if is_one_of_few && !self.inner.is_head {
            self.widen_to(client, WIDE);
        }
    }

    fn widen_to(&self, client: &Wire, window: u32) {
        if client.may_hold((window - STREAM_WINDOW) as usize) {
            let more = window.saturating_sub(self.window.replace(window));
            self.inner.shared.machine().widen(self.inner.id, more);
            self.inner.wrote();
        }
    }

    /// Reads into `buffer`, for who moves bytes and not a message; `Ok(0)` is the end.
    pub(in crate::upstream) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.inner.is_ending.get() {
            self.inner.end();
        }
        match self.inner.read_into(buffer) {
            0 if self.inner.is_at_end() => Poll::Ready(Ok(0)),
            0 if self.inner.poll_gone(cx) => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Ends what is sent of bytes that are no message.
    pub(in crate::upstream) fn end(&self) {
        self.inner.end();
    }

    /// The response's trailers, once its content has ended.
    pub(in crate::upstream) fn take_trailers(&self) -> Option<Fields> {
        self.inner.take_trailers()
    }

    /// Sends content; may take less.
    pub(in crate::upstream) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, bytes)
    }

    /// Ends the request, with its trailers.
    pub(in crate::upstream) fn poll_finish(
        &self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<io::Result<()>> {
        self.inner.poll_finish(cx, trailers)
    }

    /// Whether the request has ended.
    pub(in crate::upstream) fn has_ended(&self) -> bool {
        self.inner.has_ended.get()
    }

    /// The endpoint took too long: unless it shows that it is there, its connection gets no more requests.
    pub(in crate::upstream) fn doubt(&self) {
        let shared = &self.inner.shared;
        if !shared.facts.is_suspect.replace(true) {
            shared.machine().ping();
            shared.wake_driver();
        }
    }

    /// Why there is no response.
    fn failure(&self) -> Failed {
        let shared = &self.inner.shared;
        let reset = shared.with(self.inner.id, |slot| slot.reset).flatten();
        if let Some(reset) = reset {
            return refused(reset);
        }
        let link = &shared.facts;
        let (kind, detail) = link.end();
        let fault = link.fault.borrow_mut().take();
        let is_silent = link.received.get() == self.received;
        Failed::Endpoint {
            kind,
            detail,
            is_stale: self.is_reused && is_silent && link.failure.get().is_none(),
            is_unseen: false,
            is_fault: true,
            fault: fault.map(Box::new),
        }
    }
}

/// The stream was closed, by the endpoint or for what it sent.
fn refused(reset: Reset) -> Failed {
    let is_unseen = reset.by_peer && reset.code == ErrorCode::REFUSED_STREAM;
    let (kind, detail) = match (reset.by_peer, reset.code) {
        (false, ErrorCode::ENHANCE_YOUR_CALM) => {
            (ErrorKind::HttpResponseHeaderSectionSize, reset.detail)
        }
        (false, _) => (ErrorKind::HttpProtocolError, reset.detail),
        (true, ErrorCode::REFUSED_STREAM) => (
            ErrorKind::ConnectionTerminated,
            "the endpoint took no more requests on the connection",
        ),
        (true, ErrorCode::HTTP_1_1_REQUIRED) => (
            ErrorKind::ConnectionTerminated,
            "the endpoint wants HTTP/1.1 for it",
        ),
        (true, _) => (
            ErrorKind::ConnectionTerminated,
            "the endpoint reset the stream before its response",
        ),
    };
    Failed::Endpoint {
        kind,
        detail,
        is_stale: false,
        is_unseen,
        is_fault: !is_unseen,
        fault: None,
    }
}
