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
use crate::quic::Quic;
use crate::report::Report;
use crate::run::{Connections, Phase, Run};
use crate::session::{Session, Shared};
use crate::wire;

/// Nanoseconds that answers still owed at the end of a run may take.
const LAST_WAIT: u64 = 10_000_000_000;

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
            let each = || -> Box<dyn Shared> {
                if plan.http3 {
                    Box::new(Quic::new(plan.streams))
                } else {
                    Box::new(Session::new(plan.streams, plan.grpc))
                }
            };
            self.open.sessions.resize_with(plan.connections, each);
        } else {
            self.open.asked.resize_with(plan.connections, Asked::new);
        }
        let mut run = Run {
            security: Security::of(&plan)?,
            requests,
            paths,
            expected: if plan.grpc {
                wire::unary(plan.size)
            } else {
                wire::body(plan.size)
            },
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
    pub fn until_due(&mut self, now: u64) -> Option<u64> {
        let run = self.run.as_ref()?;
        let mut next = run.until;
        for session in &mut self.open.sessions {
            if let Some(wait) = session.until_due() {
                next = next.min(now.saturating_add(wait));
            }
        }
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
        run.count(session.moved());
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
        for index in 0..self.open.sessions.len() {
            let session = self.open.sessions.get_mut(index);
            if session.and_then(|session| session.until_due()) == Some(0) {
                self.advance_shared(poll, index);
            }
        }
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

/// Nanoseconds in `value` seconds; commands bound it to ten minutes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(value: f64) -> u64 {
    (value * 1e9) as u64
}
