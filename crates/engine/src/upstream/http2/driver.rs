// SPDX-License-Identifier: Apache-2.0
//! The task of a connection to an endpoint.
use super::link::Link;
use super::links::{Opening, Standing};
use crate::http2::{Arrived, LOOK_MS, Put, READS, ROOM, Reset, Shared};
use crate::snapshot::BackendPlan;
use crate::thread::{Buffer, Connection, Thread, Timer};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tidegate_contract::EndpointState;
use tidegate_core::{ErrorKind, Moment};
use tidegate_http2::{Allowance, ErrorCode, Event, Settings};

/// Requests at a time on one connection, whatever the endpoint allows.
pub(super) const STREAMS: u32 = 100;
/// Content of one stream that may wait for its client, whatever that holds already.
pub(super) const STREAM_WINDOW: u32 = 2 << 10;
/// What it may become, one after the other, where the client takes it and its connection may hold it.
pub(super) const WIDER: [u32; 3] = [WIDE, 64 << 10, WIDEST];
pub(super) const WIDE: u32 = 16 << 10;
const WIDEST: u32 = 128 << 10;
/// Content of all. None waits for another's client: the streams' windows never add up to more.
const CONNECTION_WINDOW: u32 = STREAMS * WIDEST;
/// Memory of what has come and was not taken yet, heads included.
const MOST: usize = CONNECTION_WINDOW as usize + (4 << 20);

const TOO_MUCH: &str = "the responses of the connection hold too much memory";

/// What drives one connection.
struct Driver {
    thread: Rc<Thread>,
    socket: Connection,
    shared: Rc<Shared<Link>>,
    buffer: Buffer,
    timer: Timer,
    /// The protocol was broken, or the end is near: what is there is written, and no more read.
    is_failed: bool,
    began: Moment,
    /// The endpoint took nothing since.
    stalled_at: Option<Moment>,
    /// It has been doubted since.
    doubted_at: Option<Moment>,
    is_unused: bool,
    connect_ms: u64,
    stall_ms: u64,
    idle_ms: u64,
    /// Connections that may be idle.
    idle: usize,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let link = &self.shared.facts;
        if let Some(opening) = link.opening.take() {
            let (kind, detail) = link.end();
            opening.settle(Standing::Failed(kind, detail));
        }
        self.shared.end();
    }
}

/// Begins to speak HTTP/2 on a connection on which nothing was said.
pub(super) fn start(
    thread: &Rc<Thread>,
    socket: Connection,
    state: Arc<EndpointState>,
    plan: &BackendPlan,
    opening: Option<Rc<Opening>>,
) -> Rc<Shared<Link>> {
    let config = &plan.config;
    let limits = &config.limits;
    let machine = tidegate_http2::Connection::client(Settings {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        header_size: u32::try_from(limits.header_size.0).unwrap_or(u32::MAX),
        header_block: limits.header_size.0 as usize,
        header_fields: usize::from(limits.header_fields),
        // What is on its way of responses that clients have given up.
        closed_streams: 1024,
        glitches: Allowance {
            burst: 20_000,
            per_second: 2_000,
        },
        ..Settings::default()
    });
    let now = thread.now();
    let link = Link::new(state, plan, now, opening);
    let shared = Rc::new(Shared::new(machine, MOST, link));
    let driver = Driver {
        thread: Rc::clone(thread),
        socket,
        shared: Rc::clone(&shared),
        buffer: Buffer::default(),
        timer: thread.timers.timer(),
        is_failed: false,
        began: now,
        stalled_at: None,
        doubted_at: None,
        is_unused: false,
        connect_ms: config.timeouts.connect.0,
        stall_ms: config.timeouts.stall.0,
        idle_ms: config.pool.idle_time.0,
        idle: config.pool.idle as usize,
    };
    tokio::task::spawn_local(driver);
    shared
}

impl Future for Driver {
    type Output = ();

    /// Ready at the connection's end. A defect in here ends this connection, counted, and nothing else.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.thread.timers.look();
        catch_unwind(AssertUnwindSafe(|| self.advance(cx))).unwrap_or_else(|_| {
            self.thread.stats.count(|stats| &stats.panics);
            Poll::Ready(())
        })
    }
}

impl Driver {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.serve(cx));
            if self.shared.is_over() {
                return Poll::Ready(());
            }
        }
    }

    /// Does what there is to do; ready when something has changed, or the connection is over.
    fn serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.watch(cx);
        let mut is_quiet = self.is_failed;
        for _ in 0..READS {
            if is_quiet {
                break;
            }
            is_quiet = match self.read(cx) {
                Poll::Ready(true) => self.is_failed,
                Poll::Ready(false) => {
                    self.shared.end();
                    return Poll::Ready(());
                }
                Poll::Pending => true,
            };
        }
        if !is_quiet {
            cx.waker().wake_by_ref();
        }
        self.rest();
        self.shared.grant();
        let (to, now) = (&self.socket.stream, self.thread.moment());
        let written = self.shared.write(to, &mut self.stalled_at, now, cx);
        if written.is_err() {
            self.last_words(cx);
            self.shared.end();
            return Poll::Ready(());
        }
        if self.shared.is_done(self.is_failed) {
            self.socket.stream.shutdown_write();
            self.shared.end();
            return Poll::Ready(());
        }
        self.wait(cx)
    }

    /// Reads once; false at the end.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.buffer.size() == 0 {
            self.buffer = self.thread.buffers.take();
        }
        let outcome = self.socket.stream.poll_read(cx, self.buffer.room(ROOM));
        match outcome {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.buffer.filled(count);
                let link = &self.shared.facts;
                link.received.set(link.received.get() + count as u64);
                link.is_suspect.set(false);
            }
            Poll::Ready(_) => {
                *self.shared.facts.fault.borrow_mut() = self.socket.stream.fault();
                return Poll::Ready(false);
            }
            Poll::Pending => return Poll::Pending,
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(used) = self.event(buffer.data()) {
            buffer.consume(used);
        }
        self.buffer = buffer;
        Poll::Ready(true)
    }

    /// Deals with the next event in `input`; how much of that is done with, `None` when there is none.
    fn event(&mut self, input: &[u8]) -> Option<usize> {
        let shared = Rc::clone(&self.shared);
        let mut machine = shared.machine();
        let memory = machine.memory();
        let received = match machine.receive(self.thread.moment(), input) {
            Ok(received) => received,
            Err(error) => {
                drop(machine);
                self.break_off(input, error.detail);
                return None;
            }
        };
        let used = received.consumed;
        match received.event {
            None if used == 0 => return None,
            None => {}
            Some(Event::Response {
                stream,
                status,
                storage,
                ends,
            }) => {
                let spare = self.thread.take_storage().unwrap_or_default();
                let head = Arrived {
                    status,
                    storage: std::mem::replace(storage, spare),
                    ends,
                };
                drop(machine);
                if !shared.put_head(stream, head) {
                    self.refuse(stream);
                }
            }
            Some(Event::Data { stream, data, ends }) => {
                let count = data.len();
                match shared.put(stream, data, ends, memory) {
                    Put::Done => {}
                    Put::Unwanted => machine.release(stream, count),
                    Put::TooMuch => {
                        drop(machine);
                        self.refuse(stream);
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
                let why = Reset {
                    code,
                    by_peer,
                    detail,
                };
                shared.reset(stream, why);
            }
            Some(Event::Settings) => {
                let link = &shared.facts;
                link.is_greeted.set(true);
                let streams = machine.peer_streams();
                self.thread.links.note_streams(&link.state, streams);
                if let Some(opening) = link.opening.take() {
                    opening.settle(Standing::Over);
                }
            }
            Some(Event::GoAway { .. } | Event::Pong) => {}
            // No client is told of requests.
            Some(Event::Request { .. } | Event::Refused { .. }) => {}
        }
        Some(used)
    }

    /// Gives a stream up whose response would take too much memory.
    fn refuse(&self, stream: u32) {
        let code = ErrorCode::ENHANCE_YOUR_CALM;
        self.shared.machine().reset(stream, code);
        self.shared.reset(stream, Reset::by_us(code, TOO_MUCH));
    }

    /// What the endpoint says is no HTTP/2: its streams are over at once.
    fn break_off(&mut self, input: &[u8], detail: &'static str) {
        let is_old = !self.shared.facts.is_greeted.get() && input.starts_with(b"HTTP/1");
        let detail = match is_old {
            true => "the endpoint answered in HTTP/1.1",
            false => detail,
        };
        self.fail(ErrorKind::HttpProtocolError, detail);
    }

    fn fail(&mut self, kind: ErrorKind, detail: &'static str) {
        self.is_failed = true;
        let link = &self.shared.facts;
        if link.failure.get().is_none() {
            link.failure.set(Some((kind, detail)));
        }
        self.shared.end();
    }
}

impl Driver {
    /// Reads what came before the endpoint closed: responses may be among it.
    fn last_words(&mut self, cx: &mut Context<'_>) {
        while !self.is_failed && matches!(self.read(cx), Poll::Ready(true)) {}
    }

    /// Holds no more than it must until something comes, and ends what nobody wants.
    fn rest(&mut self) {
        if self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            self.thread.buffers.give(buffer);
        }
        let link = &self.shared.facts;
        if !self.shared.is_unused() {
            self.is_unused = false;
            return;
        }
        if !std::mem::replace(&mut self.is_unused, true) {
            self.shared.machine().shrink();
            link.idle_since.set(self.thread.moment());
            let is_kept = self.idle_ms > 0 && self.thread.links.unused(&link.state) <= self.idle;
            if !is_kept {
                link.is_ending.set(true);
            }
        }
        if link.is_ending.get() && !self.is_failed {
            self.stop();
        }
    }

    /// Ends a connection that carries nothing.
    fn stop(&mut self) {
        self.shared.facts.is_ending.set(true);
        self.shared.machine().goaway(ErrorCode::NO_ERROR);
        self.is_failed = true;
    }

    /// Waits until something comes, or the endpoint has taken too long over something.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.shared.facts;
        self.doubted_at = match link.is_suspect.get() {
            true => self.doubted_at.or(Some(self.thread.moment())),
            false => None,
        };
        let is_waited_for = link.is_greeted.get() || self.is_failed;
        let greeted = (!is_waited_for).then(|| self.began.after_millis(self.connect_ms));
        let after = |at: Option<Moment>, millis: u64| at.map(|at| at.after_millis(millis));
        let taken = after(self.stalled_at, self.stall_ms);
        let doubted = after(self.doubted_at, self.connect_ms);
        let idle = (self.is_unused && !self.is_failed)
            .then(|| link.idle_since.get().after_millis(self.idle_ms));
        let now = self.thread.moment();
        let first = [greeted, taken, doubted, idle].into_iter().flatten().min();
        self.timer
            .set(first.unwrap_or_else(|| now.after_millis(LOOK_MS)));
        ready!(self.timer.poll_expired(cx));
        let is_late = |at: Option<Moment>| at.is_some_and(|at| at <= self.thread.moment());
        if is_late(taken) {
            let detail = "the endpoint did not take what was sent in time";
            self.fail(ErrorKind::ConnectionWriteTimeout, detail);
        } else if is_late(greeted) {
            let detail = "the endpoint did not begin to speak HTTP/2 in time";
            self.fail(ErrorKind::ConnectionTimeout, detail);
        } else if is_late(doubted) {
            let detail = "the endpoint's connection is silent";
            self.fail(ErrorKind::ConnectionReadTimeout, detail);
        } else if is_late(idle) {
            self.stop();
        }
        Poll::Ready(())
    }
}
