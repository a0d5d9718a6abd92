// SPDX-License-Identifier: Apache-2.0
use super::head::Head;
use super::http3;
use super::part::Part;
use super::seat::Seat;
use super::switched::Switched;
use super::wire::Wire;
use crate::egress::Lanes;
use crate::memory::Level;
use crate::snapshot::{ListenerPlan, Snapshot};
use crate::thread::{BUFFER, Buffer, Current, Holding, Thread, Timer, Turn};
use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tidegate_core::Moment;
use tidegate_core::digits::push_address;
use tidegate_http::HeadScanner;
use tidegate_net::{Peer, Secured, Stream};

/// Milliseconds after which an idle connection is put to rest.
const QUIET_MS: u64 = 1000;

/// About what a request under way takes besides bodies: a buffer, its fields, its task.
const BASE: usize = BUFFER + (8 << 10);

/// The client did not take what was written in time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled;

pub(super) fn peer_text(peer: Peer) -> String {
    let Peer::Ip(address) = peer else {
        return "unknown".into();
    };
    let mut text = Vec::with_capacity("255.255.255.255".len());
    push_address(&mut text, address.ip());
    String::from_utf8(text).unwrap_or_default()
}

/// One client connection.
pub(crate) struct Downstream {
    pub(crate) thread: Rc<Thread>,
    pub(crate) listener: Arc<ListenerPlan>,
    pub(crate) stream: Wire,
    pub(crate) peer: Peer,
    pub(crate) timer: Timer,
    /// Bytes read and not used yet.
    pub(crate) buffer: Buffer,
    /// The peer's address as the endpoint is told it.
    pub(crate) peer_text: String,
    /// The address that was dialled, once a route has asked for it.
    pub(super) local: OnceCell<Option<IpAddr>>,
    /// What was dialled, as a proxy in front has said.
    pub(super) announced: Option<Box<SocketAddr>>,
    /// The snapshot that `index` and `is_trusted` are true of.
    number: u64,
    /// The listener's place in it.
    index: u32,
    /// Whether the peer is one of its `trusted_proxies`.
    pub(crate) is_trusted: bool,
    /// Whether a request came.
    pub(super) is_used: bool,
    /// Whether the connection ends by a reset.
    pub(super) is_cut: bool,
    /// When it has been idle for too long.
    idle_until: Moment,
    /// None of a stream: its connection has it.
    pub(super) seat: Option<Seat>,
    /// What it holds, and how it is ended when memory is short.
    pub(crate) holding: Holding,
    /// How fast content moves, during an exchange of a forward proxy's user who has a rate.
    pub(crate) lanes: Option<Box<Lanes>>,
    /// What goes on here in place of requests, once that was agreed on.
    pub(super) switched: Option<Box<Switched>>,
}

/// An idle connection while it rests: what it has besides its socket.
pub(crate) struct Rest {
    pub(crate) fd: OwnedFd,
    tls: Option<Box<Secured>>,
    peer: Peer,
    listener: Arc<ListenerPlan>,
    announced: Option<Box<SocketAddr>>,
    pub(crate) idle_until: Moment,
    is_used: bool,
    seat: Seat,
}

impl Rest {
    /// The thread it belongs to.
    pub(crate) fn thread(&self) -> &Thread {
        &self.seat.thread
    }

    /// Whether it came to the listener of our own pages.
    pub(crate) fn is_own(&self) -> bool {
        self.listener.config.named_only
    }

    /// Makes it a connection again.
    pub(crate) fn resume(self) -> Box<Downstream> {
        let stream = Stream::resumed(self.fd, self.tls);
        let mut resumed = Downstream::resume(
            self.seat,
            self.listener,
            Wire::Whole(stream),
            self.peer,
            self.idle_until,
        );
        resumed.dialled(self.announced);
        resumed.is_used = self.is_used;
        resumed
    }
}

/// How it goes on after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The wait for another one begins.
    Idle,
    /// Another one has begun.
    Begun,
    /// The connection is over.
    Over,
}

/// What the wait for a request came to.
pub(crate) enum Waited {
    /// There is something to read.
    Request,
    /// The connection is over.
    Over,
    /// It has been quiet for a while, and may rest.
    Quiet,
}

impl Downstream {
    /// Takes a connection that was counted in by its listener, `per_address` being the limit.
    pub(crate) fn new(
        thread: Rc<Thread>,
        listener: Arc<ListenerPlan>,
        stream: Stream,
        peer: Peer,
        per_address: u32,
    ) -> Box<Self> {
        let counted = listener.counted.clone();
        let seat = Seat::new(thread, counted, peer.address(), per_address);
        let idle = listener.config.timeouts.idle.0;
        let idle_until = seat.thread.now().after_millis(idle);
        Self::resume(seat, listener, Wire::Whole(stream), peer, idle_until)
    }

    /// Takes a connection of QUIC that was counted in like that.
    pub(super) fn of_quic(
        thread: Rc<Thread>,
        listener: Arc<ListenerPlan>,
        shared: Rc<http3::Shared>,
        peer: SocketAddr,
        per_address: u32,
    ) -> Box<Self> {
        let counted = listener.counted.clone();
        let seat = Seat::new(thread, counted, peer.ip(), per_address);
        let wire = Wire::Stream(Part::Quic(shared));
        let idle_until = seat.thread.now();
        Self::resume(seat, listener, wire, Peer::Ip(peer), idle_until)
    }

    /// The client goes on from another address.
    pub(super) fn moved(&mut self, peer: SocketAddr) {
        self.peer = Peer::Ip(peer);
        self.peer_text = peer_text(self.peer);
        // Whom it is trusted as is found out again.
        self.number = u64::MAX;
    }

    /// Takes a connection that has its seat, and has been idle.
    fn resume(
        seat: Seat,
        listener: Arc<ListenerPlan>,
        stream: Wire,
        peer: Peer,
        idle_until: Moment,
    ) -> Box<Self> {
        let thread = seat.thread.clone();
        Box::new(Self {
            timer: thread.timers.timer(),
            holding: Holding::new(thread.clone()),
            lanes: None,
            switched: None,
            thread,
            listener,
            stream,
            peer,
            buffer: Buffer::default(),
            peer_text: peer_text(peer),
            local: OnceCell::new(),
            announced: None,
            // No snapshot has this number: the first request looks everything up.
            number: u64::MAX,
            index: 0,
            is_trusted: false,
            is_used: false,
            is_cut: false,
            idle_until,
            seat: Some(seat),
        })
    }

    /// What serves one stream of the connection that this is.
    pub(super) fn of_stream(&self, stream: Part) -> Box<Self> {
        let thread = self.thread.clone();
        let announced = self.announced.clone();
        let local = announced.as_ref().map(|announced| Some(announced.ip()));
        Box::new(Self {
            timer: thread.timers.timer(),
            holding: Holding::new(thread.clone()),
            lanes: None,
            switched: None,
            thread,
            listener: self.listener.clone(),
            stream: Wire::Stream(stream),
            peer: self.peer,
            buffer: Buffer::default(),
            peer_text: self.peer_text.clone(),
            local: local.map_or_else(OnceCell::new, OnceCell::from),
            announced,
            number: self.number,
            index: self.index,
            is_trusted: self.is_trusted,
            is_used: true,
            is_cut: false,
            idle_until: self.idle_until,
            seat: None,
        })
    }

    /// Leaves of an idle connection what has to stay; `None` of a stream, which does not rest.
    pub(crate) fn rest(self) -> Option<Rest> {
        let (Wire::Whole(stream), Some(seat)) = (self.stream, self.seat) else {
            return None;
        };
        let (fd, tls) = stream.into_parts();
        Some(Rest {
            fd,
            tls,
            peer: self.peer,
            listener: self.listener,
            announced: self.announced,
            idle_until: self.idle_until,
            is_used: self.is_used,
            seat,
        })
    }

    /// The listener's place in `current`; `None` when it is no longer there. Its newest settings
    /// apply from here on, and so does whom it trusts.
    pub(crate) fn listener_index(&mut self, current: &Current) -> Option<usize> {
        let snapshot = &current.snapshot;
        if self.number != snapshot.number {
            let name = &self.listener.name;
            let found = snapshot
                .listeners
                .iter()
                .position(|plan| plan.name == *name)?;
            self.listener = snapshot.listeners.get(found)?.clone();
            self.index = found as u32;
            // A Unix socket is only as open as its file.
            self.is_trusted =
                self.peer == Peer::Unix || snapshot.settings.is_trusted(self.peer.address());
            self.number = snapshot.number;
            self.praise();
        }
        Some(self.index as usize)
    }

    /// The address that was dialled, if some route asks for it and it has one.
    #[inline]
    pub(crate) fn local_address(&self, snapshot: &Snapshot) -> Option<IpAddr> {
        if !snapshot.table.asks_local_address() {
            return None;
        }
        *self.local.get_or_init(|| self.stream.local_address())
    }

    /// A request is over: the wait for another one begins.
    pub(crate) fn become_idle(&mut self) {
        let limit = self.listener.config.timeouts.idle.0;
        self.idle_until = self.thread.moment().after_millis(limit);
        self.set_idle_timer();
    }

    /// Sets the deadline of the wait for a request.
    pub(crate) fn set_idle_timer(&self) {
        let quiet = self.thread.moment().after_millis(QUIET_MS);
        self.timer.set(self.idle_until.min(quiet));
    }

    /// Waits for the first byte of a request.
    pub(crate) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Waited> {
        // Before anything that ends the connection: what has already come is served.
        let Some(stream) = self.stream.whole() else {
            return Poll::Ready(Waited::Over);
        };
        if let Poll::Ready(outcome) = stream.poll_readable(cx) {
            return Poll::Ready(match outcome {
                Ok(()) => Waited::Request,
                Err(_) => Waited::Over,
            });
        }
        if self.is_unwanted() {
            return Poll::Ready(Waited::Over);
        }
        ready!(self.timer.poll_expired(cx));
        Poll::Ready(match self.thread.moment() < self.idle_until {
            true => Waited::Quiet,
            false => Waited::Over,
        })
    }

    /// Takes `bytes` for the request under way, besides what every request does and `before`, which
    /// it has; false when there is too little memory.
    pub(crate) fn take_memory(&self, before: usize, bytes: usize) -> bool {
        let may = self.thread.node.memory.admits(bytes);
        if may {
            self.hold(before + bytes);
        }
        may
    }

    /// Says that the request under way holds `bytes` besides what every request does.
    pub(crate) fn hold(&self, bytes: usize) {
        self.holding.hold(bytes + BASE);
    }

    /// Whether no further request is wanted: the node ends, is out of memory, or the listener
    /// is gone.
    pub(super) fn is_unwanted(&self) -> bool {
        let current = self.thread.current();
        let snapshot = &current.snapshot;
        let name = &self.listener.name;
        self.thread.closes_idle.get()
            || (self.thread.node.memory.level() == Level::Closes
                && !self.listener.config.named_only)
            || (self.number != snapshot.number
                && !snapshot.listeners.iter().any(|plan| plan.name == *name))
    }

    /// Reads what a connection that was just accepted, or rested, has brought, and leaves the
    /// runtime out of it; `None` when it must be waited for.
    pub(crate) fn try_read(&mut self) -> Option<Waited> {
        let limits = &self.listener.config.limits;
        let most = (limits.header_size.0 + limits.target_size.0) as usize;
        self.buffer = self.thread.buffers.take();
        let Some(stream) = self.stream.whole() else {
            return Some(Waited::Over);
        };
        let outcome = stream.read_now(self.buffer.room(most));
        let waited = match outcome {
            Ok(0) => Some(Waited::Over),
            Ok(count) => {
                self.buffer.filled(count);
                return Some(Waited::Request);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Waited::Over),
        };
        self.thread.buffers.give(std::mem::take(&mut self.buffer));
        waited
    }

    /// Serves the request that begins with `head`, and those of which the bytes are there as well.
    pub(crate) async fn busy(&mut self, mut head: Head) -> After {
        self.hold(0);
        let after = loop {
            match head {
                Head::Complete(length) => {
                    if !self.exchange(length).await {
                        break After::Over;
                    }
                    if self.buffer.is_empty() {
                        break After::Idle;
                    }
                }
                Head::Whole(request) => {
                    self.exchange_read(*request).await;
                    break After::Over;
                }
                Head::Closed => break After::Over,
                Head::Refused(reject) => {
                    let is_head = match &self.stream {
                        Wire::Whole(_) => self.buffer.data().starts_with(b"HEAD "),
                        Wire::Stream(stream) => stream.is_head(),
                    };
                    self.blame();
                    self.refuse(&reject, is_head).await;
                    break After::Over;
                }
            }
            let limits = super::receive::head_limits(&self.listener.config.limits);
            match self.scan(&mut HeadScanner::new(), &limits) {
                Some(next) => {
                    head = next;
                    if self.thread.is_over_time() {
                        let mut turn = Turn::default();
                        poll_fn(|cx| self.thread.busy.poll(&mut turn, cx)).await;
                    }
                }
                None => return After::Begun,
            }
        };
        self.thread.buffers.give(std::mem::take(&mut self.buffer));
        self.holding.hold(0);
        after
    }

    /// Hands all of `bytes` to the kernel.
    ///
    /// # Errors
    /// When the client is gone or takes nothing for `send_stall`.
    pub(crate) async fn write_all(&self, bytes: &[u8]) -> Result<(), Stalled> {
        let mut sent = 0;
        let mut has_timer = false;
        poll_fn(|cx| {
            while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
                match self.stream.poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) => {
                        sent += count;
                        has_timer = false;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Stalled)),
                    Poll::Pending => {
                        if !has_timer {
                            let stall = self.listener.config.timeouts.send_stall.0;
                            self.timer.set(self.thread.moment().after_millis(stall));
                            has_timer = true;
                        }
                        return self.timer.poll_expired(cx).map(|()| Err(Stalled));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}
