// SPDX-License-Identifier: Apache-2.0
use super::Arrival;
use super::calls::{self, BATCH, LONGEST, Told};
use super::control::{Control, NAME, address_of, asked_ipv4, asked_ipv6, number};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Room for what one call brings. Most of it is never touched, and takes no memory then.
pub struct Reception {
    room: Vec<u8>,
    told: [Told; BATCH],
    /// What the kernel is not asked for with each message, as it is the same for all.
    ends: Ends,
}

/// Both ends of a socket, where there is one of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// The address of this machine that everything comes to.
    pub(super) local: Option<IpAddr>,
    /// Who the socket is connected to.
    pub(super) peer: Option<SocketAddr>,
}

impl Default for Reception {
    fn default() -> Self {
        Self {
            room: vec![0; LONGEST * BATCH],
            told: [Told {
                name: [0; NAME],
                control: Control::default(),
                length: 0,
            }; BATCH],
            ends: Ends::default(),
        }
    }
}

impl Reception {
    /// Whether so many messages are all that one call can bring, so that there may be more.
    pub fn is_full(count: usize) -> bool {
        count >= BATCH
    }

    /// The datagrams of the first `count` messages, in the order they came.
    pub fn datagrams(&self, count: usize) -> impl Iterator<Item = (Arrival, &[u8])> {
        let trains = self.trains(count);
        trains.flat_map(|(arrival, bytes, stride)| {
            let pieces = bytes.chunks(stride);
            pieces.map(move |piece| (arrival, piece))
        })
    }

    /// The first `count` messages: datagrams of one length that came behind each other from one peer, but for
    /// the last of each, which may be shorter, and that length.
    pub fn trains(&self, count: usize) -> impl Iterator<Item = (Arrival, &[u8], usize)> {
        let rooms = self.room.chunks_exact(LONGEST);
        let messages = rooms.zip(&self.told).take(count);
        messages.map(|(room, told)| {
            let bytes = room.get(..told.length).unwrap_or_default();
            let (arrival, stride) = self.arrival(told);
            (arrival, bytes, stride.unwrap_or(told.length).max(1))
        })
    }

    /// What came with a message, and the length of its datagrams where there are several.
    fn arrival(&self, told: &Told) -> (Arrival, Option<usize>) {
        let nobody = || SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let named = || address_of(&told.name).unwrap_or_else(nobody);
        let peer = self.ends.peer.unwrap_or_else(named);
        let mut arrival = Arrival {
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            local: self.ends.local,
            ecn: 0,
        };
        let mut stride = None;
        for (level, kind, value) in told.control.messages() {
            let bits = || value.first().map_or(0, |bits| bits & 3);
            let asked = |address: Option<IpAddr>| address.map(|address| address.to_canonical());
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_TOS) => arrival.ecn = bits(),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    arrival.ecn = number(value).map_or(0, |class| (class & 3) as u8);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => arrival.local = asked(asked_ipv4(value)),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    arrival.local = asked(asked_ipv6(value));
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    stride = number(value).and_then(|length| usize::try_from(length).ok());
                }
                _ => {}
            }
        }
        (arrival, stride)
    }

    /// Takes the messages that have come; how many.
    pub(super) fn take(&mut self, fd: &OwnedFd, ends: Ends) -> io::Result<usize> {
        self.ends = ends;
        calls::receive(fd, ends.peer.is_none(), &mut self.room, &mut self.told)
    }
}
