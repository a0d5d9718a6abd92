// SPDX-License-Identifier: Apache-2.0
use super::followed::Followed;
use super::open::{go_on, open};
use super::reading::{Heard, Readings};
use super::session::Session;
use crate::thread::{Origin, Parcel, Thread, Timer};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidegate_net::{
    Arrival, Datagrams, Departure, Hello, LongKind, QuicId, Reception, long_header,
};
use tidegate_tls::Refusal;
use tokio::task::JoinHandle;

/// How long a socket is left alone after an error that is not about a datagram.
const FAULT: Duration = Duration::from_millis(50);

/// Sessions that one client's address and port may have.
const MOST: usize = 32;
/// Bytes of the identifier that a client makes up for its first packets, at least (RFC 9000 §7.2).
const LEAST_BEGUN: usize = 8;

/// By what sessions are told apart: the client's address and port, and what it sent to.
pub(super) type Key = (SocketAddr, Option<IpAddr>);

/// The sockets of one thread that take datagrams for routes, by the listener's key.
#[derive(Default)]
pub(crate) struct Ports {
    open: HashMap<String, (Rc<Port>, JoinHandle<()>)>,
}

impl Ports {
    /// Takes datagrams from a socket that is new.
    pub(crate) fn open(&mut self, thread: &Rc<Thread>, key: String, fd: OwnedFd) {
        if self.open.contains_key(&key) {
            return;
        }
        let Ok(socket) = Datagrams::passing_on(fd) else {
            return;
        };
        let socket = Rc::new(socket);
        let port = Rc::new(Port {
            thread: thread.clone(),
            key: key.clone(),
            socket: RefCell::new(socket.clone()),
            sessions: RefCell::default(),
            readings: RefCell::default(),
            timer: thread.timers.timer(),
            reads: Cell::new((u64::MAX, false)),
            replies: RefCell::default(),
            is_closed: Cell::new(false),
        });
        let task = tokio::task::spawn_local(read(port.clone(), socket));
        self.open.insert(key, (port, task));
    }

    /// Closes those whose listener is gone, and their sessions: without the socket nobody is answered.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&String) -> bool) {
        self.open.retain(|key, (port, task)| {
            let stays = is_wanted(key);
            if !stays {
                task.abort();
                port.close();
            }
            stays
        });
    }

    /// Leaves all sockets to the node that takes this one's place, and brings what is not its own.
    pub(crate) fn leave(&self) {
        for (port, task) in self.open.values() {
            task.abort();
            port.stop_reading();
        }
    }

    /// Where datagrams of a socket are taken.
    pub(crate) fn find(&self, key: &str) -> Option<Rc<Port>> {
        self.open.get(key).map(|(port, _)| port.clone())
    }

    /// Has sessions end that are silent, now that no new ones begin.
    pub(crate) fn drain(&self) {
        for (port, _) in self.open.values() {
            port.each(|session| session.set_timer());
        }
    }
}

/// Sessions of one client's address and port: more than one only where it has several connections of QUIC.
type Tuple = SmallVec<[Rc<Session>; 1]>;

/// A listener's socket on one thread.
pub(crate) struct Port {
    pub(super) thread: Rc<Thread>,
    pub(super) key: String,
    socket: RefCell<Rc<Datagrams>>,
    sessions: RefCell<HashMap<Key, Tuple>>,
    readings: RefCell<Readings>,
    /// For the next of `readings` that has waited for too long.
    timer: Timer,
    /// Whether a route goes by what clients of QUIC ask for, by the number of the snapshot that says so.
    reads: Cell<(u64, bool)>,
    /// Where answers lie between two sockets: nothing stays in it.
    pub(super) replies: RefCell<Reception>,
    pub(super) is_closed: Cell<bool>,
}

impl Port {
    /// Takes a train of datagrams from one client.
    pub(crate) fn take(
        self: &Rc<Self>,
        arrival: Arrival,
        bytes: &[u8],
        stride: usize,
        origin: Origin,
    ) {
        let key = (arrival.peer, arrival.local);
        let only = match self.sessions.borrow().get(&key).map(SmallVec::as_slice) {
            Some([only]) => Some(only.clone()),
            _ => None,
        };
        // What is not QUIC, or of one connection, goes on as it came.
        if let Some(only) = &only
            && (!self.reads_quic() || self.is_all_of(only, bytes, stride))
        {
            return only.forward(bytes, stride, arrival.ecn);
        }
        if !self.reads_quic() && only.is_none() {
            let known = self.latest(&key);
            if known.is_none() && self.passes(origin, &key, (bytes, arrival.ecn), stride) {
                return;
            }
            if let Some(session) = known.or_else(|| self.begin(key, None)) {
                session.forward(bytes, stride, arrival.ecn);
            }
            return;
        }
        if bytes.is_empty() {
            self.take_one(key, bytes, arrival.ecn, origin);
        }
        for packet in bytes.chunks(stride.max(1)) {
            self.take_one(key, packet, arrival.ecn, origin);
        }
    }

    /// Takes one datagram where connections of QUIC are told apart.
    fn take_one(self: &Rc<Self>, key: Key, packet: &[u8], ecn: u8, origin: Origin) {
        let known = &self.thread.node.passed;
        let is_long = packet.first().is_some_and(|first| first & 0x80 != 0);
        let session = if !is_long {
            let own = self.of_tuple(&key, |session| session.has_short(packet));
            own.or_else(|| self.go_on(key, known.find_short(&self.key, packet)?))
        } else {
            let header = long_header(packet);
            let id = header.and_then(|header| QuicId::new(header.destination));
            let own = id.and_then(|id| {
                let own = self.of_tuple(&key, |session| session.has_id(&id));
                own.or_else(|| self.go_on(key, known.find(&self.key, &id)?))
            });
            if own.is_none()
                && let (Some(header), Some(id)) = (header, id)
                && let Some(kind @ (LongKind::Initial | LongKind::ZeroRtt)) = header.kind
                && id.len() >= LEAST_BEGUN
            {
                let is_heard = self.readings.borrow().knows(&(key, id));
                if is_heard || !self.passes(origin, &key, (packet, ecn), packet.len()) {
                    self.hear(key, id, header.version, kind, (packet, ecn));
                }
                return;
            }
            own
        };
        let may_guess = origin != Origin::Heir { is_strict: true };
        let is_elsewhere = || {
            let kin = &self.thread.kin;
            let is_here = kin.has_left() && may_guess && self.latest(&key).is_some();
            !is_here && self.passes(origin, &key, (packet, ecn), packet.len())
        };
        if session.is_none() && is_elsewhere() {
            return;
        }
        let session = session.or_else(|| self.latest(&key));
        if let Some(session) = session.or_else(|| self.begin(key, None)) {
            session.forward(packet, packet.len().max(1), ecn);
        }
    }

    /// Has another node deal with what there is no session for here.
    fn passes(&self, origin: Origin, key: &Key, (bytes, ecn): (&[u8], u8), stride: usize) -> bool {
        let kin = &self.thread.kin;
        if !kin.has_elder() && !kin.has_left() {
            return false;
        }
        let is_strict = origin == Origin::Heir { is_strict: true };
        kin.passes(
            origin,
            &Parcel {
                key: &self.key,
                arrival: Arrival {
                    peer: key.0,
                    local: key.1,
                    ecn,
                },
                stride,
                bytes,
                is_strict: is_strict || self.latest(key).is_some(),
            },
        )
    }

    /// Sends datagrams to a client. What the kernel does not take is lost.
    pub(super) fn send(&self, departure: &Departure<'_>, stride: usize) {
        let _ = self.socket.borrow().send_train(departure, stride);
    }

    /// Leaves what comes to another node, with the packets that wait for the rest of a first message.
    fn stop_reading(&self) {
        let sending = self.socket.borrow().sending();
        if let Ok(sending) = sending {
            // What comes does not wake this one any more.
            *self.socket.borrow_mut() = Rc::new(sending);
        }
        for (key, (packet, ecn)) in self.readings.take().into_held() {
            self.passes(Origin::Elder, &key, (&packet, ecn), packet.len());
        }
    }

    /// Takes a packet of a connection that begins.
    fn hear(
        self: &Rc<Self>,
        key: Key,
        id: QuicId,
        version: u32,
        kind: LongKind,
        (packet, ecn): (&[u8], u8),
    ) {
        if self.thread.is_draining.get() || !self.admits(&key) {
            return;
        }
        let now = self.thread.moment();
        let heard = {
            let mut readings = self.readings.borrow_mut();
            let heard = readings.take((key, id), version, kind, (packet, ecn), now);
            self.sweep(&mut readings);
            heard
        };
        let (session, held) = match heard {
            Heard::More => return,
            Heard::Hello(hello, held) => (self.begin(key, Some((hello, id))), held),
            Heard::Unread(held) => {
                let session = self.latest(&key);
                (session.or_else(|| self.begin(key, None)), held)
            }
        };
        for (packet, ecn) in held {
            if let Some(session) = &session {
                session.forward(&packet, packet.len().max(1), ecn);
            }
        }
    }

    /// Whether the client is one that the listener takes: before keys are derived for it.
    fn admits(&self, key: &Key) -> bool {
        let current = self.thread.current();
        let mut listeners = current.snapshot.listeners.iter();
        let listener = listeners.find(|plan| plan.key == self.key);
        let admits = listener.is_some_and(|plan| plan.admission.admits(key.0.ip()));
        if !admits {
            self.thread.stats.count(|stats| &stats.refused_client);
        }
        admits
    }

    /// Lets go of first messages that do not become whole.
    fn sweep(&self, readings: &mut Readings) {
        let (late, many) = readings.sweep(self.thread.moment());
        let stats = &self.thread.stats;
        (0..late).for_each(|_| stats.count_refusal(Refusal::Timeout as usize));
        (0..many).for_each(|_| stats.count(|stats| &stats.refused));
        // Where nothing waits the timer stays as it is: one that is far away would be looked at all the time.
        if let Some(due) = readings.due() {
            self.timer.set(due);
        }
    }

    fn reads_quic(&self) -> bool {
        let current = self.thread.current();
        let number = current.snapshot.number;
        let (known, reads) = self.reads.get();
        if known == number {
            return reads;
        }
        let mut listeners = current.snapshot.listeners.iter();
        let listener = listeners.find(|plan| plan.key == self.key);
        let reads = listener.is_some_and(|plan| current.snapshot.l4.reads_quic(&plan.name));
        self.reads.set((number, reads));
        reads
    }

    /// Whether a train is a session's as a whole: short headers, and sent to an identifier of its, or to one that
    /// it has agreed on inside of the connection.
    fn is_all_of(&self, session: &Session, bytes: &[u8], stride: usize) -> bool {
        let mut packets = bytes.chunks(stride.max(1));
        let is_short = |packet: &[u8]| packet.first().is_some_and(|first| first & 0x80 == 0);
        let is_strange = || {
            let known = &self.thread.node.passed;
            known.find_short(&self.key, bytes).is_none()
        };
        let may_be_strange = !self.thread.kin.has_elder();
        packets.all(is_short) && (session.has_short(bytes) || may_be_strange && is_strange())
    }

    fn of_tuple(&self, key: &Key, is_it: impl Fn(&Session) -> bool) -> Option<Rc<Session>> {
        let sessions = self.sessions.borrow();
        let mut tuple = sessions.get(key)?.iter();
        tuple.find(|session| is_it(session)).cloned()
    }

    /// The session of a client that began last: what cannot be told apart is most likely for that.
    fn latest(&self, key: &Key) -> Option<Rc<Session>> {
        self.sessions.borrow().get(key)?.last().cloned()
    }

    fn begin(self: &Rc<Self>, key: Key, asked: Option<(Hello, QuicId)>) -> Option<Rc<Session>> {
        if self.thread.is_draining.get() || self.is_full(&key) {
            return None;
        }
        open(self, key, asked).map(|session| self.add(key, session))
    }

    /// Another session of a connection whose client has moved.
    fn go_on(self: &Rc<Self>, key: Key, followed: Arc<Followed>) -> Option<Rc<Session>> {
        if self.is_full(&key) {
            return None;
        }
        go_on(self, key, followed).map(|session| self.add(key, session))
    }

    fn is_full(&self, key: &Key) -> bool {
        let sessions = self.sessions.borrow();
        let is_full = sessions.get(key).is_some_and(|tuple| tuple.len() >= MOST);
        if is_full {
            self.thread.stats.count(|stats| &stats.refused);
        }
        is_full
    }

    fn add(self: &Rc<Self>, key: Key, session: Session) -> Rc<Session> {
        let session = Rc::new(session);
        let mut sessions = self.sessions.borrow_mut();
        sessions.entry(key).or_default().push(session.clone());
        tokio::task::spawn_local(session.clone().run(self.clone()));
        session
    }

    pub(super) fn forget(&self, key: &Key, session: &Rc<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        if let Some(tuple) = sessions.get_mut(key) {
            tuple.retain(|each| !Rc::ptr_eq(each, session));
            if tuple.is_empty() {
                sessions.remove(key);
            }
        }
    }

    fn each(&self, act: impl Fn(&Session)) {
        let sessions = self.sessions.borrow();
        sessions.values().flatten().for_each(|each| act(each));
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.each(Session::look);
    }
}

async fn read(port: Rc<Port>, reading: Rc<Datagrams>) {
    let mut reception = Reception::default();
    loop {
        let received = poll_fn(|cx| {
            if port.timer.poll_expired(cx).is_ready() {
                port.sweep(&mut port.readings.borrow_mut());
            }
            reading.poll_receive(cx, &mut reception)
        });
        match received.await {
            Ok(count) => {
                port.thread.timers.look();
                for (arrival, bytes, stride) in reception.trains(count) {
                    port.take(arrival, bytes, stride, Origin::Socket);
                }
                // Sessions and everybody else get their turn. Where nothing is left they do anyway.
                if Reception::is_full(count) {
                    tokio::task::yield_now().await;
                }
            }
            Err(_) => tokio::time::sleep(FAULT).await,
        }
    }
}
