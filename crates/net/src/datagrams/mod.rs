// SPDX-License-Identifier: Apache-2.0
//! Sockets of UDP: trains of datagrams with their marks of ECN, and the address that they were sent to.

mod calls;
mod control;
mod options;
mod reception;
#[cfg(test)]
mod tests;

use crate::listener::{descriptor_limit, is_high};
use crate::watch::watch;
use control::Control;
use reception::Ends;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

pub use reception::Reception;

/// What a socket should be able to hold of packets that nobody has taken yet: a node's thread may be busy
/// for some milliseconds. The kernel gives as much of it as it may (net.core.rmem_max).
const WAITING: usize = 2 << 20;

/// Datagrams that one call may send: every kernel that cuts trains takes so many.
const MOST_SEGMENTS: usize = 64;
/// Bytes that one call may send: what fits into a packet of IP before it is cut.
const MOST_AT_ONCE: usize = 65_000;

/// Whether a train that was not sent whole is not sent in pieces either.
fn is_lasting(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused
    )
}

/// Where datagrams came from and what the network said of them.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Who sent them; IPv4-mapped IPv6 addresses are turned into IPv4.
    pub peer: SocketAddr,
    /// The address of this machine that they were sent to.
    pub local: Option<IpAddr>,
    /// The two bits of ECN, as they stand in the IP header (RFC 3168 §5).
    pub ecn: u8,
}

/// One or more datagrams of one length to one peer, but for the last, which may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Where to.
    pub peer: SocketAddr,
    /// The address of this machine that they come from; the kernel chooses without it.
    pub local: Option<IpAddr>,
    /// The two bits of ECN.
    pub ecn: u8,
    /// The length of each, if there are several.
    pub segment: Option<usize>,
    /// All of them.
    pub bytes: &'a [u8],
}

/// A UDP socket, bound by somebody else or connected here.
pub struct Datagrams {
    fd: AsyncFd<OwnedFd>,
    is_ipv6: bool,
    may_fragment: bool,
    ends: Ends,
    /// Datagrams of one length that the kernel takes at once.
    segments: AtomicUsize,
}

impl Datagrams {
    /// Takes a bound socket; the kernel is asked to hand trains of packets over as one, and to tell the
    /// destination of packets unless the socket has one address alone.
    ///
    /// # Errors
    /// When it is no socket of UDP, or cannot be watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Self::watched(fd, None, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes one for what is passed on: the kernel cuts datagrams that are too long for their way, as it does by
    /// itself, and what it has no room for is lost, so that nobody waits for [`Self::poll_writable`]. A socket
    /// that is watched for room has an event with each datagram that has left it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn passing_on(fd: OwnedFd) -> io::Result<Self> {
        Self::relaying(fd, None)
    }

    fn relaying(fd: OwnedFd, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = Self::watched(fd, peer, Interest::READABLE)?;
        options::allow_fragments(socket.fd.get_ref());
        Ok(socket)
    }

    fn watched(fd: OwnedFd, peer: Option<SocketAddr>, interest: Interest) -> io::Result<Self> {
        let own = rustix::net::getsockname(&fd)?;
        let own = SocketAddr::try_from(own).map_err(|_| io::ErrorKind::InvalidInput)?;
        let local = own.ip().to_canonical();
        let local = Some(local).filter(|local| !local.is_unspecified());
        let may_fragment = options::prepare(&fd, own.is_ipv6(), local.is_none())?;
        // Who has made it may have had the right to more.
        if sockopt::socket_recv_buffer_size(&fd).is_ok_and(|size| size < WAITING) {
            let _ = sockopt::set_socket_recv_buffer_size(&fd, WAITING); // less will do
        }
        let segments = match options::has_segments(&fd) {
            true => MOST_SEGMENTS,
            false => 1,
        };
        Ok(Self {
            fd: watch(fd, interest)?,
            is_ipv6: own.is_ipv6(),
            may_fragment,
            ends: Ends { local, peer },
            segments: segments.into(),
        })
    }

    /// The same socket, for sending alone: it goes on when this one is dropped, and what comes wakes nobody
    /// then.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn sending(&self) -> io::Result<Self> {
        Ok(Self {
            fd: watch(self.duplicate()?, Interest::WRITABLE)?,
            is_ipv6: self.is_ipv6,
            may_fragment: self.may_fragment,
            ends: self.ends,
            segments: self.most_segments().into(),
        })
    }

    /// A socket of its own for what goes to `peer` and comes from there, at any free port; otherwise as
    /// [`Self::passing_on`].
    ///
    /// # Errors
    /// The kernel's: unreachable, out of descriptors, ...
    pub fn connect(peer: SocketAddr) -> io::Result<Self> {
        let family = match peer {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        if is_high(&fd, descriptor_limit()) {
            return Err(rustix::io::Errno::MFILE.into());
        }
        rustix::net::connect(&fd, &peer)?;
        Self::relaying(fd, Some(peer))
    }

    /// Sends a train, in pieces that the kernel takes, one by one if need be.
    ///
    /// # Errors
    /// As [`Self::send`]; what comes behind is lost too.
    pub fn send_train(&self, departure: &Departure<'_>, stride: usize) -> io::Result<()> {
        if departure.bytes.len() <= stride {
            return self.send(departure);
        }
        let stride = stride.max(1);
        let most = self.most_segments().max(1).saturating_mul(stride);
        for piece in departure
            .bytes
            .chunks(most.min(MOST_AT_ONCE / stride * stride).max(stride))
        {
            let segment = (piece.len() > stride).then_some(stride);
            let whole = Departure {
                segment,
                bytes: piece,
                ..*departure
            };
            match self.send(&whole) {
                // A path that is narrower than what came, or a card that does not do it.
                Err(error) if segment.is_some() && !is_lasting(&error) => {
                    for bytes in piece.chunks(stride) {
                        self.send(&Departure {
                            segment: None,
                            bytes,
                            ..*departure
                        })?;
                    }
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Datagrams of one length that the kernel takes at once.
    pub fn most_segments(&self) -> usize {
        self.segments.load(Ordering::Relaxed)
    }

    /// Whether packets may be cut in two on their way, unasked.
    pub fn may_fragment(&self) -> bool {
        self.may_fragment
    }

    /// Waits for messages; how many there are in `reception`.
    ///
    /// # Errors
    /// Those of the socket. What an earlier packet met on its way is none.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        reception: &mut Reception,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match reception.take(self.fd.get_ref(), self.ends) {
                Ok(count) => {
                    // The kernel has looked for more in vain, and says when more comes: no call is needed to
                    // find that out.
                    if !Reception::is_full(count) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // A refusal that ICMP brought back belongs to a packet that was sent.
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && self.ends.peer.is_none() => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Hands datagrams to the kernel.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now; others concern these datagrams alone, which are lost.
    pub fn send(&self, departure: &Departure<'_>) -> io::Result<()> {
        // A socket of IPv6 that takes both knows addresses of IPv4 as mapped ones.
        let known = |address: IpAddr| match address {
            IpAddr::V4(address) if self.is_ipv6 => address.to_ipv6_mapped().into(),
            address => address,
        };
        let fd = self.fd.get_ref();
        // What is said to the kernel with a message it has to read, and to look up the way anew for: most need
        // nothing of it, not even who they go to.
        let peer = match self.ends.peer {
            Some(_) => None,
            None => {
                let peer = departure.peer;
                Some(SocketAddr::new(known(peer.ip()), peer.port()))
            }
        };
        let segment = departure.segment;
        let segment = segment.filter(|segment| *segment < departure.bytes.len());
        let local = departure.local.filter(|_| self.ends.local.is_none());
        if departure.ecn == 0 && segment.is_none() && local.is_none() {
            let flags = SendFlags::DONTWAIT;
            return rustix::io::retry_on_intr(|| match &peer {
                Some(peer) => rustix::net::sendto(fd, departure.bytes, flags, peer),
                None => rustix::net::send(fd, departure.bytes, flags),
            })
            .map(drop)
            .map_err(io::Error::from);
        }
        let mut control = Control::default();
        if departure.ecn != 0 {
            control.mark(departure.ecn, departure.peer.ip());
        }
        if let Some(segment) = segment {
            control.cut(segment);
        }
        if let Some(local) = local {
            control.come_from(known(local));
        }
        let outcome = calls::send(fd, peer, &mut control, departure.bytes);
        if let Err(error) = &outcome
            && segment.is_some()
            && matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
        {
            // A card that cannot do it says so no more clearly.
            self.segments.store(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Waits until the kernel takes datagrams again, after [`Self::send`] has said that it does not.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.fd.poll_write_ready(cx))?;
        guard.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Says that the kernel takes nothing now, so that [`Self::poll_writable`] waits.
    pub fn is_full(&self, cx: &mut Context<'_>) {
        if let Poll::Ready(Ok(mut guard)) = self.fd.poll_write_ready(cx) {
            guard.clear_ready();
        }
    }

    /// Waits until the network says that something that was sent did not arrive (ICMP), for a socket that is
    /// connected: reading does not wake up for that.
    pub async fn failure(&self) -> io::Error {
        loop {
            let mut guard = match self.fd.ready(Interest::ERROR).await {
                Ok(guard) => guard,
                Err(error) => return error,
            };
            match sockopt::socket_error(self.fd.get_ref()) {
                Ok(Ok(())) => guard.clear_ready_matching(Ready::ERROR),
                Ok(Err(error)) | Err(error) => return error.into(),
            }
        }
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.get_ref().as_fd().try_clone_to_owned()
    }
}
