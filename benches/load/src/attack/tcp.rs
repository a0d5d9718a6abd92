// SPDX-License-Identifier: Apache-2.0
//! An attack by TCP: keeps a number of connections at it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};

use super::connection::{Connection, Next};
use super::plan::Plan;
use super::{Report, told};
use crate::shuttle::{Token, nanoseconds};

/// Most connections opened before others have their turn.
const OPENED: usize = 16;
/// Nanoseconds until opening is tried again where no socket or port was left, and between looks at the rate.
const PAUSE: u64 = 1_000_000;

/// All connections, and which have something to do.
struct Attack<'a> {
    plan: &'a Plan,
    poll: OwnedFd,
    connections: Vec<Connection>,
    /// Those that are closed.
    closed: VecDeque<usize>,
    /// Those that write at once.
    busy: VecDeque<usize>,
    /// Those that write later, by when, with the number they had.
    paused: VecDeque<(u64, usize, u64)>,
    /// The number of each connection's latest opening.
    numbers: Vec<u64>,
    begun: u64,
    /// No connection is opened before.
    opens_at: u64,
    buffer: Vec<u8>,
    report: Report,
}

/// Attacks until standard input ends.
///
/// # Errors
/// There is no poll.
pub fn run(plan: &Plan) -> std::io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, std::io::stdin(), Token::Input.data(), EventFlags::IN)?;
    let mut connections = Vec::new();
    connections.resize_with(plan.connections, Connection::default);
    let mut attack = Attack {
        closed: (0..plan.connections).collect(),
        numbers: vec![0; plan.connections],
        plan,
        poll,
        connections,
        busy: VecDeque::new(),
        paused: VecDeque::new(),
        begun: nanoseconds(),
        opens_at: 0,
        buffer: vec![0; 64 * 1024],
        report: Report::default(),
    };
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    loop {
        let wait = attack.until_due();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(wait).unwrap_or(PAUSE as i64),
        };
        events.clear();
        match epoll::wait(
            &attack.poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match Token::of(event.data.u64()) {
                Token::Input if told(&attack.report)? => {}
                Token::Asked(index) => attack.advance(index),
                _ => return Ok(()),
            }
        }
        for _ in 0..attack.busy.len().min(64) {
            if let Some(index) = attack.busy.pop_front() {
                attack.advance(index);
            }
        }
        attack.resume();
        attack.open();
    }
}

impl Attack<'_> {
    /// Nanoseconds, at most a tenth of a second, until there is something to do without an event.
    fn until_due(&self) -> u64 {
        if !self.busy.is_empty() {
            return 0;
        }
        let now = nanoseconds();
        let mut next = now + 100 * PAUSE;
        if let Some((due, _, _)) = self.paused.front() {
            next = next.min(*due);
        }
        if !self.closed.is_empty() {
            next = next.min(self.opens_at);
        }
        next.saturating_sub(now)
    }

    fn advance(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        if !connection.is_open() {
            return;
        }
        let next = connection.advance(self.plan, &mut self.buffer, &mut self.report);
        match next {
            Next::More => self.busy.push_back(index),
            Next::Wait => {}
            Next::Pause => {
                let number = self.numbers.get(index).copied().unwrap_or(0);
                // Events may bring it here again before its time.
                if connection.pauses() {
                    let due = nanoseconds() + self.plan.every;
                    self.paused.push_back((due, index, number));
                }
            }
            Next::Cut | Next::Leave => {
                connection.close(next, &mut self.report);
                self.report.open -= 1;
                self.closed.push_back(index);
            }
        }
    }

    /// Gives those their turn whose time has come.
    fn resume(&mut self) {
        let now = nanoseconds();
        while let Some((due, index, number)) = self.paused.front().copied()
            && due <= now
        {
            self.paused.pop_front();
            if self.numbers.get(index) == Some(&number)
                && let Some(connection) = self.connections.get_mut(index)
            {
                connection.resume(self.plan);
                self.advance(index);
            }
        }
    }

    /// Opens what is closed, as the rate allows.
    fn open(&mut self) {
        let now = nanoseconds();
        if now < self.opens_at {
            return;
        }
        let mut most = OPENED;
        if self.plan.rate > 0 {
            let passed = u128::from(now - self.begun) * u128::from(self.plan.rate) / 1_000_000_000;
            let allowed = u64::try_from(passed).unwrap_or(u64::MAX);
            let missing = allowed.saturating_sub(self.report.opened);
            most = most.min(usize::try_from(missing).unwrap_or(OPENED));
            if most == 0 {
                self.opens_at = now + PAUSE;
            }
        }
        for _ in 0..most {
            let Some(index) = self.closed.pop_front() else {
                return;
            };
            let number = self.report.opened + 1;
            let Some(connection) = self.connections.get_mut(index) else {
                continue;
            };
            if connection
                .open(&self.poll, index, self.plan, number)
                .is_err()
            {
                self.closed.push_back(index);
                self.opens_at = now + PAUSE;
                return;
            }
            if let Some(slot) = self.numbers.get_mut(index) {
                *slot = number;
            }
            self.report.opened = number;
            self.report.open += 1;
        }
    }
}
