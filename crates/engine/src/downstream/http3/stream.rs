// SPDX-License-Identifier: Apache-2.0
use super::shared::{Shared, number};
use quinn_proto::{StreamId, WriteError};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tidegate_http::{ResponseContext, ResponseFields};
use tidegate_http3::{Code, Connection};
use tidegate_request::{Fields, Response, ResponseFraming};

/// Bytes of a file that are read at a time.
const FILE_PIECE: usize = 16 << 10;
/// Content that is taken at a time.
const TAKEN: usize = 64 << 10;

/// One exchange's stream of an HTTP/3 connection, in place of a connection of its own. Dropped before its
/// response has ended, it is reset.
pub(crate) struct Stream {
    shared: Rc<Shared>,
    id: StreamId,
    /// The request is a HEAD, as far as it could be read.
    pub(crate) is_head: bool,
    /// Heads that QUIC has not taken yet.
    out: RefCell<Vec<u8>>,
    /// A head is among them, and is not to be written again.
    has_begun: Cell<bool>,
    /// Content that the frame still has room for which was begun.
    left: Cell<u64>,
    /// Content that the response still owes to its length.
    owed: Cell<Option<u64>>,
    /// The response has ended.
    has_ended: Cell<bool>,
    /// Nothing more will be sent, which the client could not be told yet.
    is_ending: Cell<bool>,
    /// What the client is told if the response does not end.
    code: Cell<Code>,
}

impl Stream {
    /// For a stream that has a slot in `shared`.
    pub(super) fn new(shared: Rc<Shared>, id: StreamId, is_head: bool) -> Self {
        Self {
            shared,
            id,
            is_head,
            out: RefCell::default(),
            has_begun: Cell::new(false),
            left: Cell::new(0),
            owed: Cell::new(None),
            has_ended: Cell::new(false),
            is_ending: Cell::new(false),
            code: Cell::new(Code::INTERNAL_ERROR),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many requests its connection carries now.
    pub(crate) fn count(&self) -> usize {
        self.shared.count()
    }

    /// Whether the client gave it up, or its connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        let is_reset = self.shared.with(self.id, |slot| slot.is_reset);
        self.shared.is_over() || is_reset.unwrap_or(true)
    }

    /// As [`Self::is_gone`]; the task is woken when that happens.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> bool {
        self.shared.with(self.id, |slot| slot.watch(cx));
        self.is_gone()
    }

    /// Content that has come. What was taken before has been passed on, and may come again.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut content = Vec::new();
        self.shared.read(self.id, TAKEN, &mut content);
        content
    }

    /// Whether there is no more content to be taken, and none will come.
    pub(crate) fn is_at_end(&self) -> bool {
        let ended = self.shared.with(self.id, |slot| slot.has_ended);
        ended.unwrap_or(true)
    }

    /// The request's trailers, once it [`Self::is_at_end`].
    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.shared
            .with(self.id, |slot| slot.trailers.take())
            .flatten()
    }

    /// Waits for content: what there is, and nothing at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let content = self.take();
        if !content.is_empty() || self.is_at_end() && !self.poll_gone(cx) {
            return Poll::Ready(Ok(content));
        }
        match self.poll_gone(cx) {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Poll::Pending,
        }
    }

    /// Reads into `buffer`, for who moves bytes and not a message; `Ok(0)` is the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_ending.get() {
            self.end();
        }
        let mut content = Vec::new();
        self.shared.read(self.id, buffer.len(), &mut content);
        if let Some(to) = buffer.get_mut(..content.len()) {
            to.copy_from_slice(&content);
        }
        match content.len() {
            0 if self.poll_gone(cx) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            0 if self.is_at_end() => Poll::Ready(Ok(0)),
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    /// So much of its response waits here.
    pub(crate) fn hold(&self, bytes: usize) {
        self.shared.hold(self.id, bytes);
    }

    /// Whether so much of its response may come to wait here.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        self.shared.may_hold(self.id, bytes)
    }

    /// The connection behind a tunnel broke (RFC 9114 §4.4).
    pub(crate) fn break_off(&self) {
        self.code.set(Code::CONNECT_ERROR);
    }

    /// Ends what is sent; without room for that, with the first [`Self::poll_read`] when there is.
    pub(crate) fn end(&self) {
        let is_told = self.flush().is_ok_and(|is_done| is_done) && self.finish().is_ok();
        self.has_ended.set(is_told);
        self.is_ending.set(!is_told);
    }

    /// Sends the head of a response, final or interim.
    pub(crate) fn poll_begin(
        &self,
        cx: &mut Context<'_>,
        response: &Response,
        context: &ResponseContext<'_>,
    ) -> Poll<io::Result<()>> {
        let is_final = response.status() >= 200;
        let ends = is_final && response.framing().is_empty();
        if !self.has_begun.replace(true) {
            let fields = ResponseFields::new(response, context);
            let status = response.status();
            let head = self.shared.machine().response(status, fields.iter());
            self.add(head)?;
        }
        ready!(self.poll_flush(cx))?;
        self.has_begun.set(false);
        if ends {
            self.finish()?;
        } else if let ResponseFraming::Length(length) = response.framing()
            && is_final
        {
            self.owed.set(Some(length));
        }
        Poll::Ready(Ok(()))
    }

    /// Asks for the content that the client holds back.
    pub(crate) fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_begun.replace(true) {
            let head = self.shared.machine().response(100, std::iter::empty());
            self.add(head)?;
        }
        ready!(self.poll_flush(cx))?;
        self.has_begun.set(false);
        Poll::Ready(Ok(()))
    }

    /// Whether content would be taken now; else the task is woken when it would.
    pub(crate) fn may_send(&self, cx: &Context<'_>) -> bool {
        let may = self.shared.with(self.id, |slot| {
            if slot.is_blocked {
                slot.watch(cx);
            }
            !slot.is_blocked
        });
        may.unwrap_or(true) || self.shared.is_over()
    }

    /// Sends content; may take less. The last that the response's length allows ends it.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_flush(cx))?;
        if self.left.get() == 0 {
            // All that will come is one frame where that is known.
            let length = self.owed.get().unwrap_or(bytes.len() as u64);
            let length = length.max(bytes.len() as u64);
            self.out.replace(Connection::data_head(length));
            self.left.set(length);
            ready!(self.poll_flush(cx))?;
        }
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        let piece = bytes.get(..most).unwrap_or(bytes);
        let count = match self.write(piece)? {
            0 => return self.wait(cx),
            count => count as u64,
        };
        self.left.set(self.left.get().saturating_sub(count));
        if let Some(owed) = self.owed.get() {
            let owed = owed.saturating_sub(count);
            self.owed.set(Some(owed));
            if owed == 0 {
                self.finish()?;
            }
        }
        Poll::Ready(Ok(count as usize))
    }

    /// Sends a piece of a file; `Ok(0)` is the file's end.
    pub(crate) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let mut piece = [0; FILE_PIECE];
        let room = piece.get_mut(..count.min(FILE_PIECE)).unwrap_or_default();
        let filled = rustix::io::pread(file, &mut *room, offset)?;
        match room.get(..filled).unwrap_or_default() {
            [] => Poll::Ready(Ok(0)),
            bytes => self.poll_write(cx, bytes),
        }
    }

    /// Ends a response whose length was not told, with its trailers; nothing to do for another.
    pub(crate) fn poll_finish(
        &self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended.get() || self.code.get() == Code::CONNECT_ERROR {
            return Poll::Ready(Ok(()));
        }
        if let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty())
            && !self.has_begun.replace(true)
        {
            let head = self.shared.machine().response_trailers(trailers.iter());
            self.add(head)?;
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.finish())
    }

    /// Puts a head behind what is to be sent; an error when the client takes none of its size.
    fn add(&self, head: Option<Vec<u8>>) -> io::Result<()> {
        let head = head.ok_or(io::ErrorKind::InvalidData)?;
        self.out.borrow_mut().extend_from_slice(&head);
        Ok(())
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.flush()? {
            true => Poll::Ready(Ok(())),
            false => self.wait(cx),
        }
    }

    /// Hands heads to QUIC; whether all of them are.
    fn flush(&self) -> io::Result<bool> {
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            match self.write(&out)? {
                0 => return Ok(false),
                count => drop(out.drain(..count)),
            }
        }
        Ok(true)
    }

    /// Hands bytes to QUIC; how many it has taken.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.shared.is_over() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = self.shared.quic().send_stream(self.id).write(bytes);
        self.shared.wake_driver();
        let (count, is_blocked) = match written {
            Ok(count) => (count, count < bytes.len()),
            Err(WriteError::Blocked) => (0, true),
            Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.shared
            .with(self.id, |slot| slot.is_blocked = is_blocked);
        Ok(count)
    }

    fn finish(&self) -> io::Result<()> {
        let finished = self.shared.quic().send_stream(self.id).finish();
        self.shared.wake_driver();
        finished.map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.has_ended.set(true);
        self.shared.machine().ended_well();
        Ok(())
    }

    /// Waits until QUIC takes more.
    fn wait<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        self.shared.with(self.id, |slot| slot.watch(cx));
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What has come is judged, also where nobody wants it.
        self.shared.read(self.id, TAKEN, &mut Vec::new());
        let mut quic = self.shared.quic();
        // RFC 9114 §4.1: whoever still sends what nobody reads is told to stop, without an error.
        let (code, is_whole) = match self.has_ended.get() {
            true => (Code::NO_ERROR, true),
            false => (self.code.get(), false),
        };
        if !is_whole {
            let _ = quic.send_stream(self.id).reset(number(code)); // it may be reset already
        }
        if !self.is_at_end() {
            let _ = quic.recv_stream(self.id).stop(number(code));
        }
        drop(quic);
        self.shared.close(self.id);
    }
}
