// SPDX-License-Identifier: Apache-2.0
//! One run: which request goes out next, on which connection, and what came of it.

use std::os::fd::OwnedFd;

use crate::asked::Asked;
use crate::command::Plan;
use crate::pipe::Security;
use crate::report::Report;
use crate::session::Shared;

/// Which part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the window.
    Warm,
    /// What counts.
    Window,
    /// Answers that are still owed.
    Drain,
}

/// One run in progress.
pub struct Run {
    pub plan: Plan,
    pub security: Option<Security>,
    pub requests: Vec<Vec<u8>>,
    /// The paths of the requests.
    pub paths: Vec<String>,
    pub expected: Vec<u8>,
    pub phase: Phase,
    /// When the current phase ends, on the clock of [`crate::shuttle::nanoseconds`].
    pub until: u64,
    pub window: (u64, u64),
    /// When request number `sent` is due, at a fixed rate.
    pub start: u64,
    pub sent: u64,
    /// Connections without a request, ready to take one.
    pub free: Vec<usize>,
    pub waiting: usize,
    pub report: Report,
}

/// Connections that take requests.
#[derive(Default)]
pub struct Connections {
    /// Those with one at a time.
    pub asked: Vec<Asked>,
    /// Those that several share.
    pub sessions: Vec<Box<dyn Shared>>,
    /// Of these, which have something to write.
    pub dirty: Vec<usize>,
}

impl Connections {
    /// When the request in a slot of a shared connection was due or sent.
    pub fn since(&mut self, index: usize, slot: usize) -> u64 {
        let session = self.sessions.get_mut(index);
        session
            .and_then(|session| session.slots().get(slot))
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
    pub fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * 1e9 / self.plan.rate) as u64
    }

    /// Sends the next request on a free connection, its latency counted from `since`.
    pub fn send_next(&mut self, poll: &OwnedFd, open: &mut Connections, since: u64) {
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
        if let Some(slot) = session.slots().get_mut(slot) {
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
    pub fn flush(&mut self, open: &mut Connections) {
        for index in open.dirty.drain(..) {
            if let Some(session) = open.sessions.get_mut(index) {
                session.flush();
            }
        }
    }

    /// Sends the request of a connection that was closed under it on a new one; false when that fails, too.
    pub fn send_again(&mut self, poll: &OwnedFd, connection: &mut Asked, index: usize) -> bool {
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
    pub fn count(&mut self, moved: &mut u64) {
        let moved = std::mem::take(moved);
        if self.phase == Phase::Window {
            self.report.moved += moved;
        }
    }

    /// At a fixed rate: sends everything that is due and finds a free connection.
    pub fn send_due(&mut self, poll: &OwnedFd, open: &mut Connections, now: u64) {
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
    pub fn freed(&mut self, poll: &OwnedFd, open: &mut Connections, index: usize) {
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
    pub fn judge(&mut self, since: u64, status: u16, right: bool) {
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
