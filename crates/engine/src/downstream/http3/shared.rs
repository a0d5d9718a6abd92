// SPDX-License-Identifier: Apache-2.0
//! What the tasks of one HTTP/3 connection share: QUIC, the protocol, and what each stream waits for.
use super::transport;
use crate::costs::{Cost, Costs};
use bytes::{Buf, Bytes};
use quinn_proto::{ReadError, StreamId, VarInt};
use std::cell::{Cell, RefCell, RefMut};
use std::net::IpAddr;
use std::task::{Context, Waker};
use tidegate_core::{Clock, Moment};
use tidegate_http3::{Code, Connection, Error, Failure, Part, RequestReader};
use tidegate_request::Fields;
use tidegate_tls::{Client, QuicHandshake, Told};

/// Memory that one connection may take, with what its exchanges hold of requests.
const MOST: usize = 1 << 20;
/// About what an exchange takes besides its request and buffers.
const EXCHANGE: usize = 6 << 10;

/// A code as QUIC has it.
pub(super) fn number(code: Code) -> VarInt {
    VarInt::from_u64(code.0).unwrap_or(VarInt::MAX)
}

/// One request's stream.
pub(super) struct Slot {
    pub(super) stream: StreamId,
    pub(super) reader: RequestReader,
    /// What was taken from QUIC and not read yet.
    pub(super) pending: Bytes,
    /// Since when its head is awaited; none when it is there.
    pub(super) awaited: Option<Moment>,
    /// The client has sent all.
    pub(super) has_ended: bool,
    pub(super) trailers: Option<Fields>,
    /// The client gave it up, or broke it.
    pub(super) is_reset: bool,
    /// QUIC takes nothing of it now.
    pub(super) is_blocked: bool,
    /// Memory that its exchange takes besides content of the request.
    cost: Cost,
    /// The stream's task, while it waits.
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn wake(&mut self) {
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
}

/// What QUIC has of a stream.
pub(super) enum Chunk {
    Bytes(Bytes),
    /// The client has sent all.
    End,
    /// More is to come.
    Nothing,
    Reset,
}

/// One connection, as its own task and those of its streams see it.
pub(crate) struct Shared {
    quic: RefCell<quinn_proto::Connection>,
    machine: RefCell<Connection>,
    /// In the order of their streams.
    slots: RefCell<Vec<Slot>>,
    /// The connection's task.
    driver: RefCell<Option<Waker>>,
    /// Memory that the exchanges of all streams take.
    costs: Costs,
    /// There is no connection any more.
    is_over: Cell<bool>,
    /// Its packets are another node's from now on.
    is_left: Cell<bool>,
    /// How the client broke it, until its task has seen that.
    failure: Cell<Option<Error>>,
    /// How it broke a stream, the same.
    broken: Cell<Option<&'static str>>,
    handshake: RefCell<QuicHandshake>,
    clock: Clock,
}

impl Shared {
    pub(super) fn new(quic: quinn_proto::Connection, machine: Connection, clock: Clock) -> Self {
        Self {
            quic: RefCell::new(quic),
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            driver: RefCell::default(),
            costs: Costs::default(),
            is_over: Cell::new(false),
            is_left: Cell::new(false),
            failure: Cell::new(None),
            broken: Cell::new(None),
            handshake: RefCell::default(),
            clock,
        }
    }

    pub(super) fn quic(&self) -> RefMut<'_, quinn_proto::Connection> {
        self.quic.borrow_mut()
    }

    pub(super) fn machine(&self) -> RefMut<'_, Connection> {
        self.machine.borrow_mut()
    }

    pub(crate) fn told(&self) -> Option<Told> {
        self.handshake.borrow().told
    }

    pub(crate) fn server_name(&self) -> Option<String> {
        self.handshake.borrow().server_name.clone()
    }

    pub(crate) fn client(&self) -> Option<Client> {
        self.handshake.borrow().client.clone()
    }

    pub(crate) fn set_client(&self, client: Option<Client>) {
        self.handshake.borrow_mut().client = client;
    }

    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        self.quic.borrow().local_ip()
    }

    /// Notes what TLS has come to so far.
    pub(super) fn note_handshake(&self) -> QuicHandshake {
        let found = self.quic.borrow().crypto_session().handshake_data();
        let found = found.and_then(|found| found.downcast::<QuicHandshake>().ok());
        let found = found.map(|found| *found).unwrap_or_default();
        *self.handshake.borrow_mut() = found.clone();
        found
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// How many requests are under way.
    pub(super) fn count(&self) -> usize {
        self.slots.borrow().len()
    }

    /// How the client broke the connection, said once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.take()
    }

    /// How it broke a stream, said once.
    pub(super) fn take_broken(&self) -> Option<&'static str> {
        self.broken.take()
    }

    /// Calls `act` with the slot of `stream`, if it still has one.
    pub(super) fn with<T>(&self, stream: StreamId, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slots = self.slots.borrow_mut();
        let place = slots
            .binary_search_by_key(&stream, |slot| slot.stream)
            .ok()?;
        slots.get_mut(place).map(act)
    }

    /// Since when the head is awaited that is awaited longest.
    pub(super) fn awaited(&self) -> Option<Moment> {
        let slots = self.slots.borrow();
        slots.iter().filter_map(|slot| slot.awaited).min()
    }

    /// One whose head is awaited for too long.
    pub(super) fn late(&self, is_late: impl Fn(Moment) -> bool) -> Option<StreamId> {
        let slots = self.slots.borrow();
        let mut waiting = slots.iter();
        let found = waiting.find(|slot| slot.awaited.is_some_and(&is_late))?;
        Some(found.stream)
    }

    /// Bytes of memory that requests take.
    pub(super) fn memory(&self) -> usize {
        let heads: usize = self
            .slots
            .borrow()
            .iter()
            .map(|slot| slot.reader.memory())
            .sum();
        self.costs.all() + heads + self.machine.borrow().memory()
    }

    /// Whether there is room for `bytes` more.
    fn has_room(&self, bytes: usize) -> bool {
        self.memory() + bytes + transport::HELD <= MOST
    }

    /// A stream begins; false when that would be too much.
    pub(super) fn open(&self, stream: StreamId, now: Moment) -> bool {
        if !self.has_room(EXCHANGE) {
            return false;
        }
        let mut cost = Cost::default();
        self.costs.add(&mut cost, EXCHANGE);
        self.slots.borrow_mut().push(Slot {
            stream,
            reader: RequestReader::default(),
            pending: Bytes::new(),
            awaited: Some(now),
            has_ended: false,
            trailers: None,
            is_reset: false,
            is_blocked: false,
            cost,
            waker: None,
        });
        true
    }

    /// A request of so many bytes begins; false when that would be too much.
    pub(super) fn charge(&self, stream: StreamId, bytes: usize) -> bool {
        let fits = self.has_room(bytes);
        if fits {
            self.with(stream, |slot| self.costs.add(&mut slot.cost, bytes));
        }
        fits
    }

    /// So much of the response of a stream waits for the client, or may.
    pub(super) fn hold(&self, stream: StreamId, bytes: usize) {
        self.with(stream, |slot| self.costs.hold(&mut slot.cost, bytes));
    }

    /// As [`Self::hold`] before it comes; false, and nothing is changed, unless what is left is for more requests.
    pub(super) fn may_hold(&self, stream: StreamId, bytes: usize) -> bool {
        let (costs, held) = (&self.costs, self.memory() + transport::HELD);
        self.with(stream, |slot| {
            costs.may_hold(&mut slot.cost, bytes, held, MOST)
        })
        .unwrap_or(false)
    }

    /// The task of a stream is over, or it never had one.
    pub(super) fn close(&self, stream: StreamId) {
        let mut slots = self.slots.borrow_mut();
        if let Ok(place) = slots.binary_search_by_key(&stream, |slot| slot.stream) {
            let slot = slots.remove(place);
            self.costs.end(slot.cost);
        }
        drop(slots);
        self.wake_driver();
    }

    /// Takes what QUIC has of a stream, at most so many bytes.
    pub(super) fn chunk(&self, stream: StreamId, most: usize) -> Chunk {
        let mut quic = self.quic.borrow_mut();
        let mut receiving = quic.recv_stream(stream);
        let Ok(mut chunks) = receiving.read(true) else {
            return Chunk::Reset;
        };
        let next = chunks.next(most);
        if chunks.finalize().should_transmit() {
            self.wake_driver();
        }
        match next {
            Ok(Some(chunk)) => Chunk::Bytes(chunk.bytes),
            Ok(None) => Chunk::End,
            Err(ReadError::Blocked) => Chunk::Nothing,
            Err(ReadError::Reset(_)) => Chunk::Reset,
        }
    }

    /// Reads content of `stream` into `out` until that has `most` bytes, or there is no more of it.
    pub(super) fn read(&self, stream: StreamId, most: usize, out: &mut Vec<u8>) {
        let now = self.clock.now();
        while out.len() < most {
            let known = self.with(stream, |slot| {
                let is_over = slot.has_ended || slot.is_reset || slot.awaited.is_some();
                (!is_over).then(|| std::mem::take(&mut slot.pending))
            });
            let Some(Some(mut pending)) = known else {
                return;
            };
            if pending.is_empty() {
                match self.chunk(stream, most - out.len()) {
                    Chunk::Bytes(bytes) => pending = bytes,
                    Chunk::End => return self.finish(stream, now),
                    Chunk::Nothing => return,
                    Chunk::Reset => return self.given_up(stream, now),
                }
            }
            let input = pending.get(..most - out.len()).unwrap_or(&pending);
            let mut machine = self.machine.borrow_mut();
            let read = self.with(stream, |slot| slot.reader.read(&mut machine, now, input));
            let consumed = match read {
                None => return,
                Some(Ok(read)) => {
                    match read.part {
                        Some(Part::Content { start, end }) => {
                            out.extend_from_slice(input.get(start..end).unwrap_or_default());
                        }
                        Some(Part::Trailers) => {
                            let fields = std::mem::take(machine.trailers().fields_mut());
                            self.with(stream, |slot| slot.trailers = Some(fields));
                        }
                        _ => {}
                    }
                    read.consumed
                }
                Some(Err(failure)) => {
                    drop(machine);
                    return self.fail(stream, failure, now);
                }
            };
            drop(machine);
            pending.advance(consumed);
            self.with(stream, |slot| slot.pending = pending);
        }
    }

    /// The client has sent all of a request.
    pub(super) fn finish(&self, stream: StreamId, now: Moment) {
        let finished = self.with(stream, |slot| {
            slot.has_ended = true;
            slot.reader.finish()
        });
        if let Some(Err(failure)) = finished {
            self.fail(stream, failure, now);
        }
    }

    /// The client gave a request up.
    pub(super) fn given_up(&self, stream: StreamId, now: Moment) {
        let is_first = self.with(stream, |slot| {
            slot.wake();
            !std::mem::replace(&mut slot.is_reset, true)
        });
        if is_first == Some(true)
            && let Err(error) = self.machine.borrow_mut().given_up(now)
        {
            self.break_connection(error);
        }
    }

    /// Ends what the client has broken: a stream, or the connection.
    pub(super) fn fail(&self, stream: StreamId, failure: Failure, now: Moment) {
        let error = match failure {
            Failure::Connection(error) => return self.break_connection(error),
            Failure::Stream(error) => error,
        };
        self.abandon(stream, error.code);
        self.broken.set(Some(error.detail));
        self.with(stream, |slot| {
            slot.is_reset = true;
            slot.wake();
        });
        if let Err(error) = self.machine.borrow_mut().provoked(now) {
            self.break_connection(error);
        }
        self.wake_driver();
    }

    pub(super) fn break_connection(&self, error: Error) {
        if self.failure.get().is_none() {
            self.failure.set(Some(error));
        }
        self.wake_driver();
    }

    /// Resets a stream in both directions, as far as they have not ended.
    pub(super) fn abandon(&self, stream: StreamId, code: Code) {
        let mut quic = self.quic.borrow_mut();
        let _ = quic.recv_stream(stream).stop(number(code)); // it may have ended
        let _ = quic.send_stream(stream).reset(number(code));
    }

    /// The connection is to end, since nothing of it will be read any more.
    pub(super) fn leave(&self) {
        self.is_left.set(true);
        self.wake_driver();
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left.get()
    }

    /// The connection is over: each stream learns it.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.slots.borrow_mut().iter_mut().for_each(Slot::wake);
    }

    /// The connection's task is to be woken when there is something to do for it.
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
