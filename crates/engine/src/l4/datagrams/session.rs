// SPDX-License-Identifier: Apache-2.0
use super::followed::{Followed, Ids};
use super::port::{Key, Port};
use crate::downstream::Seat;
use crate::l4::account::Account;
use crate::snapshot::BackendPlan;
use crate::thread::{Thread, Timer};
use crate::upstream::Place;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::ErrorKind as IoKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::{ErrorKind, Moment};
use tidegate_net::{Datagrams, Departure, LongKind, QuicId, long_header};
use tidegate_telemetry::L4Stats;

/// Messages of the endpoint's passed on before others get their turn.
const PIECES: usize = 8;
/// Milliseconds of silence after which a session is over while the node drains: it has no end of its own.
const DRAINED_MS: u64 = 1000;

/// Datagrams and bytes of one direction.
#[derive(Clone, Copy, Default)]
struct Moved {
    datagrams: u64,
    bytes: u64,
}

impl Moved {
    fn add(cell: &Cell<Self>, bytes: usize, stride: usize) {
        let mut moved = cell.get();
        moved.datagrams += bytes.div_ceil(stride.max(1)).max(1) as u64;
        moved.bytes += bytes as u64;
        cell.set(moved);
    }
}

/// The datagrams between one client and its endpoint.
pub(super) struct Session {
    key: Key,
    thread: Rc<Thread>,
    /// Connected to the endpoint.
    socket: Datagrams,
    target: SocketAddr,
    place: Place,
    plan: Arc<BackendPlan>,
    timer: Timer,
    started: Moment,
    /// When something came last.
    progress: Cell<Moment>,
    inwards: Cell<Moved>,
    outwards: Cell<Moved>,
    /// The kernel was told that nobody is at the endpoint's port.
    is_refused: Cell<bool>,
    idle_ms: u64,
    until: Option<Moment>,
    responses: Option<u64>,
    told: RefCell<Account>,
    /// The connection of QUIC that it is of.
    quic: Option<Quic>,
    _seat: Seat,
}

/// A connection of QUIC, as one of its sessions knows it.
pub(super) struct Quic {
    pub(super) followed: Arc<Followed>,
    /// What packets of the client's go to: what it made up itself at first, then what its endpoint said.
    pub(super) ids: RefCell<Ids>,
}

/// How a session gets to its endpoint.
pub(super) struct Way {
    pub(super) place: Place,
    pub(super) plan: Arc<BackendPlan>,
    pub(super) socket: Datagrams,
    pub(super) target: SocketAddr,
}

impl Session {
    pub(super) fn new(key: Key, seat: Seat, told: Account, way: Way, quic: Option<Quic>) -> Self {
        let Way {
            place,
            plan,
            socket,
            target,
        } = way;
        let thread = seat.thread.clone();
        let route = told.route.as_ref();
        let timeouts = route.map(|route| &route.timeouts);
        let life = timeouts.and_then(|timeouts| timeouts.life);
        let session = Self {
            key,
            socket,
            target,
            place,
            plan,
            timer: thread.timers.timer(),
            started: told.started,
            progress: Cell::new(told.started),
            inwards: Cell::default(),
            outwards: Cell::default(),
            is_refused: Cell::new(false),
            idle_ms: timeouts.map_or(0, |timeouts| timeouts.idle.0),
            until: life.map(|life| told.started.after_millis(life.0)),
            responses: route.and_then(|route| route.responses).map(u64::from),
            told: RefCell::new(told),
            quic,
            _seat: seat,
            thread,
        };
        session.set_timer();
        session
    }

    /// Passes on what the client sent. What the kernel does not take is lost, as on any way.
    pub(super) fn forward(&self, bytes: &[u8], stride: usize, ecn: u8) {
        let departure = Departure {
            peer: self.target,
            local: None,
            ecn,
            segment: None,
            bytes,
        };
        match self.socket.send_train(&departure, stride) {
            Ok(()) => {}
            Err(error) if error.kind() == IoKind::ConnectionRefused => {
                self.is_refused.set(true);
                self.look();
            }
            Err(_) => {}
        }
        Moved::add(&self.inwards, bytes.len(), stride);
        self.counts(|stats| stats.add(|stats| &stats.bytes_in, bytes.len() as u64));
        self.progress.set(self.thread.moment());
        if self.is_answered() {
            self.look();
        }
    }

    fn counts(&self, count: impl Fn(&L4Stats)) {
        self.told.borrow().stats(count);
    }

    /// Whether everything has come that was to be expected.
    fn is_answered(&self) -> bool {
        let (asked, came) = (self.inwards.get().datagrams, self.outwards.get().datagrams);
        self.responses
            .is_some_and(|responses| asked > 0 && came >= asked.saturating_mul(responses))
    }

    /// Has the session looked at.
    pub(super) fn look(&self) {
        self.timer.set(self.thread.moment());
    }

    fn idle_until(&self) -> Moment {
        // Where another node brings what comes a session has its time: the drain time is its end at the latest.
        let is_alone = self.thread.is_draining.get() && !self.thread.kin.has_left();
        let idle_ms = match is_alone {
            true => self.idle_ms.min(DRAINED_MS),
            false => self.idle_ms,
        };
        self.progress.get().after_millis(idle_ms)
    }

    pub(super) fn set_timer(&self) {
        let idle = self.idle_until();
        self.timer
            .set(self.until.map_or(idle, |until| until.min(idle)));
    }

    /// Passes on what the endpoint sends until it is over.
    pub(super) async fn run(self: Rc<Self>, port: Rc<Port>) {
        let ended = {
            let mut failure = pin!(self.socket.failure());
            let mut is_watched = false;
            let polled = poll_fn(|cx| {
                let before = self.outwards.get().datagrams;
                let ended = self.poll(&port, cx);
                // What was refused before an answer is told by whoever reads that: there is no need to look.
                let has_read = is_watched && self.outwards.get().datagrams > before;
                if ended.is_ready() || has_read {
                    return ended;
                }
                is_watched = true;
                failure.as_mut().poll(cx).map(|_| "endpoint_reset")
            });
            polled.await
        };
        port.forget(&self.key, &self);
        let mut told = self.told.borrow_mut();
        (told.entry.bytes_in, told.entry.bytes_out) =
            (self.inwards.get().bytes, self.outwards.get().bytes);
        match ended {
            // Nobody was there: another endpoint gets the next session.
            "endpoint_reset" if self.outwards.get().datagrams == 0 => {
                self.place.failed(&self.plan, self.thread.now());
                told.entry.error = Some(ErrorKind::ConnectionRefused);
                let why = "the endpoint's host said that nobody takes datagrams there";
                told.finish(ended, why);
            }
            _ => told.finish(ended, ""),
        }
    }

    /// Ready with why it is over.
    fn poll(&self, port: &Port, cx: &mut Context<'_>) -> Poll<&'static str> {
        self.thread.timers.look();
        if self.is_refused.get() {
            return Poll::Ready("endpoint_reset");
        }
        let mut replies = port.replies.borrow_mut();
        let mut is_done = false;
        for _ in 0..PIECES {
            match self.socket.poll_receive(cx, &mut replies) {
                Poll::Ready(Ok(count)) => {
                    for (arrival, bytes, stride) in replies.trains(count) {
                        self.answer(port, arrival.ecn, bytes, stride);
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready("endpoint_reset"),
                Poll::Pending => {
                    is_done = true;
                    break;
                }
            }
        }
        drop(replies);
        if port.is_closed.get() || self.is_answered() {
            return Poll::Ready("closed");
        }
        if !is_done {
            cx.waker().wake_by_ref();
        }
        // Set anew when it has come up, and not with each datagram.
        while self.timer.poll_expired(cx).is_ready() {
            let now = self.thread.moment();
            if self.until.is_some_and(|until| now >= until) {
                return Poll::Ready("life");
            }
            if now >= self.idle_until() {
                return Poll::Ready("idle");
            }
            self.set_timer();
        }
        Poll::Pending
    }

    /// Whether a packet of QUIC with a long header goes to `id` by way of this session.
    pub(super) fn has_id(&self, id: &QuicId) -> bool {
        let mut quic = self.quic.iter();
        quic.any(|quic| quic.ids.borrow().contains(id))
    }

    /// Whether one with a short header does.
    pub(super) fn has_short(&self, packet: &[u8]) -> bool {
        let mut quic = self.quic.iter();
        quic.any(|quic| quic.ids.borrow().iter().any(|id| id.begins(packet)))
    }

    /// Notes by which identifiers the endpoint wants to be known. Those that it says inside of the connection
    /// are hidden from whoever is on the way.
    fn learn(&self, bytes: &[u8], stride: usize) {
        let Some(quic) = &self.quic else {
            return;
        };
        let is_long = |packet: &&[u8]| packet.first().is_some_and(|first| first & 0x80 != 0);
        for packet in bytes.chunks(stride.max(1)).filter(is_long) {
            let Some(header) = long_header(packet) else {
                continue;
            };
            let kinds = [LongKind::Initial, LongKind::Handshake, LongKind::Retry];
            let is_said = header.kind.is_some_and(|kind| kinds.contains(&kind));
            let Some(id) = QuicId::new(header.source).filter(|_| is_said) else {
                continue;
            };
            let is_new = !quic.ids.borrow().contains(&id);
            if is_new && quic.followed.learn(id) {
                quic.ids.borrow_mut().push(id);
            }
        }
    }

    /// Passes on what the endpoint sent.
    fn answer(&self, port: &Port, ecn: u8, bytes: &[u8], stride: usize) {
        let now = self.thread.moment();
        if self.outwards.get().datagrams == 0 {
            self.place.succeeded();
            let took = now.micros_since(self.started).max(1);
            let balancer = &self.plan.balancer;
            balancer.observe(&self.place.endpoint, took, false, now);
        }
        self.learn(bytes, stride);
        let departure = Departure {
            peer: self.key.0,
            local: self.key.1,
            ecn,
            segment: None,
            bytes,
        };
        port.send(&departure, stride);
        Moved::add(&self.outwards, bytes.len(), stride);
        self.counts(|stats| stats.add(|stats| &stats.bytes_out, bytes.len() as u64));
        self.progress.set(now);
    }
}
