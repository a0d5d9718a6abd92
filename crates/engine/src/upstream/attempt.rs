// SPDX-License-Identifier: Apache-2.0
//! One try: the request goes out, the head of a response comes in.
use super::arrival::{ended, malformed, scan, too_late};
use super::carrier::Carrier;
use crate::downstream::{Absence, Downstream, Expired, Stalled, Upload, UploadError};
use crate::http2::Arrived;
use crate::snapshot::BackendPlan;
use crate::thread::Buffer;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::{HeadLimits, HeadScanner, ResponseContext};
use tidegate_request::{Reject, Request, Response, ResponseFraming, Version};
use tidegate_tls::Fault;

/// Informational responses one exchange may have.
const MAX_INFORMATIONAL: usize = 8;
/// Content that is kept to be sent again on another connection of HTTP/2.
const KEPT: usize = 16 << 10;
/// How long an endpoint may take to say `100 Continue` before it is said for it.
const CONTINUE_MS: u64 = 1000;

/// A response has begun.
pub(crate) struct Begun {
    pub(crate) carrier: Carrier,
    pub(crate) response: Response,
    /// How its content comes.
    pub(crate) framing: ResponseFraming,
    /// What came after the head.
    pub(crate) buffer: Buffer,
}

/// Why a try came to nothing.
pub(crate) enum Failed {
    /// The endpoint's doing.
    Endpoint {
        kind: ErrorKind,
        detail: &'static str,
        /// The connection had been idle and not a byte came back: it was most likely closed before
        /// the request was seen.
        is_stale: bool,
        /// The endpoint has said that it did nothing for the request.
        is_unseen: bool,
        /// The endpoint itself did wrong, as against a limit of ours.
        is_fault: bool,
        /// How TLS with it broke, if it did.
        fault: Option<Box<Fault>>,
    },
    /// The client's doing.
    Upload(UploadError),
}

/// The request on its way out: what is still to be written, then more of the body.
pub(crate) struct Sender {
    pub(crate) out: Vec<u8>,
    sent: usize,
    progress: Moment,
    /// The endpoint takes nothing more; it may have answered all the same.
    pub(crate) is_broken: bool,
    /// The end needs no word of its own, or was told.
    is_ended: bool,
    /// `out` has all the content so far, so that it can be sent again where it was not seen.
    pub(super) keeps: bool,
}

impl Sender {
    pub(crate) fn new(out: Vec<u8>, now: Moment, carrier: &Carrier) -> Self {
        Self {
            is_ended: !carrier.owes_end(),
            keeps: !carrier.is_framed(),
            out,
            sent: 0,
            progress: now,
            is_broken: false,
        }
    }

    /// Whether nothing is left to send.
    pub(crate) fn is_done(&self, upload: &Upload) -> bool {
        self.is_broken || (upload.is_done && self.sent == self.out.len() && self.is_ended)
    }

    /// Sends as much as can be; pending when it waits for the endpoint or for the client.
    pub(crate) fn poll(
        &mut self,
        downstream: &mut Downstream,
        upload: &mut Upload,
        carrier: &Carrier,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        while !self.is_done(upload) {
            if let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match carrier.poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) => {
                        self.sent += count;
                        self.progress = downstream.thread.moment();
                    }
                    Poll::Ready(Err(_)) => self.is_broken = true,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            self.keeps = self.keeps && self.out.len() <= KEPT;
            if !self.keeps {
                self.out.clear();
                self.sent = 0;
            }
            if upload.is_done {
                match carrier.poll_finish(cx, upload) {
                    Poll::Ready(Ok(())) => self.is_ended = true,
                    Poll::Ready(Err(_)) => self.is_broken = true,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if upload.is_raw() && !self.keeps {
                let piece = upload.piece(downstream);
                if !piece.is_empty() {
                    match carrier.poll_write(cx, piece) {
                        Poll::Ready(Ok(count)) => {
                            upload.took(downstream, count);
                            self.progress = downstream.thread.moment();
                        }
                        Poll::Ready(Err(_)) => self.is_broken = true,
                        Poll::Pending => return Poll::Pending,
                    }
                    continue;
                }
                match upload.poll_fill(downstream, cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match upload.poll_more(downstream, cx, &mut self.out, carrier.is_framed()) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Nothing else is needed while the answer is waited for.
        if !self.keeps || self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            self.sent = 0;
            downstream.thread.buffers.give_output(out);
        }
        Poll::Ready(Ok(()))
    }

    /// When the sending, as it stands, takes too long, and whose doing that would be.
    pub(crate) fn deadline(
        &self,
        downstream: &Downstream,
        upload: &Upload,
        plan: &BackendPlan,
        first_byte_ms: u64,
    ) -> (Moment, ErrorKind) {
        if self.is_done(upload) {
            return (
                self.progress.after_millis(first_byte_ms),
                ErrorKind::HttpResponseTimeout,
            );
        }
        let is_full = upload.is_raw() && !upload.piece(downstream).is_empty();
        if self.sent < self.out.len() || is_full || upload.is_done {
            let stall = plan.config.timeouts.stall.0;
            return (
                self.progress.after_millis(stall),
                ErrorKind::ConnectionWriteTimeout,
            );
        }
        (upload.deadline(downstream), ErrorKind::RequestTimeout)
    }
}

/// What a response's head may hold.
pub(crate) fn head_limits_of(plan: &BackendPlan) -> HeadLimits {
    let limits = &plan.config.limits;
    HeadLimits {
        header_size: limits.header_size.0 as usize,
        header_fields: usize::from(limits.header_fields),
        target_size: usize::MAX,
    }
}

/// What an attempt needs to know.
pub(crate) struct Attempt<'a> {
    pub(crate) plan: &'a BackendPlan,
    pub(crate) request: &'a Request,
    pub(crate) first_byte_ms: u64,
    /// When the whole exchange must be over.
    pub(crate) until: Option<Moment>,
    pub(crate) pseudonym: &'a str,
}

pub(super) enum Event {
    /// The bytes of a head, in the buffer.
    Head(usize),
    /// The head of a response on a stream.
    Arrived(Arrived),
    Continue,
    Failed(Failed),
}

impl Attempt<'_> {
    /// Sends the request and waits for the head of the final response. Informational ones go to
    /// the client at once.
    pub(crate) async fn run(
        &self,
        downstream: &mut Downstream,
        upload: &mut Upload,
        sender: &mut Sender,
        carrier: Carrier,
    ) -> Result<Begun, Failed> {
        let limits = head_limits_of(self.plan);
        let mut buffer = Buffer::default();
        let mut scanner = HeadScanner::for_response();
        let mut informational = 0;
        let mut continue_at = (self.request.expects_continue() && !upload.is_done)
            .then(|| downstream.thread.now().after_millis(CONTINUE_MS));
        loop {
            let event = self.event(
                downstream,
                upload,
                sender,
                &carrier,
                &mut buffer,
                &mut scanner,
                &limits,
                continue_at,
            );
            let (mut response, framing) = match event.await {
                Event::Head(length) => {
                    let response = self.parse(downstream, &buffer, length, &limits)?;
                    buffer.consume(length);
                    let framing = response.framing();
                    (response, framing)
                }
                Event::Arrived(head) => self.arrived(head)?,
                Event::Continue => {
                    continue_at = None;
                    let asked = downstream.ask_to_continue().await;
                    asked.map_err(|_| Failed::Upload(UploadError::Gone))?;
                    continue;
                }
                Event::Failed(failed) => {
                    downstream.thread.buffers.give(buffer);
                    return Err(failed);
                }
            };
            if !response.is_informational() || response.status() == 101 {
                return Ok(Begun {
                    carrier,
                    response,
                    framing,
                    buffer,
                });
            }
            informational += 1;
            if informational > MAX_INFORMATIONAL {
                return Err(malformed(&Reject::response(
                    "too many informational responses",
                )));
            }
            scanner = HeadScanner::for_response();
            if !self.plan.config.pass_server {
                response.hide_product();
            }
            let is_extra = response.status() == 100 && continue_at.is_none();
            continue_at = None;
            if self.request.version() != Version::Http10 && !is_extra {
                let mut out = downstream.thread.buffers.take_output();
                let context = ResponseContext {
                    version: Version::Http11,
                    keep_alive: true,
                    pseudonym: self.pseudonym,
                    date: downstream.thread.date(),
                    is_local: false,
                };
                let sent = self.inform(downstream, &mut out, &response, &context).await;
                downstream.thread.buffers.give_output(out);
                sent.map_err(|_| Failed::Upload(UploadError::Gone))?;
            }
            downstream
                .thread
                .give_storage(Some(response.into_storage()));
        }
    }

    async fn inform(
        &self,
        downstream: &Downstream,
        out: &mut Vec<u8>,
        response: &Response,
        context: &ResponseContext<'_>,
    ) -> Result<(), Stalled> {
        downstream.begin_response(out, response, context).await?;
        downstream.write_all(out).await
    }

    #[allow(clippy::too_many_arguments)] // the parts of one loop, borrowed apart
    async fn event(
        &self,
        downstream: &mut Downstream,
        upload: &mut Upload,
        sender: &mut Sender,
        carrier: &Carrier,
        buffer: &mut Buffer,
        scanner: &mut HeadScanner,
        limits: &HeadLimits,
        continue_at: Option<Moment>,
    ) -> Event {
        if !buffer.is_empty()
            && let Some(event) = scan(scanner, buffer, limits)
        {
            return event;
        }
        let mut absence = Absence::default();
        poll_fn(|cx| {
            if !sender.is_done(upload)
                && let Poll::Ready(Err(error)) = sender.poll(downstream, upload, carrier, cx)
            {
                return Poll::Ready(Event::Failed(Failed::Upload(error)));
            }
            match carrier {
                Carrier::Stream(stream) => match stream.poll_head(cx) {
                    Poll::Ready(Ok(head)) => return Poll::Ready(Event::Arrived(head)),
                    Poll::Ready(Err(failed)) => return Poll::Ready(Event::Failed(failed)),
                    Poll::Pending => {}
                },
                Carrier::Whole(connection) => loop {
                    if buffer.size() == 0 {
                        *buffer = downstream.thread.buffers.take();
                    }
                    let room = buffer.room(limits.header_size + 1024);
                    let most = room.len().min(downstream.stream.room());
                    let room = room.get_mut(..most).unwrap_or_default();
                    match connection.stream.poll_read(cx, room) {
                        Poll::Ready(Ok(count)) if count > 0 => {
                            buffer.filled(count);
                            if let Some(event) = scan(scanner, buffer, limits) {
                                return Poll::Ready(event);
                            }
                        }
                        Poll::Ready(_) => return Poll::Ready(ended(connection, buffer)),
                        Poll::Pending => break,
                    }
                },
            }
            // Thousands may wait for an answer: one buffer does for all.
            if buffer.is_empty() {
                downstream.thread.buffers.give(std::mem::take(buffer));
            }
            let (mut at, mut kind) =
                sender.deadline(downstream, upload, self.plan, self.first_byte_ms);
            if let Some(until) = self.until.filter(|until| *until < at) {
                (at, kind) = (until, ErrorKind::RequestDeadline);
            }
            let asks =
                continue_at.filter(|soon| *soon < at && upload.received == 0 && !upload.is_done);
            let expired = absence.poll(downstream, cx, asks.unwrap_or(at));
            expired.map(|expired| match (expired, asks) {
                (Expired::ClientGone, _) => Event::Failed(Failed::Upload(UploadError::Gone)),
                (Expired::Deadline, Some(_)) => Event::Continue,
                (Expired::Deadline, None) => {
                    carrier.doubt();
                    Event::Failed(too_late(kind))
                }
            })
        })
        .await
    }
}
