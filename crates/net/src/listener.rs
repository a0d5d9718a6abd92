// SPDX-License-Identifier: Apache-2.0
use crate::Stream;
use crate::watch::watch;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IP address and port; IPv4-mapped IPv6 addresses are turned into IPv4.
    Ip(SocketAddr),
    /// A process on this machine, by a Unix socket.
    Unix,
}

impl Peer {
    /// The address, with Unix peers as 127.0.0.1: they are on this machine.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Ip(address) => address.ip(),
            Self::Unix => IpAddr::from([127, 0, 0, 1]),
        }
    }

    /// The port; 0 for Unix peers.
    pub fn port(self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix => 0,
        }
    }
}

/// What became of one accept.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(Stream, Peer),
    /// The connection was gone before it was accepted: accept again.
    Gone,
    /// Out of descriptors or memory: accept again later.
    Exhausted(io::Error),
}

/// A listening TCP or Unix socket that somebody else bound.
#[derive(Debug)]
pub struct Listener {
    fd: AsyncFd<OwnedFd>,
    /// Whether a connection was accepted since the runtime said that some wait.
    is_begun: Cell<bool>,
}

impl Listener {
    /// Takes a listening socket. TCP connections inherit its `TCP_NODELAY`, set here once instead
    /// of for each of them.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking or watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let _ = rustix::net::sockopt::set_tcp_nodelay(&fd, true); // not a TCP socket: nothing to do
        Ok(Self {
            fd: watch(fd, Interest::READABLE)?,
            is_begun: Cell::new(false),
        })
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.get_ref().as_fd().try_clone_to_owned()
    }

    /// Whether so few descriptors are left that what goes on already should have them: an eighth of
    /// those the process may have, at most 1,024.
    ///
    /// The kernel gives out the lowest number that is free, so one number tells.
    pub fn is_short_of_descriptors(&self) -> bool {
        match self.duplicate() {
            Ok(fd) => is_high(&fd, descriptor_limit()),
            Err(_) => true,
        }
    }

    /// Accepts the next connection.
    ///
    /// The runtime says once that some wait, and one is there then. Whether there is another is asked
    /// before it is accepted: `accept` makes a socket and a file before it looks, so one in vain costs
    /// 3 µs, as much as a tenth of a request; the question costs 0.2.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted> {
        loop {
            let mut guard = match ready!(self.fd.poll_read_ready(cx)) {
                Ok(guard) => guard,
                Err(error) => return Poll::Ready(Accepted::Exhausted(error)),
            };
            if (!self.is_begun.replace(true) || self.has_waiting())
                && let Some(accepted) = self.accept_now()
            {
                return Poll::Ready(accepted);
            }
            self.is_begun.set(false);
            guard.clear_ready();
        }
    }

    /// Whether a connection waits to be accepted.
    fn has_waiting(&self) -> bool {
        let mut asked = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // What cannot be asked is tried.
        !matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(0))
    }

    /// Accepts a connection that waits already; `None` when none does.
    pub fn accept_now(&self) -> Option<Accepted> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match rustix::net::acceptfrom_with(self.fd.get_ref(), flags) {
                Ok((fd, address)) => return Some(accepted(fd, address)),
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    return Some(Accepted::Exhausted(error.into()));
                }
                // accept(2): errors of the connection itself are reported here, not of the socket.
                Err(_) => return Some(Accepted::Gone),
            }
        }
    }
}

/// Descriptors this process may have. It can be changed from outside (prlimit(2)): ask again.
pub fn descriptor_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

/// Whether the number of a descriptor lies in what is kept in reserve of `limit`.
pub(crate) fn is_high(fd: &impl AsRawFd, limit: u64) -> bool {
    let reserve = (limit / 8).min(1024);
    fd.as_raw_fd().unsigned_abs() as u64 >= limit.saturating_sub(reserve)
}

fn accepted(fd: OwnedFd, address: Option<SocketAddrAny>) -> Accepted {
    let peer = match address.and_then(|address| SocketAddr::try_from(address).ok()) {
        Some(address) => Peer::Ip(SocketAddr::new(address.ip().to_canonical(), address.port())),
        None => Peer::Unix,
    };
    Accepted::Connection(Stream::new(fd), peer)
}
