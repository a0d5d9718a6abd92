// SPDX-License-Identifier: Apache-2.0
use super::stream::{Facts, Stream};
use crate::downstream::Serving;
use crate::downstream::connection::Downstream;
use crate::downstream::ending::{LINGER_BYTES, LINGER_MS};
use crate::downstream::head::Head;
use crate::downstream::part::Part;
use crate::http2::{LOOK_MS, Put, READS, ROOM, Reset, Shared};
use crate::thread::Turn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tidegate_core::{ErrorKind, Moment};
use tidegate_http2::{Connection, ErrorCode, Event, Settings};
use tidegate_request::{Reject, Version};

/// Content of one stream, and of all, that may wait here for endpoints.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;

/// Memory that one connection may take, with what its exchanges hold of requests and content.
const MOST: usize = 1 << 20;
/// About what an exchange takes besides its request, with the 2 KiB of a response that may wait for its client whatever
/// else the connection holds.
const EXCHANGE: usize = 8 << 10;

/// Bytes of heads and of frames without content that are looked at in one turn, a head counting as `HEAD` more.
const TURN: usize = 4 << 10;
const HEAD: usize = 360;

/// Where a frame says what it is, and that it resets a stream (RFC 9113 §4.1, §6.4).
const KIND: usize = 3;
const RST_STREAM: u8 = 3;

const TOO_MUCH: &str = "the requests of the connection hold too much memory";

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more is said; what comes is read for a while, so that the last words arrive.
    Lingering {
        until: Moment,
        left: usize,
    },
    Over,
}

/// A client's connection that speaks HTTP/2.
pub(in crate::downstream) struct Driver {
    /// Its stream is the socket.
    base: Box<Downstream>,
    shared: Rc<Shared<Facts>>,
    state: State,
    /// The protocol was broken, or the end is near: what is there is written, and no more read.
    is_failed: bool,
    began: Moment,
    /// Its place in the line, and whether it stands there: a turn was not enough for what has come.
    turn: Turn,
    is_behind: bool,
    /// What is left of this turn, of `TURN`.
    left: usize,
    /// A frame or a head began to arrive.
    begun_at: Option<Moment>,
    /// The client took nothing since.
    stalled_at: Option<Moment>,
    /// No stream is open.
    is_idle: bool,
    idle_until: Moment,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.base.blame_if_unused();
        self.shared.end();
    }
}

impl Driver {
    /// Takes a connection that has said nothing, or whose buffer begins with the client's preface.
    pub(in crate::downstream) fn new(base: Box<Downstream>) -> Box<Self> {
        let limits = &base.listener.config.limits;
        let machine = Connection::server(Settings {
            concurrent_streams: limits.streams.into(),
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            header_size: u32::try_from(limits.header_size.0).unwrap_or(u32::MAX),
            header_block: limits.header_size.0 as usize,
            header_fields: usize::from(limits.header_fields),
            connect_protocol: true,
            ..Settings::default()
        });
        let shared = Rc::new(Shared::new(machine, MOST, Facts::of(&base.stream)));
        let now = base.thread.moment();
        let idle = base.listener.config.timeouts.idle.0;
        Box::new(Self {
            shared,
            state: State::Open,
            is_failed: false,
            began: now,
            turn: Turn::default(),
            is_behind: false,
            left: TURN,
            begun_at: None,
            stalled_at: None,
            is_idle: true,
            idle_until: now.after_millis(idle),
            base,
        })
    }

    /// Does what there is to do; ready when the connection is over.
    pub(in crate::downstream) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.state {
                State::Open => {
                    if self.serve(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                State::Lingering { until, left } => {
                    if self.linger(until, left, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                State::Over => return Poll::Ready(()),
            }
        }
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.watch(cx);
        let mut is_quiet = self.is_failed || self.is_turn(cx).is_pending();
        for _ in 0..READS {
            if is_quiet || self.left == 0 {
                break;
            }
            is_quiet = match self.read(cx) {
                Poll::Ready(true) => self.is_failed,
                Poll::Ready(false) => {
                    self.state = State::Over;
                    return Poll::Ready(());
                }
                Poll::Pending => true,
            };
        }
        if !is_quiet {
            self.is_behind = true;
            self.base.thread.heads.stand(&mut self.turn, cx);
        }
        self.end_if_wanted();
        self.shared.grant();
        let (to, now) = (&self.base.stream, self.base.thread.moment());
        let written = self.shared.write(to, &mut self.stalled_at, now, cx);
        if written.is_err() {
            self.base.cut();
            self.state = State::Over;
            return Poll::Ready(());
        }
        if self.shared.is_done(self.is_failed) {
            self.say_end();
            return Poll::Ready(());
        }
        self.rest();
        self.wait(cx)
    }

    /// Waits for its turn, if it stands in the line.
    fn is_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_behind {
            ready!(self.base.thread.heads.poll(&mut self.turn, cx));
            self.is_behind = false;
        }
        self.left = TURN;
        Poll::Ready(())
    }

    /// Looks at what has come, after reading once unless that is more than the last turn was enough for;
    /// false at the end.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.base.buffer.size() == 0 {
            self.base.buffer = self.base.thread.buffers.take();
        }
        let begun = self.base.buffer.len();
        // A connection that begins with what was read already.
        if begun == 0 || self.begun_at.is_some() {
            let outcome = self.base.stream.poll_read(cx, self.base.buffer.room(ROOM));
            match outcome {
                Poll::Ready(Ok(count)) if count > 0 => self.base.buffer.filled(count),
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        let mut buffer = std::mem::take(&mut self.base.buffer);
        // A request whose end is here already is not begun first.
        while (self.left > 0 || buffer.data().get(KIND) == Some(&RST_STREAM))
            && let Some(used) = self.event(buffer.data())
        {
            buffer.consume(used);
        }
        self.base.buffer = buffer;
        let is_waiting = self.left > 0
            && (!self.base.buffer.is_empty() || self.shared.machine().awaits_continuation());
        self.begun_at = is_waiting.then(|| self.begun_at.unwrap_or(self.base.thread.moment()));
        Poll::Ready(true)
    }

    /// Deals with the next event in `input`; how much of that is done with, `None` when there is none.
    fn event(&mut self, input: &[u8]) -> Option<usize> {
        let shared = Rc::clone(&self.shared);
        let mut machine = shared.machine();
        let memory = machine.memory();
        let received = match machine.receive(self.base.thread.moment(), input) {
            Ok(received) => received,
            Err(error) => {
                drop(machine);
                self.is_failed = true;
                self.base.blame();
                self.log(ErrorKind::HttpRequestError, error.detail);
                return None;
            }
        };
        let used = received.consumed;
        let cost = match &received.event {
            Some(Event::Data { data, .. }) if !data.is_empty() => 0,
            Some(Event::Request { .. } | Event::Refused { .. } | Event::Trailers { .. }) => {
                used + HEAD
            }
            _ => used,
        };
        self.left = self.left.saturating_sub(cost);
        match received.event {
            None if used == 0 => return None,
            None => {}
            Some(Event::Request {
                stream,
                pseudo,
                storage,
                ends,
            }) => {
                let storage =
                    std::mem::replace(storage, self.base.thread.take_storage().unwrap_or_default());
                let current = self.base.thread.current();
                if self.base.listener_index(&current).is_none() {
                    // Nothing was done: the client may send it again elsewhere.
                    machine.reset(stream, ErrorCode::REFUSED_STREAM);
                    return Some(used);
                }
                let begun = self.base.request_of(pseudo, storage, ends, Version::Http2);
                drop(machine);
                let is_head = match &begun {
                    Ok(request) => request.method_bytes() == b"HEAD",
                    Err((_, is_head)) => *is_head,
                };
                let head = match begun {
                    Ok(request) => Head::Whole(Box::new(request)),
                    Err((reject, _)) => Head::Refused(reject),
                };
                self.begin(stream, head, is_head, ends);
            }
            Some(Event::Refused {
                stream,
                kind,
                is_head,
                ends,
            }) => {
                drop(machine);
                let reject = Reject::new(kind, "more or larger fields than allowed");
                self.begin(stream, Head::Refused(reject), is_head, ends);
            }
            Some(Event::Data { stream, data, ends }) => {
                let count = data.len();
                match shared.put(stream, data, ends, memory) {
                    Put::Done => {}
                    Put::Unwanted => machine.release(stream, count),
                    Put::TooMuch => {
                        machine.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
                        drop(machine);
                        self.log(ErrorKind::MemoryLimitReached, TOO_MUCH);
                        shared.reset(stream, Reset::by_us(ErrorCode::ENHANCE_YOUR_CALM, TOO_MUCH));
                    }
                }
            }
            Some(Event::Trailers { stream, storage }) => {
                let fields = std::mem::take(storage.fields_mut());
                shared.end_with(stream, fields);
            }
            Some(Event::Reset {
                stream,
                code,
                by_peer,
                detail,
            }) => {
                drop(machine);
                if !by_peer {
                    self.log(ErrorKind::HttpRequestError, detail);
                }
                let why = Reset {
                    code,
                    by_peer,
                    detail,
                };
                shared.reset(stream, why);
            }
            Some(Event::GoAway { .. } | Event::Pong | Event::Settings | Event::Response { .. }) => {
            }
        }
        Some(used)
    }

    /// Begins the exchange of a request.
    fn begin(&mut self, stream: u32, head: Head, is_head: bool, ends: bool) {
        let bytes = match &head {
            Head::Whole(request) => request.memory(),
            _ => 0,
        };
        if !self.shared.open(stream, EXCHANGE + bytes, ends) {
            // Nothing was done: the client may send it again.
            self.shared
                .machine()
                .reset(stream, ErrorCode::REFUSED_STREAM);
            return;
        }
        let broken = ErrorCode::INTERNAL_ERROR;
        let handle = Stream::new(Rc::clone(&self.shared), stream, is_head, broken);
        Serving::begin_stream(self.base.of_stream(Part::Http2(handle)), head);
    }
}

impl Driver {
    /// Ends a connection that is not wanted any more: at once when it is idle, else in good order.
    fn end_if_wanted(&mut self) {
        if self.is_failed {
            return;
        }
        let is_idle = self.shared.is_idle();
        let is_draining = self.base.thread.is_draining.get();
        if !is_draining && !self.base.is_unwanted() {
            return;
        }
        match is_idle && self.base.thread.closes_idle.get() {
            true => self.stop(ErrorCode::NO_ERROR),
            false => self.shared.machine().shut_down(),
        }
    }

    /// Takes no new streams, and reads no more.
    fn stop(&mut self, code: ErrorCode) {
        self.shared.machine().goaway(code);
        self.is_failed = true;
    }

    fn say_end(&mut self) {
        self.shared.end();
        self.shared.machine().discard();
        self.base.stop_reading();
        self.base.holding.hold(0);
        self.state = State::Lingering {
            until: self.base.thread.moment().after_millis(LINGER_MS),
            left: LINGER_BYTES,
        };
    }

    /// Holds no more than it must until something comes.
    fn rest(&mut self) {
        if self.base.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.base.buffer);
            self.base.thread.buffers.give(buffer);
        }
        let mut machine = self.shared.machine();
        if !self.shared.is_idle() {
            self.is_idle = false;
            self.base
                .holding
                .hold(machine.memory() + self.shared.content() + self.base.buffer.memory());
        } else if !std::mem::replace(&mut self.is_idle, true) {
            machine.shrink();
            self.base.holding.hold(0);
            let limit = self.base.listener.config.timeouts.idle.0;
            self.idle_until = self.base.thread.moment().after_millis(limit);
        }
    }

    /// Waits until something comes, or the client has taken too long over something.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeouts = &self.base.listener.config.timeouts;
        let is_settled = self.shared.machine().is_settled();
        let settled = (!is_settled).then(|| self.began.after_millis(timeouts.handshake.0));
        let whole = self
            .begun_at
            .map(|begun| begun.after_millis(timeouts.header.0));
        let taken = self
            .stalled_at
            .map(|begun| begun.after_millis(timeouts.send_stall.0));
        let idle = self.is_idle.then_some(self.idle_until);
        let all = [settled, whole, taken, idle];
        let now = self.base.thread.moment();
        let first = all.into_iter().flatten().min();
        self.base
            .timer
            .set(first.unwrap_or_else(|| now.after_millis(LOOK_MS)));
        ready!(self.base.timer.poll_expired(cx));
        let now = self.base.thread.moment();
        let is_late = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if is_late(taken) {
            self.base.cut();
            self.state = State::Over;
        } else if is_late(settled) {
            self.log(ErrorKind::RequestTimeout, "SETTINGS took too long");
            self.stop(ErrorCode::SETTINGS_TIMEOUT);
        } else if is_late(whole) {
            self.log(ErrorKind::RequestTimeout, "a frame or a head took too long");
            self.stop(ErrorCode::ENHANCE_YOUR_CALM);
        } else if is_late(idle) {
            self.stop(ErrorCode::NO_ERROR);
        }
        Poll::Ready(())
    }

    fn linger(&mut self, until: Moment, left: usize, cx: &mut Context<'_>) -> Poll<()> {
        let count = ready!(self.base.poll_unread(until, cx));
        self.state = match left.checked_sub(count) {
            Some(left) if count > 0 => State::Lingering { until, left },
            _ => State::Over,
        };
        Poll::Ready(())
    }

    /// Has the log tell what was wrong with the connection, or with a stream that became no request.
    fn log(&self, kind: ErrorKind, detail: &'static str) {
        self.base.log_broken(Version::Http2, kind, detail);
    }
}
