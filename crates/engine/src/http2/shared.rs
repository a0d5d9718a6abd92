// SPDX-License-Identifier: Apache-2.0
//! What the tasks of one HTTP/2 connection share: the protocol, and what each stream waits for.
use crate::costs::{Cost, Costs};
use crate::upstream::Pipe;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};
use tidegate_core::Moment;
use tidegate_http2::{Connection, ErrorCode};
use tidegate_request::{Fields, Storage};

/// Content that waits for a stream's task takes memory in steps that double up to this.
const LONGEST_STEP: usize = 64 << 10;

/// The head of a response that came on a stream.
pub(crate) struct Arrived {
    pub(crate) status: u16,
    pub(crate) storage: Storage,
    /// No content follows.
    pub(crate) ends: bool,
}

/// Why a stream was closed before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reset {
    pub(crate) code: ErrorCode,
    pub(crate) by_peer: bool,
    /// What was wrong; empty when the peer closed it.
    pub(crate) detail: &'static str,
}

impl Reset {
    /// What the peer sent is to blame.
    pub(crate) fn by_us(code: ErrorCode, detail: &'static str) -> Self {
        Self {
            code,
            by_peer: false,
            detail,
        }
    }
}

/// What came on a stream, until its task takes it.
#[derive(Default)]
pub(crate) struct Slot {
    stream: u32,
    /// Heads of responses, on a connection of ours.
    heads: VecDeque<Arrived>,
    /// Content.
    pub(crate) inbox: Vec<u8>,
    /// Content that was taken and is not released yet.
    pub(crate) held: usize,
    /// The peer has sent all.
    pub(crate) has_ended: bool,
    pub(crate) trailers: Option<Fields>,
    /// The peer gave it up, or broke it.
    pub(crate) reset: Option<Reset>,
    /// Memory that its exchange takes besides content of the request.
    cost: Cost,
    /// The stream's task, while it waits.
    waker: Option<Waker>,
}

impl Slot {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn watch(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn put(&mut self, data: &[u8]) {
        let needed = self.inbox.len() + data.len();
        if needed > self.inbox.capacity() {
            let step = self.inbox.capacity().clamp(512, LONGEST_STEP);
            let target = needed.max(self.inbox.capacity() + step);
            self.inbox.reserve_exact(target - self.inbox.len());
        }
        self.inbox.extend_from_slice(data);
    }
}

/// What became of content that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// Nobody wants it.
    Unwanted,
    /// The connection holds too much for its exchanges already.
    TooMuch,
}

/// One connection, as its own task and those of its streams see it; `facts` is what the two sides know
/// of theirs.
pub(crate) struct Shared<F> {
    machine: RefCell<Connection>,
    /// In the order of their streams, those of which a task is there.
    slots: RefCell<Vec<Slot>>,
    /// The connection's task.
    driver: RefCell<Option<Waker>>,
    /// Memory that the exchanges of all streams take.
    costs: Costs,
    /// Content that waits for them.
    content: Cell<usize>,
    /// Memory that the connection may take, with what its exchanges hold of messages and content.
    most: usize,
    /// There is no connection any more.
    is_over: Cell<bool>,
    pub(crate) facts: F,
}

impl<F> Shared<F> {
    /// Writes what there is to `to`, which has taken nothing since `stalled_at`.
    ///
    /// # Errors
    /// When the peer is gone.
    pub(crate) fn write(
        &self,
        to: &impl Pipe,
        stalled_at: &mut Option<Moment>,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        loop {
            let output = self.output();
            if output.is_empty() {
                *stalled_at = None;
                return Ok(());
            }
            let outcome = to.poll_write(cx, &output);
            drop(output);
            match outcome {
                Poll::Ready(Ok(count)) => {
                    *stalled_at = None;
                    self.machine().sent(count);
                    self.grant();
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    stalled_at.get_or_insert(now);
                    return Ok(());
                }
            }
        }
    }

    /// Whether all was said that is to be said; `is_failed` has nothing more to come.
    pub(crate) fn is_done(&self, is_failed: bool) -> bool {
        let machine = self.machine();
        machine.output().is_empty() && (is_failed || machine.is_drained())
    }

    pub(crate) fn new(machine: Connection, most: usize, facts: F) -> Self {
        Self {
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            driver: RefCell::default(),
            costs: Costs::default(),
            content: Cell::new(0),
            most,
            is_over: Cell::new(false),
            facts,
        }
    }

    pub(crate) fn machine(&self) -> RefMut<'_, Connection> {
        self.machine.borrow_mut()
    }

    /// What is to be written.
    pub(crate) fn output(&self) -> Ref<'_, [u8]> {
        Ref::map(self.machine.borrow(), Connection::output)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether no stream has a task.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// How many streams have a task.
    pub(crate) fn count(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Calls `act` with the slot of `stream`, if it still has one.
    pub(crate) fn with<T>(&self, stream: u32, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slots = self.slots.borrow_mut();
        let place = slots
            .binary_search_by_key(&stream, |slot| slot.stream)
            .ok()?;
        slots.get_mut(place).map(act)
    }

    /// Bytes of content that wait for exchanges.
    pub(crate) fn content(&self) -> usize {
        self.content.get()
    }

    /// A stream begins whose exchange takes `cost` bytes; `has_ended`: no content follows. False when
    /// that would be too much.
    pub(crate) fn open(&self, stream: u32, cost: usize, has_ended: bool) -> bool {
        if self.held() + cost > self.most {
            return false;
        }
        let bytes = cost;
        let mut cost = Cost::default();
        self.costs.add(&mut cost, bytes);
        self.slots.borrow_mut().push(Slot {
            stream,
            has_ended,
            cost,
            ..Slot::default()
        });
        true
    }

    /// The task of a stream is over.
    pub(crate) fn close(&self, stream: u32) {
        let mut slots = self.slots.borrow_mut();
        if let Ok(place) = slots.binary_search_by_key(&stream, |slot| slot.stream) {
            let slot = slots.remove(place);
            self.costs.end(slot.cost);
            self.passed(slot.inbox.len() + slot.held);
        }
        if slots.is_empty() {
            // The connection's task has its own end to think of now.
            self.wake_driver();
        }
    }

    /// What it holds of the memory that it may.
    fn held(&self) -> usize {
        self.costs.all() + self.content.get() + self.machine.borrow().memory()
    }

    /// So much of the response of a stream waits for the client, or may.
    pub(crate) fn hold(&self, stream: u32, bytes: usize) {
        self.with(stream, |slot| self.costs.hold(&mut slot.cost, bytes));
    }

    /// As [`Self::hold`] before it comes; false, and nothing is changed, unless what is left is for more requests.
    pub(crate) fn may_hold(&self, stream: u32, bytes: usize) -> bool {
        let (costs, held) = (&self.costs, self.held());
        self.with(stream, |slot| {
            costs.may_hold(&mut slot.cost, bytes, held, self.most)
        })
        .unwrap_or(false)
    }

    /// Content came, and the protocol itself holds `memory`.
    pub(crate) fn put(&self, stream: u32, data: &[u8], ends: bool, memory: usize) -> Put {
        let content = self.content.get() + data.len();
        let put = self.with(stream, |slot| {
            if self.costs.all() + content + memory > self.most {
                return Put::TooMuch;
            }
            slot.put(data);
            slot.has_ended |= ends;
            slot.wake();
            Put::Done
        });
        if put == Some(Put::Done) {
            self.content.set(content);
        }
        put.unwrap_or(Put::Unwanted)
    }

    /// Content of a stream was passed on.
    pub(crate) fn passed(&self, bytes: usize) {
        self.content.set(self.content.get().saturating_sub(bytes));
    }

    /// Trailers came, which end the stream.
    pub(crate) fn end_with(&self, stream: u32, trailers: Fields) {
        self.with(stream, |slot| {
            slot.trailers = Some(trailers);
            slot.has_ended = true;
            slot.wake();
        });
    }

    /// The head of a response came; false when the connection holds too much already.
    pub(crate) fn put_head(&self, stream: u32, head: Arrived) -> bool {
        let bytes = head.storage.memory();
        if self.costs.all() + bytes + self.content.get() > self.most {
            return false;
        }
        self.with(stream, |slot| {
            self.costs.add(&mut slot.cost, bytes);
            slot.has_ended |= head.ends;
            slot.heads.push_back(head);
            slot.wake();
        });
        true
    }

    /// The next head that came.
    pub(crate) fn take_head(&self, stream: u32) -> Option<Arrived> {
        self.with(stream, |slot| {
            let head = slot.heads.pop_front()?;
            self.costs.take(&mut slot.cost, head.storage.memory());
            Some(head)
        })?
    }

    /// The stream is closed.
    pub(crate) fn reset(&self, stream: u32, why: Reset) {
        self.with(stream, |slot| {
            slot.reset = Some(why);
            slot.wake();
        });
    }

    /// Tells streams that it is their turn to send.
    pub(crate) fn grant(&self) {
        loop {
            let next = self.machine.borrow_mut().next_writable();
            let Some(stream) = next else { return };
            self.with(stream, Slot::wake);
        }
    }

    /// The connection is over: each stream learns it.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
        self.slots.borrow_mut().iter_mut().for_each(Slot::wake);
    }

    /// The connection's task is to be woken when a stream has given the protocol something to write.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        match &mut *driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *driver = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn wake_driver(&self) {
        if let Some(waker) = self.driver.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_http2::Settings;

    #[test]
    fn what_waits_or_may_come_counts_until_its_stream_ends() {
        let machine = Connection::server(Settings::default());
        let shared = Shared::new(machine, 100 << 10, ());
        assert!(shared.open(1, 8 << 10, true) && shared.open(3, 8 << 10, true));
        // Most is for more requests, and two thirds of the rest for other responses.
        assert!(!shared.may_hold(1, 13 << 10));
        assert!(shared.may_hold(1, 8 << 10) && shared.may_hold(1, 16 << 10));
        assert!(shared.may_hold(3, 7 << 10) && !shared.may_hold(3, 12 << 10));
        assert_eq!(shared.costs.all(), (8 + 16 + 8 + 7) << 10);
        // What is here counts in any case, and then there is no room for more requests.
        shared.hold(3, 60 << 10);
        assert!(!shared.may_hold(1, 18 << 10));
        assert!(!shared.open(5, 8 << 10, true));
        shared.close(3);
        assert!(shared.open(5, 8 << 10, true));
        shared.close(1);
        shared.close(5);
        assert_eq!(shared.costs.all(), 0);
        // Whose stream is gone holds nothing.
        shared.hold(1, 60 << 10);
        assert_eq!(shared.costs.all(), 0);
    }
}
