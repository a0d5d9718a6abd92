// SPDX-License-Identifier: Apache-2.0
//! What the tasks of one HTTP/2 connection share: the protocol, and what each stream waits for.
use crate::downstream::wire::Wire;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::net::IpAddr;
use std::task::{Context, Waker};
use tidegate_http2::Connection;
use tidegate_request::Fields;
use tidegate_tls::{Client, Told};

/// Content that waits for a stream's task takes memory in steps that double up to this.
const LONGEST_STEP: usize = 64 << 10;
/// Memory that one connection may take, with what its exchanges hold of requests and content.
const MOST: usize = 1 << 20;
/// About what an exchange takes besides its request and buffers.
const EXCHANGE: usize = 8 << 10;

/// What came on a stream, until its task takes it.
#[derive(Default)]
pub(super) struct Slot {
    stream: u32,
    /// Content.
    pub(super) inbox: Vec<u8>,
    /// Content that was taken and is not released yet.
    pub(super) held: usize,
    /// The client has sent all.
    pub(super) has_ended: bool,
    pub(super) trailers: Option<Fields>,
    /// The client gave it up, or broke it.
    pub(super) is_reset: bool,
    /// Memory that its exchange takes besides content.
    cost: usize,
    /// The stream's task, while it waits.
    waker: Option<Waker>,
}

impl Slot {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn watch(&mut self, cx: &Context<'_>) {
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
pub(super) enum Put {
    Done,
    /// Nobody wants it.
    Unwanted,
    /// The connection holds too much for its exchanges already.
    TooMuch,
}

/// One connection, as its own task and those of its streams see it.
pub(super) struct Shared {
    machine: RefCell<Connection>,
    /// In the order of their streams, those of which a task is there.
    slots: RefCell<Vec<Slot>>,
    /// The connection's task.
    driver: RefCell<Option<Waker>>,
    /// Memory that the exchanges of all streams take.
    costs: Cell<usize>,
    /// Content that waits for them.
    content: Cell<usize>,
    /// There is no connection any more.
    is_over: Cell<bool>,
    /// What was agreed on in TLS.
    pub(super) told: Option<Told>,
    /// The host that the client wanted in the handshake.
    pub(super) server_name: Option<String>,
    /// What it was asked to show there, and has shown.
    pub(super) client: RefCell<Option<Client>>,
    /// The address that was dialled.
    pub(super) local: Option<IpAddr>,
}

impl Shared {
    pub(super) fn new(machine: Connection, stream: &Wire, local: Option<IpAddr>) -> Self {
        Self {
            told: stream.told(),
            server_name: stream.server_name(),
            client: RefCell::new(stream.client()),
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            driver: RefCell::default(),
            costs: Cell::new(0),
            content: Cell::new(0),
            is_over: Cell::new(false),
            local,
        }
    }

    pub(super) fn machine(&self) -> RefMut<'_, Connection> {
        self.machine.borrow_mut()
    }

    /// What is to be written.
    pub(super) fn output(&self) -> Ref<'_, [u8]> {
        Ref::map(self.machine.borrow(), Connection::output)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether no stream has a task.
    pub(super) fn is_idle(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// Calls `act` with the slot of `stream`, if it still has one.
    pub(super) fn with<T>(&self, stream: u32, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slots = self.slots.borrow_mut();
        let place = slots
            .binary_search_by_key(&stream, |slot| slot.stream)
            .ok()?;
        slots.get_mut(place).map(act)
    }

    /// Bytes of content that wait for exchanges.
    pub(super) fn content(&self) -> usize {
        self.content.get()
    }

    /// A stream begins whose request takes `bytes`; `has_ended`: no content follows. False when that
    /// would be too much.
    pub(super) fn open(&self, stream: u32, bytes: usize, has_ended: bool) -> bool {
        let cost = EXCHANGE + bytes;
        let costs = self.costs.get() + cost;
        if costs + self.content.get() + self.machine.borrow().memory() > MOST {
            return false;
        }
        self.costs.set(costs);
        self.slots.borrow_mut().push(Slot {
            stream,
            has_ended,
            cost,
            ..Slot::default()
        });
        true
    }

    /// The task of a stream is over.
    pub(super) fn close(&self, stream: u32) {
        let mut slots = self.slots.borrow_mut();
        if let Ok(place) = slots.binary_search_by_key(&stream, |slot| slot.stream) {
            let slot = slots.remove(place);
            self.costs.set(self.costs.get().saturating_sub(slot.cost));
            self.passed(slot.inbox.len() + slot.held);
        }
        if slots.is_empty() {
            // The connection's task has its own end to think of now.
            self.wake_driver();
        }
    }

    /// Content came, and the protocol itself holds `memory`.
    pub(super) fn put(&self, stream: u32, data: &[u8], ends: bool, memory: usize) -> Put {
        let content = self.content.get() + data.len();
        let put = self.with(stream, |slot| {
            if self.costs.get() + content + memory > MOST {
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
    pub(super) fn passed(&self, bytes: usize) {
        self.content.set(self.content.get().saturating_sub(bytes));
    }

    /// Trailers came, which end the stream.
    pub(super) fn end_with(&self, stream: u32, trailers: Fields) {
        self.with(stream, |slot| {
            slot.trailers = Some(trailers);
            slot.has_ended = true;
            slot.wake();
        });
    }

    /// The stream is closed.
    pub(super) fn reset(&self, stream: u32) {
        self.with(stream, |slot| {
            slot.is_reset = true;
            slot.wake();
        });
    }

    /// Tells streams that it is their turn to send.
    pub(super) fn grant(&self) {
        loop {
            let next = self.machine.borrow_mut().next_writable();
            let Some(stream) = next else { return };
            self.with(stream, Slot::wake);
        }
    }

    /// The connection is over: each stream learns it.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.slots.borrow_mut().iter_mut().for_each(Slot::wake);
    }

    /// The connection's task is to be woken when a stream has given the protocol something to write.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        match &mut *driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *driver = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake_driver(&self) {
        if let Some(waker) = self.driver.borrow_mut().take() {
            waker.wake();
        }
    }
}
