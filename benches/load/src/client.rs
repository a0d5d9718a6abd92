// SPDX-License-Identifier: Apache-2.0
//! The client: keeps a number of connections busy, or sends at a fixed rate, and judges every answer.
//!
//! At a fixed rate request k is due at start + k / rate, whatever happened to those before it, and its latency counts
//! from then: a proxy that stalls pays for every request that would have come meanwhile (no coordinated omission).

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use crate::asked::{Asked, Progress};
use crate::command::Plan;
use crate::pipe::Security;
use crate::report::Report;
use crate::session::Session;
use crate::wire;

/// Nanoseconds that answers still owed at the end of a run may take.
const LAST_WAIT: u64 = 10_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Warm,
    Window,
    Drain,
}

/// One run in progress.
struct Run {
    plan: Plan,
    security: Option<Security>,
    requests: Vec<Vec<u8>>,
    /// The paths of the requests.
    paths: Vec<String>,
    expected: Vec<u8>,
    phase: Phase,
    /// When the current phase ends, on the clock of [`crate::shuttle::nanoseconds`].
    until: u64,
    window: (u64, u64),
    /// When request number `sent` is due, at a fixed rate.
    start: u64,
    sent: u64,
    /// Connections without a request, ready to take one.
    free: Vec<usize>,
    waiting: usize,
    report: Report,
}

/// Connections that take requests.
#[derive(Default)]
struct Connections {
    /// Those with one at a time.
    asked: Vec<Asked>,
    /// Those that several share.
    sessions: Vec<Session>,
    /// Of these, which have something to write.
    dirty: Vec<usize>,
}

/// All connections to the proxy under test.
pub struct Client {
    run: Option<Run>,
    open: Connections,
    idle: Vec<Asked>,
    buffer: Vec<u8>,
    /// What the requests of a connection came to; kept for its room.
    told: Vec<(usize, Progress)>,
}

impl Client {
    /// A client without work.
    #[must_use]
    pub fn new() -> Self {
        Self {
            run: None,
            open: Connections::default(),
            idle: Vec::new(),
            buffer: vec![0; 256 * 1024],
            told: Vec::new(),
        }
    }

    /// Begins a run; one that is under way is given up, and idle connections are closed.
    ///
    /// # Errors
    /// What TLS begins with cannot be read. What fails to connect is counted in the report.
    pub fn start(&mut self, poll: &OwnedFd, plan: Plan) -> std::io::Result<()> {
        let now = crate::shuttle::nanoseconds();
        let paths: Vec<String> = (0..plan.paths)
            .map(|number| plan.path.replace("{}", &number.to_string()))
            .collect();
        let request = |path: &String| {
            let whole = wire::request(&plan.host, path, plan.close, plan.sent);
            if plan.websocket {
                wire::message(&whole, true)
            } else {
                whole
            }
        };
        let requests = paths.iter().map(request).collect();
        let slots = plan.connections * plan.streams.max(1);
        if !plan.beside {
            self.idle.clear();
        }
        self.open = Connections::default();
        if plan.streams > 0 {
            let each = || Session::new(plan.streams);
            self.open.sessions.resize_with(plan.connections, each);
        } else {
            self.open.asked.resize_with(plan.connections, Asked::new);
        }
        let mut run = Run {
            security: Security::of(&plan)?,
            requests,
            paths,
            expected: wire::body(plan.size),
            phase: Phase::Warm,
            until: now + seconds(plan.warm),
            window: (0, 0),
            start: now,
            sent: 0,
            free: (0..slots).rev().collect(),
            waiting: 0,
            report: Report::default(),
            plan,
        };
        if run.plan.idle {
            // All at once would overflow a listen queue; `advance` opens the rest, one per answer.
            run.until = now + seconds(600.0);
        }
        let first = if run.plan.idle {
            run.free.len().min(64)
        } else {
            run.free.len()
        };
        if run.plan.rate == 0.0 {
            for _ in 0..first {
                run.send_next(poll, &mut self.open, now);
            }
            run.flush(&mut self.open);
        }
        self.run = Some(run);
        Ok(())
    }

    /// Closes the connections that `idle` opened; returns how many were still open.
    pub fn drop_idle(&mut self) -> usize {
        let open = self.idle.iter().filter(|asked| asked.is_open()).count();
        self.idle.clear();
        open
    }

    /// Nanoseconds until there is something to do without an event; `None` without a run.
    #[must_use]
    pub fn until_due(&self, now: u64) -> Option<u64> {
        let run = self.run.as_ref()?;
        let mut next = run.until;
        if run.plan.rate > 0.0 && run.phase != Phase::Drain && !run.free.is_empty() {
            next = next.min(run.due(run.sent));
        }
        Some(next.saturating_sub(now))
    }

    /// Handles one event of a connection that is only kept: the proxy closed it.
    pub fn held(&mut self, index: usize) {
        if let Some(asked) = self.idle.get_mut(index)
            && asked.has_ended(&mut self.buffer)
        {
            asked.shut();
        }
    }

    /// Handles one event of one connection.
    pub fn advance(&mut self, poll: &OwnedFd, index: usize, flags: EventFlags) {
        let Some(asked) = self.open.asked.get_mut(index) else {
            return;
        };
        let Some(run) = self.run.as_mut() else {
            return;
        };
        if asked.is_closing() {
            if asked.has_ended(&mut self.buffer) {
                asked.shut();
                run.freed(poll, &mut self.open, index);
            }
            return;
        }
        let request = run
            .requests
            .get(asked.request)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let progress = asked.advance(flags, request, &run.expected, &mut self.buffer);
        run.count(&mut asked.moved);
        match progress {
            Progress::More => {}
            Progress::Answered { status, right } => {
                run.judge(asked.since, status, right);
                let is_counted = run.phase == Phase::Window && run.plan.close;
                run.report.resumed += u64::from(is_counted && asked.is_resumed());
                if asked.is_closing() {
                    if !asked.has_ended(&mut self.buffer) {
                        return;
                    }
                    asked.shut();
                }
                run.freed(poll, &mut self.open, index);
            }
            Progress::Over => asked.shut(),
            Progress::Closed if run.plan.retry && run.send_again(poll, asked, index) => {}
            Progress::Closed | Progress::Broken => {
                asked.shut();
                run.waiting = run.waiting.saturating_sub(1);
                run.report.broken += 1;
                run.freed(poll, &mut self.open, index);
            }
        }
    }

    /// Handles one event of a connection that requests share.
    pub fn advance_shared(&mut self, poll: &OwnedFd, index: usize) {
        let Some(session) = self.open.sessions.get_mut(index) else {
            return;
        };
        let Some(run) = self.run.as_mut() else {
            return;
        };
        let mut told = std::mem::take(&mut self.told);
        session.advance(&run.expected, &mut self.buffer, &mut told);
        run.count(&mut session.moved);
        for (slot, progress) in told.drain(..) {
            let since = self.open.since(index, slot);
            match progress {
                Progress::Answered { status, right } => run.judge(since, status, right),
                _ => {
                    run.waiting = run.waiting.saturating_sub(1);
                    run.report.broken += 1;
                }
            }
            run.freed(poll, &mut self.open, index * run.plan.streams + slot);
        }
        self.told = told;
        run.flush(&mut self.open);
    }

    /// Sends what is due and ends phases; returns the lines to print.
    ///
    /// `origins` are the answers that each address of the origin server wrote so far.
    pub fn tick(&mut self, poll: &OwnedFd, now: u64, origins: &[u64]) -> Vec<String> {
        let Some(run) = self.run.as_mut() else {
            return Vec::new();
        };
        if run.plan.rate > 0.0 && run.phase != Phase::Drain {
            run.send_due(poll, &mut self.open, now);
            run.flush(&mut self.open);
        }
        if run.plan.idle {
            if run.waiting > 0 && now < run.until {
                return Vec::new();
            }
            let line = format!(
                "{{\"idle\":{},\"errors\":{}}}",
                run.report.answered,
                run.report.errors()
            );
            self.idle = std::mem::take(&mut self.open.asked);
            for (index, asked) in self.idle.iter().enumerate() {
                if let Err(error) = asked.hold(poll, index) {
                    return vec![format!("{{\"error\":\"{error}\"}}")];
                }
            }
            self.run = None;
            return vec![line];
        }
        if now < run.until && !(run.phase == Phase::Drain && run.waiting == 0) {
            return Vec::new();
        }
        match run.phase {
            Phase::Warm => {
                run.phase = Phase::Window;
                run.until = now + seconds(run.plan.seconds);
                run.window = (now, now);
                // What went wrong while warming up went wrong all the same.
                run.report.opened = 0;
                run.report.moved = 0;
                run.report.origins = origins.to_vec();
                run.report.most_waiting = 0;
                vec!["{\"phase\":\"begin\"}".to_owned()]
            }
            Phase::Window => {
                run.phase = Phase::Drain;
                run.until = now + LAST_WAIT;
                run.window.1 = now;
                for (before, after) in run.report.origins.iter_mut().zip(origins) {
                    *before = after.saturating_sub(*before);
                }
                vec!["{\"phase\":\"end\"}".to_owned()]
            }
            Phase::Drain => {
                run.report.broken += run.waiting as u64;
                let length = run.window.1.saturating_sub(run.window.0);
                #[allow(clippy::cast_precision_loss)]
                let line = run.report.json(length as f64 / 1e9);
                self.open = Connections::default();
                self.run = None;
                vec![line]
            }
        }
    }
}

impl Connections {
    /// When the request in a slot of a shared connection was due or sent.
    fn since(&self, index: usize, slot: usize) -> u64 {
        let session = self.sessions.get(index);
        session
            .and_then(|session| session.slots.get(slot))
            .map_or(0, |slot| slot.since)
    }
}

impl Run {
    /// When request number `number` is due.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * 1e9 / self.plan.rate) as u64
    }

    /// Sends the next request on a free connection, its latency counted from `since`.
    fn send_next(&mut self, poll: &OwnedFd, open: &mut Connections, since: u64) {
        let Some(index) = self.free.pop() else { return };
        let number = usize::try_from(self.sent).unwrap_or(0) % self.requests.len().max(1);
        self.sent += 1;
        self.waiting += 1;
        let is_out = if self.plan.streams > 0 {
            self.send_shared(poll, open, index, number, since)
        } else {
            self.send_alone(poll, open, index, number, since)
        };
        if !is_out {
            self.waiting -= 1;
            self.report.broken += 1;
            self.free.insert(0, index);
        }
    }

    /// Sends request `number` on a connection of its own; false when that fails.
    fn send_alone(
        &mut self,
        poll: &OwnedFd,
        open: &mut Connections,
        index: usize,
        number: usize,
        since: u64,
    ) -> bool {
        let (Some(connection), Some(request)) =
            (open.asked.get_mut(index), self.requests.get(number))
        else {
            return false;
        };
        connection.since = since;
        connection.request = number;
        let security = self.security.as_ref();
        match connection.ask(poll, index, &self.plan, security, request) {
            Ok(opened) => self.report.opened += u64::from(opened),
            Err(_) => {
                let is_closed = self.plan.retry && connection.is_unanswered();
                if !(is_closed && self.send_again(poll, connection, index)) {
                    connection.shut();
                    return false;
                }
            }
        }
        true
    }

    /// Puts request `number` on a connection that others share; false when that fails.
    fn send_shared(
        &mut self,
        poll: &OwnedFd,
        open: &mut Connections,
        index: usize,
        number: usize,
        since: u64,
    ) -> bool {
        let (index, slot) = (index / self.plan.streams, index % self.plan.streams);
        let (Some(session), Some(path)) = (open.sessions.get_mut(index), self.paths.get(number))
        else {
            return false;
        };
        if let Some(slot) = session.slots.get_mut(slot) {
            slot.since = since;
        }
        let security = self.security.as_ref();
        let Ok(opened) = session.ask(poll, index, &self.plan, security, slot, path) else {
            return false;
        };
        self.report.opened += u64::from(opened);
        if open.dirty.last() != Some(&index) {
            open.dirty.push(index);
        }
        true
    }

    /// Writes what was put on shared connections; a break shows when they are read.
    fn flush(&mut self, open: &mut Connections) {
        for index in open.dirty.drain(..) {
            if let Some(session) = open.sessions.get_mut(index) {
                session.flush();
            }
        }
    }

    /// Sends the request of a connection that was closed under it on a new one; false when that fails, too.
    fn send_again(&mut self, poll: &OwnedFd, connection: &mut Asked, index: usize) -> bool {
        let Some(request) = self.requests.get(connection.request) else {
            return false;
        };
        connection.shut();
        if !connection.try_again() {
            return false;
        }
        self.report.again += 1;
        self.report.opened += 1;
        connection
            .ask(poll, index, &self.plan, self.security.as_ref(), request)
            .is_ok()
    }

    /// Counts the bytes that a connection has moved.
    fn count(&mut self, moved: &mut u64) {
        let moved = std::mem::take(moved);
        if self.phase == Phase::Window {
            self.report.moved += moved;
        }
    }

    /// At a fixed rate: sends everything that is due and finds a free connection.
    fn send_due(&mut self, poll: &OwnedFd, open: &mut Connections, now: u64) {
        while !self.free.is_empty() {
            let due = self.due(self.sent);
            if due > now {
                return;
            }
            self.send_next(poll, open, due);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let due_by_now = (now.saturating_sub(self.start) as f64 * self.plan.rate / 1e9) as u64;
        self.report.most_waiting = self
            .report
            .most_waiting
            .max(due_by_now.saturating_sub(self.sent));
    }

    /// A connection has no request any more: gives it the next one, in a closed loop.
    fn freed(&mut self, poll: &OwnedFd, open: &mut Connections, index: usize) {
        if self.plan.idle {
            // This connection has done its part; the next one opens.
            let now = crate::shuttle::nanoseconds();
            self.send_next(poll, open, now);
            return;
        }
        self.free.push(index);
        if self.phase != Phase::Drain && self.plan.rate == 0.0 {
            let now = crate::shuttle::nanoseconds();
            self.send_next(poll, open, now);
        }
    }

    /// Counts one whole answer.
    fn judge(&mut self, since: u64, status: u16, right: bool) {
        self.waiting = self.waiting.saturating_sub(1);
        if status != 200 {
            self.report.wrong_status += 1;
        } else if !right {
            self.report.wrong_body += 1;
        } else if self.phase == Phase::Window || self.plan.idle {
            self.report.answered += 1;
            let latency = crate::shuttle::nanoseconds().saturating_sub(since);
            self.report
                .latencies
                .push(u32::try_from(latency).unwrap_or(u32::MAX));
        }
    }
}

/// Nanoseconds in `value` seconds; commands bound it to ten minutes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(value: f64) -> u64 {
    (value * 1e9) as u64
}
