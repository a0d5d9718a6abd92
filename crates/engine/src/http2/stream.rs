// SPDX-License-Identifier: Apache-2.0
use super::shared::Shared;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http2::{ErrorCode, SendError};
use tidegate_request::Fields;

/// One exchange's stream of an HTTP/2 connection, in place of a connection of its own. Dropped before
/// what is sent on it has ended, or what comes, it is reset.
pub(crate) struct Stream<F> {
    pub(crate) shared: Rc<Shared<F>>,
    pub(crate) id: u32,
    /// The request is a HEAD, as far as it could be read.
    pub(crate) is_head: bool,
    /// Content that the message sent still owes to its length.
    pub(crate) owed: Cell<Option<u64>>,
    /// What is sent has ended.
    pub(crate) has_ended: Cell<bool>,
    /// Nothing more will be sent, which the peer could not be told yet.
    pub(crate) is_ending: Cell<bool>,
    /// What the peer is told if what is sent does not end.
    pub(crate) code: Cell<ErrorCode>,
}

impl<F> Stream<F> {
    /// For a stream that has a slot in `shared`; `code` is what the peer is told of an end before its time.
    pub(crate) fn new(shared: Rc<Shared<F>>, id: u32, is_head: bool, code: ErrorCode) -> Self {
        Self {
            shared,
            id,
            is_head,
            owed: Cell::new(None),
            has_ended: Cell::new(false),
            is_ending: Cell::new(false),
            code: Cell::new(code),
        }
    }

    /// How many streams of its connection have a task.
    pub(crate) fn count(&self) -> usize {
        self.shared.count()
    }

    /// Whether the peer gave it up, or its connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        let is_reset = self.shared.with(self.id, |slot| slot.reset.is_some());
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

    /// The trailers that came, once it [`Self::is_at_end`].
    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.shared
            .with(self.id, |slot| slot.trailers.take())
            .flatten()
    }

    /// Moves content that has come into `buffer`; how much. It counts as passed on.
    pub(crate) fn read_into(&self, buffer: &mut [u8]) -> usize {
        let count = self.shared.with(self.id, |slot| {
            let count = slot.inbox.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..count), slot.inbox.get(..count)) {
                to.copy_from_slice(from);
            }
            match count == slot.inbox.len() {
                true => slot.inbox.clear(),
                false => drop(slot.inbox.drain(..count)),
            }
            count
        });
        let count = count.unwrap_or(0);
        if count > 0 {
            self.shared.passed(count);
            self.shared.machine().release(self.id, count);
            self.wrote();
        }
        count
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

    /// Whether content would be taken now; else the task is woken when it would.
    pub(crate) fn may_send(&self, cx: &Context<'_>) -> bool {
        let may = self.shared.machine().may_send(self.id);
        if !may {
            self.shared.with(self.id, |slot| slot.watch(cx));
        }
        may
    }

    /// Sends content; may take less. The last that its length allows ends it.
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

    /// Ends a message whose length was not told, with its trailers; nothing to do for another.
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

    pub(crate) fn not_sent<T>(
        &self,
        error: SendError,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match error {
            SendError::Full => self.wait(cx),
            // The peer takes no head of this size.
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
    pub(crate) fn wrote(&self) {
        if !self.shared.output().is_empty() {
            self.shared.wake_driver();
        }
    }
}

impl<F> Drop for Stream<F> {
    fn drop(&mut self) {
        // RFC 9113 §8.1: whoever still sends what nobody reads is told to stop, without an error.
        let code = match self.has_ended.get() && self.code.get() != ErrorCode::CANCEL {
            true => ErrorCode::NO_ERROR,
            false => self.code.get(),
        };
        self.shared.machine().reset(self.id, code);
        self.shared.close(self.id);
        self.wrote();
    }
}
