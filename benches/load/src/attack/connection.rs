// SPDX-License-Identifier: Apache-2.0
//! One connection of an attacker.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, sockopt};

use super::Report;
use super::frames::{Reader, numbers, renumber};
use super::plan::{Leave, Plan};
use crate::pipe::Pipe;
use crate::shuttle::{Moved, Token};

/// Most that is written before others have their turn.
const TURN: usize = 32 * 1024;
/// Bytes that a peer who reads nothing lets come.
const SMALL: usize = 2048;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to write at once.
    More,
    /// The poll tells when.
    Wait,
    /// The next piece is due after `every`.
    Pause,
    /// The proxy ended it.
    Cut,
    /// It is to be left.
    Leave,
}

/// One connection; closed until [`Connection::open`].
#[derive(Default)]
pub struct Connection {
    pipe: Option<Pipe>,
    /// What is being sent, and how much of it was.
    pending: Vec<u8>,
    at: usize,
    /// How far it may be sent now.
    until: usize,
    /// What is sent the next time.
    repeat: Vec<u8>,
    /// Where the streams' numbers are in it.
    places: Vec<usize>,
    /// Repeats sent whole.
    repeats: u64,
    /// The opening was sent whole.
    is_opened: bool,
    /// What is being sent is a repeat.
    repeats_now: bool,
    is_paused: bool,
    has_answer: bool,
    reader: Reader,
}

impl Connection {
    /// Begins a connection that comes from `number`'s address.
    ///
    /// # Errors
    /// No socket or no port is left.
    pub fn open(
        &mut self,
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        number: u64,
    ) -> std::io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        // No port is kept waiting after its connection.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        if !plan.reads {
            sockopt::set_socket_recv_buffer_size(&socket, SMALL)?;
        }
        rustix::net::bind(&socket, &SocketAddrV4::new(plan.source(number), 0))?;
        match rustix::net::connect(&socket, &plan.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, socket.as_fd(), Token::Asked(index).data(), wanted)?;
        let turn = usize::try_from(number).unwrap_or(0) % plan.repeats.len().max(1);
        let repeat = plan.repeats.get(turn).cloned().unwrap_or_default();
        let places = match plan.step {
            0 => Vec::new(),
            _ => numbers(&repeat),
        };
        *self = Self {
            pipe: Some(Pipe::around(socket, plan.security.as_ref())?),
            pending: plan.opening.clone(),
            until: if plan.drip == 0 {
                plan.opening.len()
            } else {
                0
            },
            repeat,
            places,
            ..Self::default()
        };
        Ok(())
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Closes it and counts how it ended.
    pub fn close(&mut self, next: Next, report: &mut Report) {
        let was_let_in = self.at > 0 || self.repeats > 0 || self.has_answer;
        match next {
            Next::Leave => report.left += 1,
            _ if was_let_in => {
                report.cut += 1;
                report.repeats_cut += self.repeats;
            }
            _ => report.kept_out += 1,
        }
        self.pipe = None;
    }

    /// Reads what came, and writes what may be written.
    pub fn advance(&mut self, plan: &Plan, buffer: &mut [u8], report: &mut Report) -> Next {
        if plan.reads || plan.security.is_some() && !self.is_opened {
            match self.read(plan, buffer, report) {
                Next::Wait => {}
                ended => return ended,
            }
        }
        self.write(plan, report)
    }

    /// Whether its pause begins now.
    pub fn pauses(&mut self) -> bool {
        !std::mem::replace(&mut self.is_paused, true)
    }

    /// The time for the next piece has come.
    pub fn resume(&mut self, plan: &Plan) {
        self.is_paused = false;
        let piece = match plan.drip {
            0 => self.pending.len(),
            bytes => bytes,
        };
        self.until = self.pending.len().min(self.until + piece);
    }

    fn read(&mut self, plan: &Plan, buffer: &mut [u8], report: &mut Report) -> Next {
        loop {
            let Some(pipe) = self.pipe.as_mut() else {
                return Next::Wait;
            };
            match pipe.receive(buffer) {
                Moved::Bytes(count) => {
                    report.received += count as u64;
                    let came = buffer.get(..count).unwrap_or_default();
                    self.reader.take(came, plan.is_http2, &mut report.counts);
                    self.has_answer = true;
                    if plan.leave == Leave::Answered {
                        return Next::Leave;
                    }
                }
                Moved::Later => return Next::Wait,
                Moved::End | Moved::Broken => return Next::Cut,
            }
        }
    }

    fn write(&mut self, plan: &Plan, report: &mut Report) -> Next {
        let mut room = TURN;
        loop {
            let Some(pipe) = self.pipe.as_mut() else {
                return Next::Wait;
            };
            if matches!(pipe.flush(), Moved::Broken) {
                return Next::Cut;
            }
            if !pipe.is_ready() {
                return Next::Wait;
            }
            if self.at < self.pending.len() {
                if self.at >= self.until {
                    return Next::Pause;
                }
                let end = self.until.min(self.at + room);
                match pipe.transmit(self.pending.get(self.at..end).unwrap_or_default()) {
                    Moved::Bytes(count) => {
                        self.at += count;
                        report.sent += count as u64;
                        room -= count.min(room);
                    }
                    Moved::Later => return Next::Wait,
                    Moved::End | Moved::Broken => return Next::Cut,
                }
                if room == 0 {
                    return Next::More;
                }
                continue;
            }
            match self.next_piece(plan, report) {
                Next::More => {}
                other => return other,
            }
        }
    }

    /// What was to be sent is sent: what comes after it.
    fn next_piece(&mut self, plan: &Plan, report: &mut Report) -> Next {
        if self.repeats_now {
            self.repeats += 1;
            report.repeats += 1;
        } else if plan.leave == Leave::Sent {
            return Next::Leave;
        }
        self.is_opened = true;
        if self.repeat.is_empty() {
            return Next::Wait;
        }
        if plan.rounds > 0 && self.repeats >= plan.rounds {
            return Next::Leave;
        }
        let is_first = !std::mem::replace(&mut self.repeats_now, true);
        if !is_first && plan.step > 0 && !renumber(&mut self.repeat, &self.places, plan.step) {
            return Next::Leave;
        }
        self.pending.clone_from(&self.repeat);
        self.at = 0;
        self.until = if plan.every == 0 || is_first {
            self.pending.len()
        } else {
            0
        };
        Next::More
    }
}
