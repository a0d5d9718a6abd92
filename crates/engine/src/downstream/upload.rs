// SPDX-License-Identifier: Apache-2.0
use super::connection::Downstream;
use super::wire::Wire;
use crate::egress::Paced;
use crate::thread::{Buffer, LARGE, Turn};
use crate::upstream::{MirrorCopy, Pipe, frame, framed};
use crate::web::Incoming;
use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::{ChunkDecoder, HeadLimits, encode_chunk_head, encode_last_chunk};
use tidegate_request::{Fields, Framing, Reject};

/// Bodies of which more is to come are read in large pieces.
const LONG: u64 = 16 << 10;

/// Why a request's body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadError {
    /// The client closed, or reset.
    Gone,
    /// Too large, malformed, or too slow: the client gets a response for it.
    Refused(Reject),
}

/// A request's body on its way from the client's connection. Reads no byte beyond the body.
pub(crate) struct Upload {
    framing: Framing,
    left: u64,
    decoder: Option<Box<ChunkDecoder>>,
    /// The body comes on a stream, which says itself where it ends.
    is_stream: bool,
    limit: u64,
    /// Body bytes received.
    pub(crate) received: u64,
    /// The whole body has been taken from the connection.
    pub(crate) is_done: bool,
    /// A copy of the request that takes what is sent on.
    pub(crate) copy: Option<Box<MirrorCopy>>,
    /// What the content of a call by gRPC-Web goes through.
    pub(crate) web: Option<Box<Incoming>>,
    /// What came behind content that was taken bare.
    pub(crate) trailers: Option<Box<Fields>>,
    started: Moment,
    progress: Moment,
    /// The client has been waited for since it last sent something.
    has_waited: bool,
    turn: Turn,
}

impl Upload {
    pub(crate) fn new(
        wire: &Wire,
        framing: Framing,
        limit: u64,
        heads: &HeadLimits,
        now: Moment,
    ) -> Self {
        let is_stream = wire.stream().is_some();
        let (left, decoder) = match framing {
            Framing::None => (0, None),
            Framing::Length(length) => (length, None),
            Framing::Chunked if is_stream => (0, None),
            Framing::Chunked => (0, Some(Box::new(ChunkDecoder::new(heads)))),
        };
        let is_done = framing == Framing::None || (framing == Framing::Length(0));
        Self {
            framing,
            left,
            decoder,
            is_stream,
            limit,
            received: 0,
            is_done,
            copy: None,
            web: None,
            trailers: None,
            started: now,
            progress: now,
            has_waited: false,
            turn: Turn::default(),
        }
    }

    /// Whether the announced length alone is too much.
    pub(crate) fn is_too_long(&self) -> bool {
        self.left > self.limit
    }

    /// Takes what `downstream` has already read; appends it to `out`, framed for the endpoint.
    ///
    /// # Errors
    /// When the body is malformed or larger than the limit.
    pub(crate) fn take(
        &mut self,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) -> Result<(), Reject> {
        if self.web.is_some() {
            return self.take_web(downstream, out, true);
        }
        if self.decoder.is_some() {
            return self.take_chunks(downstream, out, true);
        }
        if self.is_stream {
            return self.take_content(downstream, out, true);
        }
        self.take_raw(downstream, out);
        Ok(())
    }

    fn take_raw(&mut self, downstream: &mut Downstream, out: &mut Vec<u8>) {
        let take = (downstream.buffer.len() as u64).min(self.left) as usize;
        out.extend_from_slice(downstream.buffer.data().get(..take).unwrap_or_default());
        downstream.buffer.consume(take);
        self.left -= take as u64;
        self.received += take as u64;
        self.is_done = self.left == 0;
    }

    /// As [`Self::take`], but what is appended are the bare bytes of the body.
    pub(crate) fn take_bare(
        &mut self,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
    ) -> Result<(), Reject> {
        match self.web.is_some() {
            true => self.take_web(downstream, out, false),
            false => self.take_plain(downstream, out),
        }
    }

    /// The bare bytes of the body as the client sent them.
    fn take_plain(&mut self, downstream: &mut Downstream, out: &mut Vec<u8>) -> Result<(), Reject> {
        match self.decoder.is_some() {
            true => self.take_chunks(downstream, out, false),
            false if self.is_stream => self.take_content(downstream, out, false),
            false => {
                self.take_raw(downstream, out);
                Ok(())
            }
        }
    }

    /// Takes content of gRPC-Web, and makes it that of gRPC.
    fn take_web(
        &mut self,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
        is_framed: bool,
    ) -> Result<(), Reject> {
        let before = out.len();
        let was_done = self.is_done;
        self.take_plain(downstream, out)?;
        let Some(web) = &mut self.web else {
            return Ok(());
        };
        web.pass(out, before, self.is_done)?;
        if is_framed && self.framing() == Framing::Chunked && !was_done {
            let piece = out.split_off(before);
            frame(out, &piece, self);
        }
        Ok(())
    }

    /// Takes what came on a stream.
    fn take_content(
        &mut self,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
        is_framed: bool,
    ) -> Result<(), Reject> {
        if self.is_done {
            return Ok(());
        }
        let Wire::Stream(stream) = &downstream.stream else {
            return Ok(());
        };
        // Where there is a rate, `poll_read` takes it in time.
        if downstream.buffer.is_empty() && downstream.lanes.is_none() {
            downstream.buffer = Buffer::holding(stream.take());
        }
        let is_bare = !is_framed;
        let is_framed = is_framed && self.framing == Framing::Chunked;
        let data = downstream.buffer.data();
        let count = data.len();
        self.received += count as u64;
        if self.received > self.limit {
            return Err(Reject::new(
                ErrorKind::RequestBodySize,
                "the body is too large",
            ));
        }
        if is_framed && count > 0 {
            encode_chunk_head(out, count);
        }
        out.extend_from_slice(data);
        if is_framed && count > 0 {
            out.extend_from_slice(b"\r\n");
        }
        downstream.buffer.consume(count);
        self.left = self.left.saturating_sub(count as u64);
        self.is_done = match self.framing {
            Framing::Chunked => stream.is_at_end(),
            _ => self.left == 0,
        };
        if self.is_done {
            if is_framed {
                encode_last_chunk(out, &stream.take_trailers().unwrap_or_default());
            } else if is_bare {
                self.trailers = stream.take_trailers().map(Box::new);
            }
            downstream.buffer = Buffer::holding(stream.take()); // the last of it has been passed on
        }
        Ok(())
    }

    fn take_chunks(
        &mut self,
        downstream: &mut Downstream,
        out: &mut Vec<u8>,
        is_framed: bool,
    ) -> Result<(), Reject> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(());
        };
        while !downstream.buffer.is_empty() && !self.is_done {
            let input = downstream.buffer.data();
            let decoded = decoder.decode(input)?;
            let data = input.get(decoded.data.clone()).unwrap_or_default();
            self.received += data.len() as u64;
            if self.received > self.limit {
                return Err(Reject::new(
                    ErrorKind::RequestBodySize,
                    "the body is too large",
                ));
            }
            if !data.is_empty() {
                if is_framed {
                    encode_chunk_head(out, data.len());
                }
                out.extend_from_slice(data);
                if is_framed {
                    out.extend_from_slice(b"\r\n");
                }
            }
            if decoded.done {
                self.is_done = true;
                match is_framed {
                    true => encode_last_chunk(out, &decoder.take_trailers()),
                    false => self.trailers = Some(Box::new(decoder.take_trailers())),
                }
            }
            let consumed = decoded.consumed;
            if consumed == 0 && !decoded.done {
                break;
            }
            downstream.buffer.consume(consumed);
        }
        Ok(())
    }

    /// Whether the body's bytes go to the endpoint as they come, out of the connection's own buffer.
    pub(crate) fn is_raw(&self) -> bool {
        let is_bare = !self.is_stream || self.framing != Framing::Chunked;
        is_bare && self.decoder.is_none() && self.copy.is_none() && self.web.is_none()
    }

    /// What is there of a body that [`Self::is_raw`].
    pub(crate) fn piece<'a>(&self, downstream: &'a Downstream) -> &'a [u8] {
        let count = (downstream.buffer.len() as u64).min(self.left) as usize;
        downstream.buffer.data().get(..count).unwrap_or_default()
    }

    /// So many bytes of [`Self::piece`] were sent on.
    pub(crate) fn took(&mut self, downstream: &mut Downstream, count: usize) {
        downstream.buffer.consume(count);
        self.left = self.left.saturating_sub(count as u64);
        self.received += count as u64;
        self.is_done = self.left == 0;
        if let Wire::Stream(stream) = &downstream.stream
            && self.is_done
        {
            downstream.buffer = Buffer::holding(stream.take()); // the last of it has been passed on
        }
    }

    /// Reads more of a body that [`Self::is_raw`] into the connection's buffer, which is empty.
    pub(crate) fn poll_fill(
        &mut self,
        downstream: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        // Who stands in the line has no buffer.
        ready!(self.poll_turn(downstream, cx));
        if self.left > LONG && downstream.buffer.size() < LARGE && !self.is_stream {
            // The memory for it was asked for when the body began.
            let buffers = &downstream.thread.buffers;
            let large = buffers.take_large();
            buffers.give(std::mem::replace(&mut downstream.buffer, large));
        }
        self.poll_read(downstream, cx)
    }

    /// Waits for the turn of a client that sends its body piece by piece.
    fn poll_turn(&mut self, downstream: &Downstream, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_waited {
            ready!(downstream.thread.turns.poll(&mut self.turn, cx));
            self.has_waited = false;
        }
        Poll::Ready(())
    }

    fn poll_read(
        &mut self,
        downstream: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        ready!(self.poll_turn(downstream, cx));
        let lanes = downstream.lanes.as_deref();
        if let Some(lanes) = lanes
            && lanes.inwards().poll(cx).is_pending()
        {
            // Who is held back is not slow.
            self.progress = downstream.thread.moment();
            return Poll::Pending;
        }
        if let Wire::Stream(stream) = &downstream.stream {
            return match stream.poll_take(cx) {
                Poll::Ready(Ok(content)) => {
                    if let Some(lanes) = lanes {
                        lanes.inwards().moved(content.len());
                    }
                    downstream.buffer = Buffer::holding(content);
                    self.progress = downstream.thread.moment();
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(_)) => Poll::Ready(Err(UploadError::Gone)),
                Poll::Pending => {
                    self.has_waited = true;
                    Poll::Pending
                }
            };
        }
        let buffers = &downstream.thread.buffers;
        if downstream.buffer.size() == 0 {
            downstream.buffer = buffers.take();
        }
        let room = downstream.buffer.room(LARGE);
        let wire = &downstream.stream;
        match (Paced { wire, lanes }).poll_read(cx, room) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(UploadError::Gone)),
            Poll::Ready(Ok(count)) => {
                downstream.buffer.filled(count);
                self.progress = downstream.thread.moment();
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                self.has_waited = true;
                // Thousands of clients may send a byte every ten seconds: one buffer does for all.
                if downstream.buffer.is_empty() {
                    buffers.give(std::mem::take(&mut downstream.buffer));
                }
                Poll::Pending
            }
        }
    }

    /// When the client counts as too slow: `body_stall` after the last byte, or once the whole body
    /// came at less than `body_rate` bytes a second after a grace of `body_stall`.
    pub(crate) fn deadline(&self, downstream: &Downstream) -> Moment {
        let timeouts = &downstream.listener.config.timeouts;
        let stall = self.progress.after_millis(timeouts.body_stall.0);
        if downstream.lanes.is_some() {
            return stall;
        }
        let earned_ms = self
            .received
            .saturating_mul(1000)
            .checked_div(timeouts.body_rate.0);
        match earned_ms {
            None => stall,
            Some(earned) => stall.min(
                self.started
                    .after_millis(timeouts.body_stall.0.saturating_add(earned)),
            ),
        }
    }

    /// Reads more of the body into `out`. Ready when some came, or the body ended.
    pub(crate) fn poll_more(
        &mut self,
        downstream: &mut Downstream,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        is_framed: bool,
    ) -> Poll<Result<(), UploadError>> {
        while !self.is_done {
            let before = out.len();
            let taken = match is_framed {
                true => self.take(downstream, out),
                false => self.take_bare(downstream, out),
            };
            if let Err(reject) = taken {
                return Poll::Ready(Err(UploadError::Refused(reject)));
            }
            if out.len() > before || self.is_done {
                if self.copy.is_some() {
                    let piece = out.get(before..).unwrap_or_default();
                    let piece = match is_framed {
                        true => Cow::Borrowed(piece),
                        false => framed(piece, self),
                    };
                    self.copy_on(downstream, &piece);
                }
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_read(downstream, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Adds to the copy what is sent on; the copy goes its way when it is whole.
    fn copy_on(&mut self, downstream: &Downstream, piece: &[u8]) {
        let copy = self.copy.take();
        let copy = copy.and_then(|copy| copy.add(&downstream.thread, piece));
        match copy {
            Some(copy) if self.is_done => copy.send(&downstream.thread),
            copy => self.copy = copy,
        }
    }

    /// How the endpoint is told about the body.
    pub(crate) fn framing(&self) -> Framing {
        let is_text = self.web.as_ref().is_some_and(|web| web.is_text());
        match self.framing {
            // Decoded it is shorter.
            Framing::Length(_) if is_text => Framing::Chunked,
            framing => framing,
        }
    }
}
