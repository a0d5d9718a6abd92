// SPDX-License-Identifier: Apache-2.0
use super::link::Link;
use crate::thread::Timer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tidegate_core::Moment;
use tidegate_functions::{Frame, TooLarge, WorkerMessage};

/// Where a call's messages wait for it.
pub(crate) struct Slot {
    messages: RefCell<VecDeque<Said>>,
    waker: Cell<Option<Waker>>,
    /// Set when the connection is gone: whether the code may have begun.
    ended: Cell<Option<bool>>,
    ends_at: u64,
}

impl Slot {
    /// `ends_at` is where the request ends in all that is written on its connection.
    pub(crate) fn new(ends_at: u64) -> Self {
        Self {
            messages: RefCell::default(),
            waker: Cell::default(),
            ended: Cell::default(),
            ends_at,
        }
    }

    pub(crate) fn ends_at(&self) -> u64 {
        self.ends_at
    }

    pub(crate) fn put(&self, said: Said) {
        self.messages.borrow_mut().push_back(said);
        self.wake();
    }

    pub(crate) fn end(&self, may_have_begun: bool) {
        self.ended.set(Some(may_have_begun));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A message of a worker, kept until its call has time for it.
pub(crate) struct Said {
    kind: u8,
    exchange: u32,
    payload: Box<[u8]>,
}

impl Said {
    pub(crate) fn new(frame: Frame<'_>) -> Self {
        Self {
            kind: frame.kind,
            exchange: frame.exchange,
            payload: frame.payload.into(),
        }
    }

    /// What it says. It was checked when it came, so `None` cannot be.
    pub(crate) fn message(&self) -> Option<WorkerMessage<'_>> {
        let frame = Frame {
            kind: self.kind,
            exchange: self.exchange,
            payload: &self.payload,
        };
        WorkerMessage::decode(frame).ok()
    }
}

/// Why no message comes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The worker died or the connection broke. Whether the code may have begun.
    Lost { may_have_begun: bool },
    /// The deadline passed.
    Late,
}

/// One call that is under way. Dropping it tells the worker that nobody waits any more.
pub(crate) struct Call {
    link: Rc<Link>,
    slot: Rc<Slot>,
    number: u32,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.link.cancel(self.number);
    }
}

impl Call {
    pub(crate) fn new(link: Rc<Link>, slot: Rc<Slot>, number: u32) -> Self {
        Self { link, slot, number }
    }

    /// A message that is here already.
    pub(crate) fn take(&self) -> Option<Said> {
        self.slot.messages.borrow_mut().pop_front()
    }

    /// The next message; `Err` with whether the code may have begun when none comes any more.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Said, bool>> {
        if let Some(said) = self.slot.messages.borrow_mut().pop_front() {
            return Poll::Ready(Ok(said));
        }
        if let Some(may_have_begun) = self.slot.ended.get() {
            return Poll::Ready(Err(may_have_begun));
        }
        self.slot.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The next message, waiting until `deadline` at most.
    ///
    /// # Errors
    /// Why none came.
    pub(crate) async fn next(&self, timer: &Timer, deadline: Moment) -> Result<Said, Ended> {
        timer.set(deadline);
        poll_fn(|cx| match self.poll_next(cx) {
            Poll::Ready(Ok(said)) => Poll::Ready(Ok(said)),
            Poll::Ready(Err(may_have_begun)) => Poll::Ready(Err(Ended::Lost { may_have_begun })),
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(Ended::Late)),
        })
        .await
    }

    /// See [`Link::credit`].
    pub(crate) fn credit(&self, bytes: usize) {
        if bytes > 0 {
            self.link.credit(self.number, bytes as u32);
        }
    }

    /// See [`Link::body`].
    pub(crate) fn body(&self, bytes: &[u8], is_last: bool) {
        self.link.body(self.number, bytes, is_last);
    }

    /// See [`Link::respond`].
    pub(crate) fn respond<'f>(
        &self,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), TooLarge> {
        self.link.respond(self.number, status, fields)
    }
}
