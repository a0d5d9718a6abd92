// SPDX-License-Identifier: Apache-2.0
//! A response's body on its way to the client.
use super::attempt::Sender;
use super::carrier::Carrier;
use super::content::{Cut, client_gone, cut_short, push};
use super::load;
use super::relay::Pipe;
use crate::downstream::{Absence, Downstream, Expired, Upload};
use crate::egress::{Lanes, Paced};
use crate::grpc;
use crate::snapshot::BackendPlan;
use crate::thread::{Buffer, LARGE, Turn};
use crate::web::Outgoing;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use tidegate_config::LoadReport;
use tidegate_core::{ErrorKind, GrpcCode, Moment};
use tidegate_http::{ChunkDecoder, HeadLimits, encode_last_chunk};
use tidegate_request::{Fields, ResponseFraming};

/// Bodies longer than this are read in large pieces.
const LONG: u64 = 16 << 10;
/// Bytes that are read ahead for a client that takes nothing now on a stream of its connection: enough for
/// the end of a body to be seen. A hundred such streams must not hold a buffer each.
const AHEAD: usize = 512;
/// What may wait for each of a client's streams without being counted by itself.
const LITTLE: usize = 2 << 10;
/// Bytes that go to one client before others get their turn.
const SHARE: usize = 1 << 20;

/// The body of one response.
pub(crate) struct Download<'a> {
    framing: ResponseFraming,
    left: u64,
    decoder: Option<Box<ChunkDecoder>>,
    /// Whether the client gets chunks.
    is_chunked: bool,
    /// What is written before the rest of the body: the head, chunk framing.
    pub(crate) out: Vec<u8>,
    sent: usize,
    /// What ends the response of a client that is not told by chunks.
    trailers: Option<Fields>,
    pub(crate) buffer: Buffer,
    /// The whole body came from the endpoint.
    is_done: bool,
    /// Body bytes handed on.
    pub(crate) bytes: u64,
    progress: Moment,
    waits_for_client: bool,
    turn: Turn,
    /// What a load report in the trailers is to look like, and what one said.
    report: Option<&'a LoadReport>,
    pub(crate) load: Option<f64>,
    /// What the content of an answer by gRPC-Web goes through.
    pub(crate) web: Option<Box<Outgoing>>,
    /// What trailers said of a call of gRPC.
    pub(crate) grpc_status: Option<GrpcCode>,
}

impl<'a> Download<'a> {
    /// `out` holds the encoded head. `is_chunked` says how the client is told where the body ends.
    pub(crate) fn new(
        framing: ResponseFraming,
        is_chunked: bool,
        out: Vec<u8>,
        buffer: Buffer,
        limits: &HeadLimits,
        now: Moment,
        report: Option<&'a LoadReport>,
    ) -> Self {
        let (left, decoder) = match framing {
            ResponseFraming::None => (0, None),
            ResponseFraming::Length(length) => (length, None),
            ResponseFraming::Chunked => (0, Some(Box::new(ChunkDecoder::for_response(limits)))),
            ResponseFraming::Close => (u64::MAX, None),
        };
        let is_done = matches!(framing, ResponseFraming::None | ResponseFraming::Length(0));
        Self {
            framing,
            left,
            decoder,
            is_chunked,
            out,
            sent: 0,
            trailers: None,
            buffer,
            is_done,
            bytes: 0,
            progress: now,
            waits_for_client: false,
            turn: Turn::default(),
            report,
            load: None,
            web: None,
            grpc_status: None,
        }
    }

    /// Whether the endpoint sent more than its response: its connection cannot be trusted.
    pub(crate) fn has_surplus(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Moves what was read into `out`, framed for the client.
    fn take(&mut self) -> Result<(), Cut> {
        if self.decoder.is_some() {
            return self.take_chunks();
        }
        let count = (self.buffer.len() as u64).min(self.left) as usize;
        let data = self.buffer.data().get(..count).unwrap_or_default();
        let web = self.web.as_deref_mut();
        let passed = push(&mut self.out, self.is_chunked, web, data)?;
        self.took(count);
        self.bytes = (self.bytes + passed).saturating_sub(count as u64);
        Ok(())
    }

    fn took(&mut self, count: usize) {
        self.buffer.consume(count);
        self.bytes += count as u64;
        if self.framing != ResponseFraming::Close {
            self.left -= count as u64;
            self.is_done = self.left == 0;
        }
    }

    fn take_chunks(&mut self) -> Result<(), Cut> {
        while !self.buffer.is_empty() && !self.is_done {
            let Some(decoder) = &mut self.decoder else {
                return Ok(());
            };
            let input = self.buffer.data();
            let decoded = decoder.decode(input).map_err(|reject| Cut {
                kind: ErrorKind::HttpProtocolError,
                detail: reject.detail,
                is_fault: true,
            })?;
            let data = input.get(decoded.data.clone()).unwrap_or_default();
            let web = self.web.as_deref_mut();
            self.bytes += push(&mut self.out, self.is_chunked, web, data)?;
            if decoded.done {
                self.is_done = true;
                let trailers = decoder.take_trailers();
                self.end_with(trailers)?;
            }
            let consumed = decoded.consumed;
            if consumed == 0 && !decoded.done {
                break;
            }
            self.buffer.consume(consumed);
        }
        Ok(())
    }

    /// The content has ended.
    fn end_with(&mut self, mut trailers: Fields) -> Result<(), Cut> {
        self.grpc_status = grpc::code_in(&trailers);
        if let Some(report) = self.report {
            self.load = load::take(report, &mut trailers);
        }
        if let Some(web) = &mut self.web {
            let last = web.end(&trailers).ok_or_else(cut_short)?;
            self.bytes += push(&mut self.out, self.is_chunked, None, &last)?;
            trailers = Fields::default();
        }
        match self.is_chunked {
            true => encode_last_chunk(&mut self.out, &trailers),
            false => self.trailers = Some(trailers),
        }
        Ok(())
    }

    /// Ends an answer by gRPC-Web that is cut, with these trailers; false where a client that takes nothing or
    /// a message that is open leaves no room for them. The rest is in `out`.
    pub(crate) fn end_early(&mut self, trailers: Fields) -> bool {
        let is_stuck = self.waits_for_client || self.is_done;
        if is_stuck || !self.web.as_ref().is_some_and(|web| web.is_between()) {
            return false;
        }
        self.out.drain(..self.sent);
        self.sent = 0;
        self.is_done = true;
        self.end_with(trailers).is_ok()
    }

    /// The endpoint closed.
    fn end(&mut self, trailers: Option<Fields>) -> Result<(), Cut> {
        if self.framing != ResponseFraming::Close {
            return Err(cut_short());
        }
        self.is_done = true;
        self.end_with(trailers.unwrap_or_default())
    }

    /// Whether body bytes go to the client as they came.
    fn is_raw(&self) -> bool {
        self.decoder.is_none() && !self.is_chunked && self.web.is_none()
    }

    fn poll(
        &mut self,
        downstream: &Downstream,
        carrier: &Carrier,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        let turns = &downstream.thread.turns;
        if self.waits_for_client && turns.poll(&mut self.turn, cx).is_pending() {
            return self.wait(true);
        }
        let lanes = downstream.lanes.as_deref();
        let client = Paced {
            wire: &downstream.stream,
            lanes,
        };
        let mut moved = 0;
        loop {
            if moved > SHARE {
                turns.stand(&mut self.turn, cx);
                return self.wait(true);
            }
            let is_direct = self.sent == self.out.len() && self.is_raw() && !self.buffer.is_empty();
            if is_direct && !self.is_done {
                let count = (self.buffer.len() as u64).min(self.left) as usize;
                let data = self.buffer.data().get(..count).unwrap_or_default();
                match client.poll_write(cx, data) {
                    Poll::Ready(Ok(count)) => {
                        moved += count;
                        self.took(count);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(client_gone())),
                    Poll::Pending => return self.wait_on(&client, downstream),
                }
                self.progress = downstream.thread.moment();
                continue;
            }
            if let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match client.poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) => {
                        moved += count;
                        self.sent += count;
                        self.progress = downstream.thread.moment();
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(client_gone())),
                    Poll::Pending => return self.wait_on(&client, downstream),
                }
                continue;
            }
            self.out.clear();
            self.sent = 0;
            if self.is_done {
                let trailers = self.trailers.as_ref();
                return match downstream.stream.poll_finish(cx, trailers) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(client_gone())),
                    Poll::Pending => self.wait(true),
                };
            }
            if !self.buffer.is_empty() {
                self.take()?;
                if !self.out.is_empty() || self.is_done {
                    continue;
                }
            }
            match self.poll_fill(downstream, carrier, cx) {
                Poll::Ready(Ok(0)) => self.end(carrier.take_trailers())?,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(cut_short())),
                Poll::Ready(Ok(_)) => {
                    self.progress = downstream.thread.moment();
                }
                Poll::Pending => return self.wait(false),
            }
        }
    }

    /// Waits for the client, or until its user may have more, which is no fault of the client's.
    fn wait_on(&mut self, client: &Paced<'_>, downstream: &Downstream) -> Poll<Result<(), Cut>> {
        if client.lanes.is_some_and(Lanes::holds_back) {
            self.progress = downstream.thread.moment();
        }
        self.wait(true)
    }

    /// Reads more into the buffer, which is empty or has a part of a chunk's head; `Ok(0)` is the end.
    #[inline]
    fn poll_fill(
        &mut self,
        downstream: &Downstream,
        carrier: &Carrier,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match carrier {
            Carrier::Whole(connection) => {
                let most = self.room(downstream, cx);
                let outcome = connection.stream.poll_read(cx, self.buffer.room(most));
                if let Poll::Ready(Ok(count)) = outcome {
                    self.buffer.filled(count);
                }
                outcome
            }
            // What was taken before has been passed on: only now may the endpoint send as much again.
            Carrier::Stream(stream) => {
                stream.widen(&downstream.stream, self.bytes, self.left);
                stream.poll_take(cx).map_ok(|content| {
                    self.buffer = Buffer::holding(content);
                    self.buffer.len()
                })
            }
        }
    }

    /// Sees to it that the buffer, which is empty, has the size that fits; how far it may grow.
    fn room(&mut self, downstream: &Downstream, cx: &mut Context<'_>) -> usize {
        let Some(stream) = downstream.stream.stream() else {
            return LARGE;
        };
        if !self.buffer.is_empty() {
            return self.buffer.size().max(AHEAD);
        }
        let (buffers, size) = (&downstream.thread.buffers, self.buffer.size());
        match stream.may_send(cx) {
            true if size <= AHEAD => self.buffer = buffers.take(),
            false if size != AHEAD => {
                let small = Buffer::with_room(AHEAD);
                buffers.give(std::mem::replace(&mut self.buffer, small));
            }
            _ => {}
        }
        self.buffer.size()
    }

    fn wait(&mut self, waits_for_client: bool) -> Poll<Result<(), Cut>> {
        self.waits_for_client = waits_for_client;
        Poll::Pending
    }

    /// Takes as much as came with the head, so that head and short body are one write.
    pub(crate) fn begin(&mut self, downstream: &Downstream, carrier: &Carrier) -> Result<(), Cut> {
        if !self.is_done && !self.buffer.is_empty() {
            self.take()?;
        }
        if self.buffer.is_empty() && downstream.stream.stream().is_some() {
            // The client may open no window for a while.
            let buffer = std::mem::take(&mut self.buffer);
            downstream.thread.buffers.give(buffer);
            if downstream.stream.room() < self.out.capacity() {
                self.out.shrink_to_fit();
            }
        }
        let is_whole = downstream.stream.whole().is_some() && carrier.stream().is_none();
        if !self.is_done && self.buffer.is_empty() && self.left > LONG && is_whole {
            // With little memory left it goes on in small pieces.
            if downstream.take_memory(0, LARGE) {
                let large = downstream.thread.buffers.take_large();
                downstream
                    .thread
                    .buffers
                    .give(std::mem::replace(&mut self.buffer, large));
            }
        }
        Ok(())
    }

    /// Moves the whole body, and whatever the client still sends, until the response is over.
    pub(crate) async fn run(
        &mut self,
        downstream: &mut Downstream,
        upload: &mut Upload,
        sender: &mut Sender,
        carrier: &Carrier,
        plan: &BackendPlan,
        until: Option<Moment>,
    ) -> Result<(), Cut> {
        self.begin(downstream, carrier)?;
        let mut absence = Absence::default();
        poll_fn(|cx| {
            if !sender.is_done(upload) {
                // A client that stops sending may still want the response: its stall is judged by
                // what it reads. What it sent wrongly ends the exchange.
                if let Poll::Ready(Err(_)) = sender.poll(downstream, upload, carrier, cx) {
                    sender.is_broken = true;
                }
            }
            if let Poll::Ready(outcome) = self.poll(downstream, carrier, cx) {
                return Poll::Ready(outcome);
            }
            let (stall, kind, detail) = match self.waits_for_client {
                true => (
                    downstream.listener.config.timeouts.send_stall,
                    ErrorKind::ClientGone,
                    "the client stopped reading",
                ),
                false => (
                    plan.config.timeouts.stall,
                    ErrorKind::ConnectionReadTimeout,
                    "the endpoint stopped in its response",
                ),
            };
            let mut at = self.progress.after_millis(stall.0);
            let mut cut = Cut {
                kind,
                detail,
                is_fault: !self.waits_for_client,
            };
            if let Some(until) = until.filter(|until| *until < at) {
                at = until;
                let detail = "the exchange took too long";
                cut = Cut {
                    kind: ErrorKind::RequestDeadline,
                    detail,
                    is_fault: false,
                };
            }
            if self.waits_for_client {
                if let Some(stream) = carrier.stream() {
                    downstream.hold(self.buffer.memory() + stream.waiting());
                }
                if let Some(stream) = downstream.stream.stream() {
                    if stream.poll_gone(cx) {
                        return Poll::Ready(Err(client_gone()));
                    }
                    if carrier.stream().is_none() {
                        let waiting = self.buffer.memory() + self.out.capacity();
                        stream.hold(waiting.saturating_sub(LITTLE));
                    }
                }
                // The wait for room to write ends when the client resets.
                downstream.timer.set(at);
                return downstream.timer.poll_expired(cx).map(|()| Err(cut));
            }
            let expired = absence.poll(downstream, cx, at);
            expired.map(|expired| match expired {
                Expired::ClientGone => Err(client_gone()),
                Expired::Deadline => {
                    carrier.doubt();
                    Err(cut)
                }
            })
        })
        .await
    }
}
