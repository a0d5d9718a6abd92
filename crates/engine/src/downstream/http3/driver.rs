// SPDX-License-Identifier: Apache-2.0
use super::endpoint::Endpoint;
use super::shared::{Shared, number};
use crate::downstream::connection::Downstream;
use crate::thread::Thread;
use bytes::Bytes;
use quinn_proto::{ConnectionHandle, EndpointEvent, StreamId};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http3::{Code, UniReader};
use tidegate_net::Departure;
use tidegate_request::Version;
use tidegate_tls::Refusal;
use tokio::time::Sleep;

/// Trains of packets sent before others get their turn.
const TRAINS: usize = 8;
/// Milliseconds between two looks at what is not told, when nothing is waited for.
const LOOK_MS: u64 = 60_000;
/// Milliseconds after which a silent client whose request is under way is asked for a sign of life.
const PING_MS: u64 = 10_000;
/// Milliseconds at least between the warning that the connection ends and the last request it takes.
const WARNING_MS: u64 = 50;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Shaking,
    Open,
    /// All has been said; it is answered for a while to whoever has not heard.
    Closing,
}

/// A train of packets that the kernel has not taken.
struct Unsent {
    train: quinn_proto::Transmit,
    bytes: Vec<u8>,
}

/// A client's connection that speaks HTTP/3.
pub(in crate::downstream) struct Driver {
    pub(super) base: Box<Downstream>,
    pub(super) shared: Rc<Shared>,
    endpoint: Rc<Endpoint>,
    handle: ConnectionHandle,
    pub(super) state: State,
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Option<Instant>,
    unsent: Option<Unsent>,
    began: Moment,
    /// Our control stream, and what QUIC has not taken of it.
    pub(super) control: Option<StreamId>,
    pub(super) says: Vec<u8>,
    /// Streams that go one way, from the client.
    pub(super) unis: Vec<(StreamId, UniReader)>,
    /// Since when the client knows that the connection ends.
    leaving: Option<Moment>,
    is_idle: bool,
    idle_until: Moment,
    pinged: Moment,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
        if !self.shared.quic().is_drained() {
            // It was ended from outside: nobody is there to say it twice.
            self.close(Code::INTERNAL_ERROR);
            self.send();
            self.endpoint.tell(self.handle, EndpointEvent::drained());
        }
        self.endpoint
            .forget(self.handle, self.state == State::Shaking);
    }
}

impl Driver {
    pub(super) fn new(
        base: Box<Downstream>,
        shared: Rc<Shared>,
        endpoint: Rc<Endpoint>,
        handle: ConnectionHandle,
    ) -> Box<Self> {
        let now = base.thread.now();
        Box::new(Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            sleeps_until: None,
            base,
            shared,
            endpoint,
            handle,
            state: State::Shaking,
            unsent: None,
            began: now,
            control: None,
            says: Vec::new(),
            unis: Vec::new(),
            leaving: None,
            is_idle: true,
            idle_until: now,
            pinged: now,
        })
    }

    /// Its thread, and its place among those that hold memory.
    pub(in crate::downstream) fn task(&self) -> (Rc<Thread>, u32) {
        (self.base.thread.clone(), self.base.holding.place())
    }

    pub(super) fn instant(&self) -> Instant {
        let thread = &self.base.thread;
        thread.clock.instant(thread.now())
    }

    /// Does what there is to do; ready when the connection is over.
    pub(in crate::downstream) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.shared.watch(cx);
            self.events();
            if let Some(detail) = self.shared.take_broken() {
                self.log(ErrorKind::HttpRequestError, detail);
            }
            if let Some(error) = self.shared.take_failure()
                && self.state != State::Closing
            {
                self.log(ErrorKind::HttpRequestError, error.detail);
                self.base.blame();
                self.close(error.code);
            }
            if self.shared.is_left() && self.state != State::Closing {
                self.close(Code::NO_ERROR);
                self.state = State::Closing;
            }
            self.end_if_wanted();
            self.say();
            match self.send() {
                Sent::All => {}
                Sent::Some => cx.waker().wake_by_ref(),
                Sent::Blocked => self.endpoint.watch(cx),
            }
            self.tell_endpoint();
            if self.shared.quic().is_drained() {
                return Poll::Ready(());
            }
            self.rest();
            ready!(self.wait(cx));
        }
    }

    /// Has QUIC's part that is common to all connections know what changed for this one.
    pub(super) fn tell_endpoint(&mut self) {
        loop {
            let event = self.shared.quic().poll_endpoint_events();
            let Some(event) = event else { return };
            if let Some(answer) = self.endpoint.tell(self.handle, event) {
                self.shared.quic().handle_event(answer);
            }
        }
    }

    /// Ends the connection: what is under way is given up, and the client told why.
    pub(super) fn close(&mut self, code: Code) {
        let now = self.instant();
        self.shared.quic().close(now, number(code), Bytes::new());
        self.shared.end();
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Ends a connection that is not wanted any more: at once when it is idle, else in good order.
    fn end_if_wanted(&mut self) {
        if self.state != State::Open {
            return;
        }
        if !self.base.thread.is_draining.get() && !self.base.is_unwanted() {
            return;
        }
        let is_idle = self.is_quiet();
        if is_idle && self.base.thread.closes_idle.get() {
            return self.close(Code::NO_ERROR);
        }
        let now = self.base.thread.now();
        let Some(since) = self.leaving else {
            self.leaving = Some(now);
            self.says.extend(self.shared.machine().goaway(false));
            return;
        };
        if now >= since.after_millis(self.warning()) {
            self.says.extend(self.shared.machine().goaway(true));
            if is_idle {
                self.close(Code::NO_ERROR);
            }
        }
    }

    /// Whether no request is under way, and the client has all answers: what is not acknowledged would be
    /// lost with the connection.
    fn is_quiet(&self) -> bool {
        let own = usize::from(self.control.is_some());
        self.shared.is_idle() && self.shared.quic().streams().send_streams() <= own
    }

    /// How long requests may be on the way that do not know yet that it ends.
    fn warning(&self) -> u64 {
        let way = self.shared.quic().rtt().as_millis();
        u64::try_from(way * 2).unwrap_or(u64::MAX).max(WARNING_MS)
    }

    /// Hands what is to be said on the control stream to QUIC.
    fn say(&mut self) {
        let Some(control) = self.control else { return };
        while !self.says.is_empty() && self.state == State::Open {
            let written = self.shared.quic().send_stream(control).write(&self.says);
            match written {
                Ok(count) if count > 0 => drop(self.says.drain(..count)),
                _ => return,
            }
        }
    }

    /// Sends the packets that there are.
    fn send(&mut self) -> Sent {
        let now = self.instant();
        let socket = self.endpoint.socket();
        let most = socket.most_segments();
        for _ in 0..TRAINS {
            let Unsent { train, bytes } = match self.unsent.take() {
                Some(unsent) => unsent,
                None => {
                    let mut bytes = self.endpoint.take_output();
                    let train = self.shared.quic().poll_transmit(now, most, &mut bytes);
                    let Some(train) = train else {
                        self.endpoint.give_output(bytes);
                        return Sent::All;
                    };
                    Unsent { train, bytes }
                }
            };
            let outcome = socket.send(&Departure {
                peer: train.destination,
                local: train.src_ip,
                ecn: train.ecn.map_or(0, |ecn| ecn as u8),
                segment: train.segment_size,
                bytes: bytes.get(..train.size).unwrap_or_default(),
            });
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent = Some(Unsent { train, bytes });
                    return Sent::Blocked;
                }
                // What else goes wrong is a loss like any other.
                _ => self.endpoint.give_output(bytes),
            }
        }
        Sent::Some
    }

    /// Says how much it holds, and gives back what it can while no request is under way.
    fn rest(&mut self) {
        let now = self.base.thread.now();
        if !self.shared.is_idle() {
            self.is_idle = false;
            self.base.holding.hold(self.shared.memory());
            if self.pinged.after_millis(PING_MS) <= now {
                self.pinged = now;
                self.shared.quic().ping();
            }
        } else if !std::mem::replace(&mut self.is_idle, true) {
            self.shared.machine().shrink();
            self.base.holding.hold(0);
            self.begin_idle();
        }
    }

    pub(super) fn begin_idle(&mut self) {
        let limit = self.base.listener.config.timeouts.idle.0;
        self.idle_until = self.base.thread.now().after_millis(limit);
    }

    /// Waits until something comes, or the client has taken too long over something.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.shared.quic().poll_timeout();
        if due != self.sleeps_until {
            self.sleeps_until = due;
            if let Some(due) = due {
                self.sleep.as_mut().reset(due.into());
            }
        }
        if self.sleeps_until.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.sleeps_until = None;
            let now = self.instant();
            self.shared.quic().handle_timeout(now);
            return Poll::Ready(());
        }
        if self.state == State::Closing {
            return Poll::Pending;
        }
        let timeouts = &self.base.listener.config.timeouts;
        let is_shaking = self.state == State::Shaking;
        let is_settled = self.shared.machine().is_settled();
        let settled = (!is_settled).then(|| self.began.after_millis(timeouts.handshake.0));
        let awaited = self.shared.awaited();
        let whole = awaited.map(|since| since.after_millis(timeouts.header.0));
        let idle = (self.is_idle && !is_shaking).then_some(self.idle_until);
        let now = self.base.thread.now();
        let ping = (!self.is_idle).then(|| self.pinged.after_millis(PING_MS));
        let last = self.leaving.map(|since| since.after_millis(self.warning()));
        let last = last.filter(|at| *at > now);
        let all = [settled, whole, idle, ping, last];
        let first = all.into_iter().flatten().min();
        self.base
            .timer
            .set(first.unwrap_or_else(|| now.after_millis(LOOK_MS)));
        ready!(self.base.timer.poll_expired(cx));
        let now = self.base.thread.now();
        let is_late = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if is_late(settled) && is_shaking {
            self.refused(Refusal::Timeout);
            self.close(Code::NO_ERROR);
        } else if is_late(settled) {
            self.log(ErrorKind::RequestTimeout, "SETTINGS took too long");
            self.close(Code::MISSING_SETTINGS);
        } else if is_late(whole) {
            self.give_up_heads(now);
        } else if is_late(idle) {
            self.close(Code::NO_ERROR);
        }
        Poll::Ready(())
    }

    /// There will be no connection.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        let thread = &self.base.thread;
        thread.stats.count_refusal(refusal as usize);
        if refusal != Refusal::Closed && thread.may_log_handshake() {
            self.base.log_refusal(refusal);
        }
        self.endpoint.shaken();
        self.state = State::Closing;
    }

    pub(super) fn shaken(&mut self) {
        self.endpoint.shaken();
        self.state = State::Open;
    }

    pub(super) fn log(&self, kind: ErrorKind, detail: &'static str) {
        self.base.log_broken(Version::Http3, kind, detail);
    }
}

/// How much was sent of what there is.
enum Sent {
    All,
    /// There is more.
    Some,
    /// The kernel takes nothing now.
    Blocked,
}
