// SPDX-License-Identifier: Apache-2.0
use super::shared::Shared;
use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http::{ResponseContext, ResponseFields};
use tidegate_http2::{ErrorCode, SendError};
use tidegate_request::{Fields, Response, ResponseFraming};
use tidegate_tls::{Client, Told};

/// Bytes of a file that are read at a time: a frame.
const FILE_PIECE: usize = 16 << 10;

/// One exchange's stream of an HTTP/2 connection, in place of a connection of its own. Dropped before
/// its response has ended, it is reset.
pub(crate) struct Stream {
    shared: Rc<Shared>,
    id: u32,
    /// The request is a HEAD, as far as it could be read.
    pub(crate) is_head: bool,
    /// Content that the response still owes to its length.
    owed: Cell<Option<u64>>,
    /// The response has ended.
    has_ended: Cell<bool>,
    /// Nothing more will be sent, which the client could not be told yet.
    is_ending: Cell<bool>,
    /// What the client is told if the response does not end.
    code: Cell<ErrorCode>,
}

impl Stream {
    /// For a stream that has a slot in `shared`.
    pub(super) fn new(shared: Rc<Shared>, id: u32, is_head: bool) -> Self {
        Self {
            shared,
            id,
            is_head,
            owed: Cell::new(None),
            has_ended: Cell::new(false),
            is_ending: Cell::new(false),
            code: Cell::new(ErrorCode::INTERNAL_ERROR),
        }
    }

    pub(crate) fn told(&self) -> Option<Told> {
        self.shared.told
    }

    pub(crate) fn server_name(&self) -> Option<String> {
        self.shared.server_name.clone()
    }

    pub(crate) fn client(&self) -> Option<Client> {
        self.shared.client.borrow().clone()
    }

    pub(crate) fn set_client(&self, client: Option<Client>) {
        *self.shared.client.borrow_mut() = client;
    }

    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        self.shared.local
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

    /// All content that has come. What was taken before has been passed on, and may come again.
    pub(crate) fn take(&self) -> Vec<u8> {
        let taken = self.shared.with(self.id, |slot| {
            let inbox = std::mem::take(&mut slot.inbox);
            (std::mem::replace(&mut slot.held, inbox.len()), inbox)
        });
        let Some((passed, inbox)) = taken else {
            return Vec::new();
        };
        if passed > 0 {
            self.shared.passed(passed);
            self.shared.machine().release(self.id, passed);
            self.wrote();
        }
        inbox
    }

    /// Whether there is no more content to be taken, and none will come.
    pub(crate) fn is_at_end(&self) -> bool {
        let ended = self
            .shared
            .with(self.id, |slot| slot.has_ended && slot.inbox.is_empty());
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
        let inbox = self.take();
        if !inbox.is_empty() || self.is_at_end() && !self.poll_gone(cx) {
            return Poll::Ready(Ok(inbox));
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
        let count = self.shared.with(self.id, |slot| {
            let count = slot.inbox.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..count), slot.inbox.get(..count)) {
                to.copy_from_slice(from);
            }
            slot.inbox.drain(..count);
            count
        });
        match count.unwrap_or(0) {
            0 if self.poll_gone(cx) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            0 if self.is_at_end() => Poll::Ready(Ok(0)),
            0 => Poll::Pending,
            count => {
                self.shared.passed(count);
                self.shared.machine().release(self.id, count);
                self.wrote();
                Poll::Ready(Ok(count))
            }
        }
    }

    /// The connection behind a tunnel broke (RFC 9113 §8.5).
    pub(crate) fn break_off(&self) {
        self.code.set(ErrorCode::CONNECT_ERROR);
    }

    /// Ends what is sent; without room for that, with the first [`Self::poll_read`] when there is.
    pub(crate) fn end(&self) {
        let ended = self.shared.machine().send_data(self.id, b"", true);
        let is_told = ended.is_ok_and(|taken| taken.ended);
        self.has_ended.set(is_told);
        self.is_ending.set(!is_told);
        self.wrote();
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
        let fields = ResponseFields::new(response, context);
        let sent =
            self.shared
                .machine()
                .send_response(self.id, response.status(), fields.iter(), ends);
        match sent {
            Ok(()) => {
                self.has_ended.set(ends);
                if let ResponseFraming::Length(length) = response.framing() {
                    self.owed.set(Some(length));
                }
                self.wrote();
                Poll::Ready(Ok(()))
            }
            Err(error) => self.not_sent(error, cx),
        }
    }

    /// Asks for the content that the client holds back.
    pub(crate) fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let nothing = std::iter::empty();
        let sent = self
            .shared
            .machine()
            .send_response(self.id, 100, nothing, false);
        match sent {
            Ok(()) => {
                self.wrote();
                Poll::Ready(Ok(()))
            }
            Err(error) => self.not_sent(error, cx),
        }
    }

    /// Whether content would be taken now; else the task is woken when it would.
    pub(crate) fn may_send(&self, cx: &Context<'_>) -> bool {
        let may = self.shared.machine().may_send(self.id);
        if !may {
            self.shared.with(self.id, |slot| slot.watch(cx));
        }
        may
    }

    /// Sends content; may take less. The last that the response's length allows ends it.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let is_last = self.owed.get() == Some(bytes.len() as u64);
        let sent = self.shared.machine().send_data(self.id, bytes, is_last);
        match sent {
            Ok(taken) => {
                if let Some(owed) = self.owed.get() {
                    self.owed.set(Some(owed.saturating_sub(taken.bytes as u64)));
                }
                self.has_ended.set(taken.ended);
                if taken.bytes == 0 && !bytes.is_empty() {
                    return self.wait(cx);
                }
                self.wrote();
                Poll::Ready(Ok(taken.bytes))
            }
            Err(error) => self.not_sent(error, cx),
        }
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
        if self.has_ended.get() || self.code.get() == ErrorCode::CONNECT_ERROR {
            return Poll::Ready(Ok(()));
        }
        let mut machine = self.shared.machine();
        let sent = match trailers.filter(|trailers| !trailers.is_empty()) {
            Some(trailers) => machine
                .send_trailers(self.id, trailers.iter())
                .map(|()| true),
            None => machine
                .send_data(self.id, b"", true)
                .map(|taken| taken.ended),
        };
        drop(machine);
        match sent {
            Ok(true) => {
                self.has_ended.set(true);
                self.wrote();
                Poll::Ready(Ok(()))
            }
            Ok(false) => self.wait(cx),
            Err(error) => self.not_sent(error, cx),
        }
    }

    fn not_sent<T>(&self, error: SendError, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match error {
            SendError::Full => self.wait(cx),
            // The client takes no head of this size.
            SendError::TooLarge => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            _ => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits for its turn to send.
    fn wait<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        self.shared.with(self.id, |slot| slot.watch(cx));
        self.wrote();
        Poll::Pending
    }

    /// Has the connection's task write what there is.
    fn wrote(&self) {
        if !self.shared.output().is_empty() {
            self.shared.wake_driver();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // RFC 9113 §8.1: whoever still sends what nobody reads is told to stop, without an error.
        let code = match self.has_ended.get() {
            true => ErrorCode::NO_ERROR,
            false => self.code.get(),
        };
        self.shared.machine().reset(self.id, code);
        self.shared.close(self.id);
        self.wrote();
    }
}
