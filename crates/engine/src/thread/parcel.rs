// SPDX-License-Identifier: Apache-2.0
//! A packet on its way between two nodes, as it is written.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tidegate_net::Arrival;

/// Of the form below. The other node may be of another version: what has another form is passed over.
const FORM: u8 = 1;
/// Bytes that all of it but the packets takes at most.
pub(super) const LONGEST_HEAD: usize = 1 + 1 + 1 + 2 + 19 + 17 + 1 + 255;

/// A packet, or a train of them, that another node may have a connection or a session for.
///
/// Wire form: the form (1), whether it is strict (0 or 1), ECN, the length of each of the train (two bytes),
/// the peer's port (two bytes) and address, our address, and the length of the socket's key, one byte, with
/// the key; then the packets. An address is 0, or 4 or 6 and its bytes. Most significant bytes come first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<'a> {
    /// The listener's socket it came by.
    pub(crate) key: &'a str,
    pub(crate) arrival: Arrival,
    /// The length of each of a train but the last.
    pub(crate) stride: usize,
    pub(crate) bytes: &'a [u8],
    /// Only a session of which it can be told takes it: the client has one here too.
    pub(crate) is_strict: bool,
}

impl<'a> Parcel<'a> {
    /// What goes before the packets; `None` if there is no way to say it.
    pub(super) fn head(&self) -> Option<Vec<u8>> {
        let mut head = Vec::with_capacity(64);
        head.extend([FORM, u8::from(self.is_strict), self.arrival.ecn]);
        head.extend(u16::try_from(self.stride).ok()?.to_be_bytes());
        head.extend(self.arrival.peer.port().to_be_bytes());
        put(&mut head, Some(self.arrival.peer.ip()));
        put(&mut head, self.arrival.local);
        head.push(u8::try_from(self.key.len()).ok()?);
        head.extend(self.key.as_bytes());
        Some(head)
    }

    /// Reads a message; `None` if it has another form.
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let (&[form, strict, ecn, a, b, c, d], mut rest) = message.split_first_chunk()?;
        if form != FORM {
            return None;
        }
        let peer = SocketAddr::new(take(&mut rest)??, u16::from_be_bytes([c, d]));
        let local = take(&mut rest)?;
        let (&length, rest) = rest.split_first()?;
        let (key, bytes) = rest.split_at_checked(usize::from(length))?;
        Some(Self {
            key: std::str::from_utf8(key).ok()?,
            arrival: Arrival { peer, local, ecn },
            stride: usize::from(u16::from_be_bytes([a, b])).max(1),
            bytes,
            is_strict: strict == 1,
        })
    }
}

fn put(head: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => head.push(0),
        Some(IpAddr::V4(address)) => {
            head.push(4);
            head.extend(address.octets());
        }
        Some(IpAddr::V6(address)) => {
            head.push(6);
            head.extend(address.octets());
        }
    }
}

fn take(rest: &mut &[u8]) -> Option<Option<IpAddr>> {
    let (&kind, tail) = rest.split_first()?;
    let (address, tail) = match kind {
        0 => (None, tail),
        4 => {
            let (octets, tail) = tail.split_first_chunk::<4>()?;
            (Some(Ipv4Addr::from(*octets).into()), tail)
        }
        6 => {
            let (octets, tail) = tail.split_first_chunk::<16>()?;
            (Some(Ipv6Addr::from(*octets).into()), tail)
        }
        _ => return None,
    };
    *rest = tail;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel<'a>(peer: &str, local: Option<&str>, bytes: &'a [u8]) -> Parcel<'a> {
        Parcel {
            key: "udp:[::]:443",
            arrival: Arrival {
                peer: peer.parse().unwrap(),
                local: local.map(|local| local.parse().unwrap()),
                ecn: 2,
            },
            stride: 1200,
            bytes,
            is_strict: true,
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_not() {
        for (peer, local) in [
            ("192.0.2.1:5", Some("192.0.2.2")),
            ("[2001:db8::1]:65535", Some("2001:db8::2")),
            ("192.0.2.1:5", None),
        ] {
            let written = parcel(peer, local, b"packet");
            let head = written.head().unwrap();
            assert!(head.len() <= LONGEST_HEAD);
            let message = [&head[..], written.bytes].concat();
            let read = Parcel::read(&message).unwrap();
            assert_eq!(format!("{read:?}"), format!("{written:?}"));
            for length in 0..head.len() {
                assert!(Parcel::read(&message[..length]).is_none(), "{length}");
            }
        }
    }

    #[test]
    fn another_form_is_passed_over() {
        let mut message = parcel("192.0.2.1:5", None, b"").head().unwrap();
        message[0] = 2;
        assert!(Parcel::read(&message).is_none());
    }

    #[test]
    fn nothing_longer_than_it_can_say_is_written() {
        let key = "k".repeat(256);
        let long = Parcel {
            key: &key,
            ..parcel("192.0.2.1:5", None, b"")
        };
        assert!(long.head().is_none());
    }
}
