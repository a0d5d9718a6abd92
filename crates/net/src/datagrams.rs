// SPDX-License-Identifier: Apache-2.0
use crate::listener::{descriptor_limit, is_high};
use crate::watch::watch;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// Bytes of one packet, or of a train of them that the kernel hands over as one.
const LONGEST: usize = 64 << 10;
/// Messages taken by one call.
const BATCH: usize = 8;
/// What a socket should be able to hold of packets that nobody has taken yet: a node's thread may be busy
/// for some milliseconds. The kernel gives as much of it as it may (net.core.rmem_max).
const WAITING: usize = 2 << 20;

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

/// Room for what one call brings. Most of it is never touched, and takes no memory then.
pub struct Reception {
    room: Vec<u8>,
    metas: [RecvMeta; BATCH],
}

impl Default for Reception {
    fn default() -> Self {
        Self {
            room: vec![0; LONGEST * BATCH],
            metas: [RecvMeta::default(); BATCH],
        }
    }
}

impl Reception {
    /// The datagrams of the first `count` messages, in the order they came.
    pub fn datagrams(&self, count: usize) -> impl Iterator<Item = (Arrival, &[u8])> {
        let rooms = self.room.chunks_exact(LONGEST);
        let messages = rooms.zip(&self.metas).take(count);
        messages.flat_map(|(room, meta)| {
            let bytes = room.get(..meta.len).unwrap_or_default();
            let arrival = Arrival {
                peer: SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port()),
                local: meta.dst_ip.map(|address| address.to_canonical()),
                ecn: meta.ecn.map_or(0, |ecn| ecn as u8),
            };
            let pieces = bytes.chunks(meta.stride.max(1));
            pieces.map(move |piece| (arrival, piece))
        })
    }
}

impl Reception {
    /// The first `count` messages: datagrams of one length that came behind each other from one peer, but for
    /// the last of each, which may be shorter, and that length.
    pub fn trains(&self, count: usize) -> impl Iterator<Item = (Arrival, &[u8], usize)> {
        let rooms = self.room.chunks_exact(LONGEST);
        let messages = rooms.zip(&self.metas).take(count);
        messages.map(|(room, meta)| {
            let arrival = Arrival {
                peer: SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port()),
                local: meta.dst_ip.map(|address| address.to_canonical()),
                ecn: meta.ecn.map_or(0, |ecn| ecn as u8),
            };
            let bytes = room.get(..meta.len).unwrap_or_default();
            (arrival, bytes, meta.stride.max(1))
        })
    }
}

/// A UDP socket, bound by somebody else or connected here.
pub struct Datagrams {
    fd: AsyncFd<OwnedFd>,
    state: UdpSocketState,
    is_ipv6: bool,
    is_connected: bool,
}

impl Datagrams {
    /// Takes a bound socket; the kernel is asked to tell the destination of packets, and to hand trains of
    /// them over as one.
    ///
    /// # Errors
    /// When it is no socket of UDP, or cannot be watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&fd))?;
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&fd), WAITING); // less will do
        let own = rustix::net::getsockname(&fd)?;
        let own = SocketAddr::try_from(own).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self {
            fd: watch(fd, Interest::READABLE | Interest::WRITABLE)?,
            state,
            is_ipv6: own.is_ipv6(),
            is_connected: false,
        })
    }

    /// A socket of its own for what goes to `peer` and comes from there, at any free port.
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
        let mut connected = Self::new(fd)?;
        connected.is_connected = true;
        connected.allow_fragments();
        Ok(connected)
    }

    /// Has the kernel cut datagrams that are too long for their way, as it does by itself: what is passed on
    /// may be of any length.
    pub fn allow_fragments(&self) {
        let fd = self.fd.get_ref();
        // Where the one is not known the other is.
        let _ = sockopt::set_ip_mtu_discover(fd, sockopt::Ipv4PathMtuDiscovery::DONT);
        let _ = sockopt::set_ipv6_mtu_discover(fd, sockopt::Ipv6PathMtuDiscovery::DONT);
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
        self.state.max_gso_segments()
    }

    /// Whether packets are never cut in two on their way.
    pub fn may_fragment(&self) -> bool {
        self.state.may_fragment()
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
            let socket = self.fd.get_ref();
            let rooms = reception.room.chunks_exact_mut(LONGEST);
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(&mut []));
            for (slice, room) in slices.iter_mut().zip(rooms) {
                *slice = IoSliceMut::new(room);
            }
            let outcome =
                self.state
                    .recv(UdpSockRef::from(socket), &mut slices, &mut reception.metas);
            match outcome {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // A refusal that ICMP brought back belongs to a packet that was sent.
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused && !self.is_connected => {}
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
        let peer = SocketAddr::new(known(departure.peer.ip()), departure.peer.port());
        let transmit = Transmit {
            destination: peer,
            ecn: EcnCodepoint::from_bits(departure.ecn),
            contents: departure.bytes,
            segment_size: departure.segment,
            src_ip: departure.local.map(known),
        };
        self.state
            .try_send(UdpSockRef::from(self.fd.get_ref()), &transmit)
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
