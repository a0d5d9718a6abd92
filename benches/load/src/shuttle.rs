// SPDX-License-Identifier: Apache-2.0
//! What both ends share: tokens of the poll, the clock, and reading and writing without blocking.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Who an event is for; travels in epoll's 64 bits as kind (upper 32) and index (lower 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A command on standard input.
    Input,
    /// A listening address of the origin server.
    Listener(usize),
    /// Where the origin server takes datagrams.
    Datagram(usize),
    /// A connection that the origin server answers.
    Served(usize),
    /// A connection that the client asks on.
    Asked(usize),
    /// A connection that the client asks on, several requests at a time.
    Shared(usize),
    /// A connection that is kept open beside a run.
    Held(usize),
    /// The log receiver's listening address.
    SinkListener,
    /// A connection that logs arrive on.
    Sink(usize),
}

impl Token {
    /// The token in epoll's form.
    #[must_use]
    pub fn data(self) -> rustix::event::epoll::EventData {
        let (kind, index) = match self {
            Self::Input => (0_u64, 0),
            Self::Listener(index) => (1, index),
            Self::Served(index) => (2, index),
            Self::Asked(index) => (3, index),
            Self::SinkListener => (4, 0),
            Self::Sink(index) => (5, index),
            Self::Held(index) => (6, index),
            Self::Shared(index) => (7, index),
            Self::Datagram(index) => (8, index),
        };
        rustix::event::epoll::EventData::new_u64((kind << 32) | index as u64)
    }

    /// The token that `data` was made from.
    #[must_use]
    pub fn of(data: u64) -> Self {
        let index = usize::try_from(data & 0xffff_ffff).unwrap_or(0);
        match data >> 32 {
            1 => Self::Listener(index),
            2 => Self::Served(index),
            3 => Self::Asked(index),
            4 => Self::SinkListener,
            5 => Self::Sink(index),
            6 => Self::Held(index),
            7 => Self::Shared(index),
            8 => Self::Datagram(index),
            _ => Self::Input,
        }
    }
}

/// Nanoseconds on the monotonic clock since the first call.
#[must_use]
pub fn nanoseconds() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    // The product's clock can be driven by tests; this tool exists to measure the real one.
    #[allow(clippy::disallowed_methods)]
    let (start, now) = (*START.get_or_init(Instant::now), Instant::now());
    u64::try_from(now.duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

/// What one attempt to move bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now; the poll tells when.
    Later,
    /// The peer closed in order.
    End,
    /// The connection is broken.
    Broken,
}

/// Reads once into `buffer`.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Moved {
    match rustix::net::recv(socket.as_fd(), buffer, RecvFlags::empty()) {
        Ok((0, _)) => Moved::End,
        Ok((count, _)) => Moved::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Moved::Later,
        Err(_) => Moved::Broken,
    }
}

/// Writes once from `bytes`.
pub fn transmit(socket: &OwnedFd, bytes: &[u8]) -> Moved {
    match rustix::net::send(socket.as_fd(), bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Moved::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Moved::Later,
        Err(_) => Moved::Broken,
    }
}
