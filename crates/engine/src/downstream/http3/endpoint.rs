// SPDX-License-Identifier: Apache-2.0
use super::driver::Driver;
use super::events::refusal;
use super::kin::Stage;
use super::shared::Shared;
use super::transport;
use crate::downstream::Serving;
use crate::downstream::announced::log_refused;
use crate::downstream::connection::Downstream;
use crate::snapshot::ListenerPlan;
use crate::thread::{Handed, Origin, Refused, Thread};
use bytes::BytesMut;
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, EndpointEvent,
    Incoming, ServerConfig,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tidegate_core::ErrorKind;
use tidegate_http3::{Connection, Settings};
use tidegate_net::{Arrival, Datagrams, Departure, Reception};
use tidegate_tls::{QUIC_VERSION, Refusal};

/// Handshakes under way on a thread from which on clients must show that they get what is sent to them.
const SHAKING: usize = 64;
/// Receptions before others get their turn.
const RECEPTIONS: usize = 4;
/// Bytes of output that are kept for the next packets.
const KEPT: usize = 64 << 10;

/// Where one thread takes packets for one listener.
pub(crate) struct Endpoint {
    pub(super) thread: Rc<Thread>,
    pub(super) key: String,
    socket: RefCell<Rc<Datagrams>>,
    quic: RefCell<quinn_proto::Endpoint>,
    pub(super) connections: RefCell<HashMap<ConnectionHandle, Rc<Shared>>>,
    /// The snapshot whose listener is spoken for, and how.
    config: RefCell<(u64, Option<ServerConfig>)>,
    /// Connections that wait for room in the kernel.
    waiting: RefCell<Vec<Waker>>,
    shaking: Cell<usize>,
    output: RefCell<Vec<u8>>,
    /// Nothing new is taken, and it ends with its last connection.
    is_closed: Cell<bool>,
    /// Nothing is read any more.
    has_left: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Endpoint {
    /// Takes a socket that is bound for the listener of `key`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn open(thread: &Rc<Thread>, key: &str, fd: OwnedFd) -> io::Result<Rc<Self>> {
        let socket = Datagrams::new(fd)?;
        let mut config = EndpointConfig::default();
        let (identifiers, index) = (thread.node.identifiers.clone(), thread.index);
        config.supported_versions(vec![QUIC_VERSION]);
        config.cid_generator(move || Box::new(identifiers.of_thread(index)));
        let may_discover = !socket.may_fragment();
        Ok(Rc::new(Self {
            thread: thread.clone(),
            key: key.to_owned(),
            quic: RefCell::new(quinn_proto::Endpoint::new(
                Arc::new(config),
                None,
                may_discover,
                None,
            )),
            socket: RefCell::new(Rc::new(socket)),
            connections: RefCell::default(),
            config: RefCell::new((u64::MAX, None)),
            waiting: RefCell::default(),
            shaking: Cell::new(0),
            output: RefCell::default(),
            is_closed: Cell::new(false),
            has_left: Cell::new(false),
            task: RefCell::default(),
        }))
    }

    /// Takes packets until it is closed and its last connection is over.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut reception = Reception::default();
        let mut reading = Some(self.socket());
        loop {
            let mut in_a_row = 0;
            if self.has_left.get() {
                reading = None;
            }
            let goes_on = poll_fn(|cx| {
                *self.task.borrow_mut() = Some(cx.waker().clone());
                if !self.waiting.borrow().is_empty() && self.socket().poll_writable(cx).is_ready() {
                    self.waiting.take().into_iter().for_each(Waker::wake);
                }
                while let Some(reading) = &reading
                    && in_a_row < RECEPTIONS
                    && !self.has_left.get()
                {
                    match reading.poll_receive(cx, &mut reception) {
                        Poll::Ready(Ok(count)) => self.receive(&reception, count),
                        // Nothing of one connection: it is tried again.
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending if self.is_done() => return Poll::Ready(false),
                        Poll::Pending => return Poll::Pending,
                    }
                    in_a_row += 1;
                }
                match self.is_done() || !self.has_left.get() || reading.is_some() {
                    true => Poll::Ready(!self.is_done()),
                    false => Poll::Pending,
                }
            })
            .await;
            if !goes_on {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes no new connections. Those that are there go on.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.quic.borrow_mut().set_server_config(None);
        self.wake();
    }

    pub(super) fn socket(&self) -> Rc<Datagrams> {
        self.socket.borrow().clone()
    }

    /// Reads no more: what comes does not even wake its task.
    pub(super) fn stop_reading(&self) {
        self.has_left.set(true);
        if let Ok(sending) = self.socket().sending() {
            *self.socket.borrow_mut() = Rc::new(sending);
        }
    }

    /// Whether it was closed and its last connection is over.
    pub(crate) fn is_done(&self) -> bool {
        self.is_closed.get() && self.connections.borrow().is_empty()
    }

    fn wake(&self) {
        if let Some(waker) = self.task.borrow_mut().take() {
            waker.wake();
        }
    }

    fn receive(self: &Rc<Self>, reception: &Reception, count: usize) {
        self.refresh();
        self.thread.timers.look();
        let now = self.now();
        for (arrival, packet) in reception.datagrams(count) {
            self.sort(now, Origin::Socket, arrival, packet);
        }
    }

    /// Takes a packet, or hands it to the thread that it belongs to.
    pub(super) fn sort(
        self: &Rc<Self>,
        now: Instant,
        origin: Origin,
        arrival: Arrival,
        packet: &[u8],
    ) {
        match self.thread.node.identifiers.thread_of(packet) {
            Some(other) if other != self.thread.index => {
                let handed = Handed {
                    origin,
                    key: self.key.clone(),
                    arrival,
                    packet: packet.to_vec(),
                };
                self.thread.node.hand_over(other, handed);
            }
            Some(_) => self.take(now, origin, arrival, packet),
            None if origin == Origin::Socket && !self.may_begin(arrival, packet) => {}
            None if self.is_asked_for(origin, arrival, packet) => {}
            None => self.take(now, origin, arrival, packet),
        }
    }

    /// Whether a packet that belongs to no connection is looked at.
    fn may_begin(&self, arrival: Arrival, packet: &[u8]) -> bool {
        let thread = &self.thread;
        // Of a connection that another node has there may be as many as there are.
        if thread.kin.has_elder() && Stage::of(packet) != Stage::Begins {
            return true;
        }
        let may = thread
            .suspects
            .may_begin(arrival.peer.ip(), thread.moment());
        if !may {
            thread.stats.count(|stats| &stats.refused_rate);
        }
        may
    }

    /// Takes a packet that came to another thread.
    pub(crate) fn take_over(self: &Rc<Self>, origin: Origin, arrival: Arrival, packet: &[u8]) {
        self.refresh();
        self.take(self.now(), origin, arrival, packet);
    }

    pub(super) fn now(&self) -> Instant {
        self.thread.clock.instant(self.thread.now())
    }

    fn take(self: &Rc<Self>, now: Instant, origin: Origin, arrival: Arrival, packet: &[u8]) {
        let mut answer = self.take_output();
        let ecn = EcnCodepoint::from_bits(arrival.ecn);
        let event = self.quic.borrow_mut().handle(
            now,
            arrival.peer,
            arrival.local,
            ecn,
            BytesMut::from(packet),
            &mut answer,
        );
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let shared = self.connections.borrow().get(&handle).cloned();
                if let Some(shared) = shared {
                    shared.quic().handle_event(event);
                    shared.wake_driver();
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.admit(now, incoming, &mut answer);
            }
            unknown if self.is_elsewhere(origin, arrival, packet) => drop(unknown),
            Some(DatagramEvent::Response(train)) => self.respond(&train, &answer),
            None => {}
        }
        self.give_output(answer);
    }

    /// Sends what no connection is there for. Whatever the kernel does not take is lost.
    fn respond(&self, train: &quinn_proto::Transmit, bytes: &[u8]) {
        let _ = self.socket.borrow().send(&Departure {
            peer: train.destination,
            local: train.src_ip,
            ecn: 0,
            segment: None,
            bytes: bytes.get(..train.size).unwrap_or_default(),
        });
    }

    fn plan(&self) -> Option<Arc<ListenerPlan>> {
        let current = self.thread.current();
        let plans = &current.snapshot.listeners;
        let found = plans
            .iter()
            .find(|plan| plan.datagrams.as_deref() == Some(self.key.as_str()));
        found.cloned()
    }

    /// Speaks by the newest snapshot with whoever comes from now on.
    pub(super) fn refresh(&self) {
        let number = self.thread.current().snapshot.number;
        let mut config = self.config.borrow_mut();
        if config.0 == number || self.is_closed.get() {
            return;
        }
        let fresh = self
            .plan()
            .and_then(|plan| transport::config(&plan, config.1.as_ref()));
        let told = fresh.clone().map(Arc::new);
        self.quic.borrow_mut().set_server_config(told);
        *config = (number, fresh);
    }

    fn admit(self: &Rc<Self>, now: Instant, incoming: Incoming, answer: &mut Vec<u8>) {
        let mut quic = self.quic.borrow_mut();
        let Some(plan) = self.plan() else {
            return quic.ignore(incoming);
        };
        let peer = incoming.remote_address();
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if self.shaking.get() >= SHAKING && incoming.may_retry() {
            // RFC 9000 §8.1.2: whoever is not there to answer costs no more than this.
            if let Ok(train) = quic.retry(incoming, answer) {
                self.respond(&train, answer);
            }
            return;
        }
        let per_address = match self.thread.admit(&plan, peer.ip(), false) {
            Ok(per_address) => per_address,
            Err(Refused::Unseen) => return quic.ignore(incoming),
            Err(Refused::Full) => {
                let train = quic.refuse(incoming, answer);
                return self.respond(&train, answer);
            }
        };
        // Such a client goes on over TCP, where its connections stand in a line.
        if per_address > 0 && self.thread.suspects.has(peer.ip(), self.thread.moment()) {
            plan.counted.leave(peer.ip(), per_address);
            self.thread.stats.count(|stats| &stats.refused_rate);
            let train = quic.refuse(incoming, answer);
            return self.respond(&train, answer);
        }
        let limits = &plan.config.limits;
        let machine = Connection::server(Settings {
            header_size: limits.header_size.0 as usize,
            header_block: limits.header_size.0 as usize,
            header_fields: usize::from(limits.header_fields),
            ..Settings::default()
        });
        let (handle, connection) = match quic.accept(incoming, now, answer, None) {
            Ok(accepted) => accepted,
            Err(error) => {
                plan.counted.leave(peer.ip(), per_address);
                self.log_refusal(&plan, peer, refusal(&error.cause));
                if let Some(train) = error.response {
                    self.respond(&train, answer);
                }
                return;
            }
        };
        drop(quic);
        let clock = self.thread.clock.clone();
        let shared = Rc::new(Shared::new(connection, machine, clock));
        self.connections.borrow_mut().insert(handle, shared.clone());
        self.shaking.set(self.shaking.get() + 1);
        let thread = self.thread.clone();
        let base = Downstream::of_quic(thread, plan, shared.clone(), peer, per_address);
        Serving::start_quic(Driver::new(base, shared, self.clone(), handle));
    }

    /// There will be no connection.
    fn log_refusal(&self, plan: &ListenerPlan, peer: SocketAddr, refusal: Refusal) {
        let thread = &self.thread;
        thread.stats.count_refusal(refusal as usize);
        if thread.may_log_handshake() {
            let kind = ErrorKind::TlsHandshakeError;
            log_refused(thread, peer.ip(), &plan.name, kind, refusal.detail());
        }
    }

    /// Passes on what a connection's part of QUIC tells; what that is to know in return.
    pub(super) fn tell(
        &self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        self.quic.borrow_mut().handle_event(handle, event)
    }

    /// A handshake is over, one way or the other.
    pub(super) fn shaken(&self) {
        self.shaking.set(self.shaking.get().saturating_sub(1));
    }

    /// A connection is over.
    pub(super) fn forget(&self, handle: ConnectionHandle, was_shaking: bool) {
        if was_shaking {
            self.shaken();
        }
        self.connections.borrow_mut().remove(&handle);
        if self.is_done() {
            self.wake();
        }
    }

    /// The kernel has no room: the task is woken when it has.
    pub(super) fn watch(&self, cx: &mut Context<'_>) {
        self.socket().is_full(cx);
        self.waiting.borrow_mut().push(cx.waker().clone());
        self.wake();
    }

    pub(super) fn take_output(&self) -> Vec<u8> {
        let mut output = std::mem::take(&mut *self.output.borrow_mut());
        output.clear();
        output
    }

    pub(super) fn give_output(&self, output: Vec<u8>) {
        if output.capacity() <= KEPT {
            *self.output.borrow_mut() = output;
        }
    }
}
