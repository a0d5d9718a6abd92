// SPDX-License-Identifier: Apache-2.0
//! Control messages and addresses in the form that the kernel reads and writes (cmsg(3), ip(7), ipv6(7)).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const WORD: usize = size_of::<usize>();
/// A message's length, its level and its type.
const HEAD: usize = WORD + 8;
/// Room for a mark of ECN, the length of a train's datagrams and an address of IPv6, and what else a socket that
/// somebody else made may tell.
pub(super) const ROOM: usize = 128;
/// Room for an address of IPv6 with its port.
pub(super) const NAME: usize = 28;

/// Control messages, one behind the other, each from a whole word on.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    pub(super) bytes: [u8; ROOM],
    pub(super) length: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            bytes: [0; ROOM],
            length: 0,
        }
    }
}

impl Control {
    fn push(&mut self, level: i32, kind: i32, value: &[u8]) {
        let whole = HEAD + value.len();
        let Some(room) = self.bytes.get_mut(self.length..self.length + whole) else {
            return;
        };
        let (head, rest) = room.split_at_mut(HEAD);
        let (length, names) = head.split_at_mut(WORD);
        length.copy_from_slice(&whole.to_ne_bytes());
        let (first, second) = names.split_at_mut(4);
        first.copy_from_slice(&level.to_ne_bytes());
        second.copy_from_slice(&kind.to_ne_bytes());
        rest.copy_from_slice(value);
        self.length += whole.next_multiple_of(WORD);
    }

    /// Marks packets to `peer` with two bits of ECN.
    pub(super) fn mark(&mut self, ecn: u8, peer: IpAddr) {
        let value = i32::from(ecn & 3).to_ne_bytes();
        // Addresses of IPv4 on a socket of IPv6 too.
        match peer.to_canonical() {
            IpAddr::V4(_) => self.push(libc::IPPROTO_IP, libc::IP_TOS, &value),
            IpAddr::V6(_) => self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value),
        }
    }

    /// Has the kernel cut what is sent into datagrams of one length.
    pub(super) fn cut(&mut self, length: usize) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &length.to_ne_bytes());
    }

    /// Has packets come from one address of this machine.
    pub(super) fn come_from(&mut self, local: IpAddr) {
        let mut value = [0; 20];
        match local {
            // The interface, the address, and one that only matters to who receives.
            IpAddr::V4(local) => {
                if let Some(address) = value.get_mut(4..8) {
                    address.copy_from_slice(&local.octets());
                }
                let value = value.first_chunk::<12>().map_or(&[][..], |value| value);
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, value);
            }
            // The address, and the interface.
            IpAddr::V6(local) => {
                if let Some(address) = value.first_chunk_mut() {
                    *address = local.octets();
                }
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &value);
            }
        }
    }

    /// What the kernel has written, by level and type.
    pub(super) fn messages(&self) -> impl Iterator<Item = (i32, i32, &[u8])> {
        let mut rest = self.bytes.get(..self.length).unwrap_or_default();
        std::iter::from_fn(move || {
            let whole = usize::from_ne_bytes(*rest.first_chunk()?);
            let message = rest.get(WORD..whole)?;
            let level = i32::from_ne_bytes(*message.first_chunk()?);
            let message = message.get(4..)?;
            let kind = i32::from_ne_bytes(*message.first_chunk()?);
            rest = rest.get(whole.next_multiple_of(WORD)..).unwrap_or_default();
            Some((level, kind, message.get(4..)?))
        })
    }
}

/// A number that stands alone in a message.
pub(super) fn number(value: &[u8]) -> Option<i32> {
    value.first_chunk().map(|value| i32::from_ne_bytes(*value))
}

/// The address that a packet was sent to, by `IP_PKTINFO`.
pub(super) fn asked_ipv4(value: &[u8]) -> Option<IpAddr> {
    let address: &[u8; 4] = value.get(8..)?.first_chunk()?;
    Some(Ipv4Addr::from(*address).into())
}

/// The same by `IPV6_PKTINFO`.
pub(super) fn asked_ipv6(value: &[u8]) -> Option<IpAddr> {
    let address: &[u8; 16] = value.first_chunk()?;
    Some(Ipv6Addr::from(*address).into())
}

/// The address and port that the kernel has written.
pub(super) fn address_of(name: &[u8; NAME]) -> Option<SocketAddr> {
    let [family_0, family_1, port_0, port_1, rest @ ..] = name;
    let port = u16::from_be_bytes([*port_0, *port_1]);
    let ip = match i32::from(u16::from_ne_bytes([*family_0, *family_1])) {
        libc::AF_INET => {
            let [a, b, c, d, ..] = rest;
            IpAddr::from([*a, *b, *c, *d])
        }
        libc::AF_INET6 => {
            let [_, _, _, _, ip @ .., _, _, _, _] = rest;
            IpAddr::from(*ip)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
