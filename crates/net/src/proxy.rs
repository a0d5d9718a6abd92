// SPDX-License-Identifier: Apache-2.0
//! The PROXY protocol, versions 1 and 2: a head before everything else by which a proxy says whose
//! connection it is.
//!
//! Strict: one spelling of addresses and ports, lengths that come out even, nothing beyond the limits.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a head of version 1, its line end included.
const LONGEST_LINE: usize = 107;
/// Bytes of a head of either version: addresses take at most 216, the rest is what else a proxy says.
pub const LONGEST_PROXY_HEAD: usize = 4096;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The client.
    pub source: SocketAddr,
    /// What it dialled.
    pub destination: SocketAddr,
}

/// A whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHead {
    /// Bytes it takes.
    pub length: usize,
    /// `None` where the proxy speaks for itself, or does not say.
    pub announced: Option<Announced>,
}

/// What came is no head, or one that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProxyHead;

impl ProxyHead {
    /// Reads the head that `bytes` begin with; `None` while more are to come.
    ///
    /// # Errors
    /// As soon as no byte that may come makes it a head.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NoProxyHead> {
        let agrees = |wanted: &[u8]| bytes.iter().zip(wanted).all(|(one, other)| one == other);
        if agrees(SIGNATURE) {
            return binary(bytes);
        }
        if agrees(b"PROXY ") {
            return line(bytes);
        }
        Err(NoProxyHead)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`, `TCP6` likewise, or `PROXY UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Result<Option<ProxyHead>, NoProxyHead> {
    let start = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = start.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LONGEST_LINE {
            true => Ok(None),
            false => Err(NoProxyHead),
        };
    };
    let text = start.get(..end).and_then(|text| text.strip_suffix(b"\r"));
    let text = text.filter(|text| text.iter().all(|byte| (b' '..=b'~').contains(byte)));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or(NoProxyHead)?;
    let announced = match text == "PROXY UNKNOWN" || text.starts_with("PROXY UNKNOWN ") {
        true => None,
        false => Some(addresses(text).ok_or(NoProxyHead)?),
    };
    let length = end + 1;
    Ok(Some(ProxyHead { length, announced }))
}

fn addresses(text: &str) -> Option<Announced> {
    let mut parts = text.split(' ').skip(1);
    let is_four = match parts.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut address = || {
        let found: IpAddr = parts.next()?.parse().ok()?;
        (found.is_ipv4() == is_four).then_some(found)
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let text = parts.next()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let is_short = text == "0" || !text.starts_with('0');
        text.parse::<u16>().ok().filter(|_| is_plain && is_short)
    };
    let (source_port, destination_port) = (port()?, port()?);
    parts.next().is_none().then_some(Announced {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Signature, version and command, family and protocol, length, addresses, and pieces of type, length
/// and value.
fn binary(bytes: &[u8]) -> Result<Option<ProxyHead>, NoProxyHead> {
    let command = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => 0,
        Some(0x21) => 1,
        Some(_) => return Err(NoProxyHead),
    };
    let (Some(family), Some(high), Some(low)) = (bytes.get(13), bytes.get(14), bytes.get(15))
    else {
        return Ok(None);
    };
    let length = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST_PROXY_HEAD {
        return Err(NoProxyHead);
    }
    // How many bytes of addresses there are; families of packets are none of a connection.
    let size = match (command, family) {
        (0, _) | (_, 0x00) => 0,
        (_, 0x11) => 12,
        (_, 0x21) => 36,
        (_, 0x31) => 216,
        _ => return Err(NoProxyHead),
    };
    let Some(rest) = bytes.get(16..length) else {
        return Ok(None);
    };
    let (addresses, pieces) = rest.split_at_checked(size).ok_or(NoProxyHead)?;
    let announced = match (addresses.len(), family) {
        (12, 0x11) => four(addresses),
        (36, 0x21) => six(addresses),
        _ => None,
    };
    // What a proxy says for itself is passed over whole.
    if command == 1 && *family != 0 && !comes_out_even(pieces) {
        return Err(NoProxyHead);
    }
    Ok(Some(ProxyHead { length, announced }))
}

fn comes_out_even(mut pieces: &[u8]) -> bool {
    while let [_, high, low, rest @ ..] = pieces {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        match rest.get(size..) {
            Some(rest) => pieces = rest,
            None => return false,
        }
    }
    pieces.is_empty()
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Announced> {
    let ports: [u8; 4] = ports.try_into().ok()?;
    let [a, b, c, d] = ports;
    Some(Announced {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

fn four(bytes: &[u8]) -> Option<Announced> {
    let (source, rest) = bytes.split_first_chunk::<4>()?;
    let (destination, ports) = rest.split_first_chunk::<4>()?;
    let address = |octets: &[u8; 4]| Ipv4Addr::from(*octets).into();
    ends(address(source), address(destination), ports)
}

fn six(bytes: &[u8]) -> Option<Announced> {
    let (source, rest) = bytes.split_first_chunk::<16>()?;
    let (destination, ports) = rest.split_first_chunk::<16>()?;
    let address = |octets: &[u8; 16]| IpAddr::from(Ipv6Addr::from(*octets)).to_canonical();
    ends(address(source), address(destination), ports)
}

/// The two addresses in one family, as IPv6 where they are of two.
fn alike(announced: &Announced) -> (IpAddr, IpAddr) {
    let (source, destination) = (announced.source.ip(), announced.destination.ip());
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    (wide(source), wide(destination))
}

/// A head of version 1; without `announced` one that does not say.
pub fn proxy_line(announced: Option<&Announced>) -> Vec<u8> {
    let Some(announced) = announced else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let (source, destination) = alike(announced);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (announced.source.port(), announced.destination.port());
    format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
}

/// A head of version 2; without `announced` one by which the proxy speaks for itself.
pub fn proxy_binary(announced: Option<&Announced>) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some(announced) = announced else {
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return out;
    };
    let (source, destination) = alike(announced);
    let mut push = |family: u8, source: &[u8], destination: &[u8]| {
        let size = 2 * source.len() as u16 + 4;
        out.extend_from_slice(&[0x21, family]);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(source);
        out.extend_from_slice(destination);
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            push(0x11, &source.octets(), &destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            push(0x21, &source.octets(), &destination.octets());
        }
        _ => {} // they are alike by now
    }
    out.extend_from_slice(&announced.source.port().to_be_bytes());
    out.extend_from_slice(&announced.destination.port().to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(source: &str, destination: &str) -> Announced {
        Announced {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_and_every_shorter_piece_waits() {
        for (source, destination) in [
            ("192.0.2.1:1", "198.51.100.2:65535"),
            ("[2001:db8::1]:56324", "[2001:db8::2]:443"),
        ] {
            let wanted = announced(source, destination);
            for mut bytes in [proxy_line(Some(&wanted)), proxy_binary(Some(&wanted))] {
                let length = bytes.len();
                bytes.extend_from_slice(b"after it");
                for end in 0..length {
                    assert_eq!(ProxyHead::parse(&bytes[..end]), Ok(None));
                }
                let announced = Some(wanted);
                let head = ProxyHead { length, announced };
                assert_eq!(ProxyHead::parse(&bytes), Ok(Some(head)));
            }
        }
        let mixed = announced("192.0.2.1:1", "[2001:db8::2]:443");
        let head = ProxyHead::parse(&proxy_binary(Some(&mixed))).unwrap();
        assert_eq!(head.unwrap().announced, Some(mixed));
    }

    #[test]
    fn who_speaks_for_itself_announces_nobody() {
        let local = [&SIGNATURE[..], &[0x20, 0x11, 0, 3, 1, 2, 3]].concat();
        let unspecified = [&SIGNATURE[..], &[0x21, 0, 0, 2, 1, 2]].concat();
        let unix = [&SIGNATURE[..], &[0x21, 0x31, 0, 216], &[0; 216]].concat();
        for bytes in [
            proxy_line(None),
            proxy_binary(None),
            b"PROXY UNKNOWN ffff::1 x\r\n".to_vec(),
            local,
            unspecified,
            unix,
        ] {
            let head = ProxyHead::parse(&bytes).unwrap().unwrap();
            assert_eq!((head.length, head.announced), (bytes.len(), None));
        }
    }

    #[test]
    fn what_is_not_to_the_letter_is_refused() {
        let binary = |rest: &[u8]| [&SIGNATURE[..], rest].concat();
        let long = format!("PROXY UNKNOWN {}", "x".repeat(100));
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n".to_vec(),
            b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n".to_vec(),
            b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            b"PROXY UNKNOWNS\r\n".to_vec(),
            long.into_bytes(),
            binary(&[0x11]),
            binary(&[0x22]),
            binary(&[0x21, 0x12, 0, 0]),
            binary(&[0x21, 0x11, 0x10, 0]),
            binary(&[0x21, 0x11, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            binary(&[&[0x21, 0x11, 0, 15][..], &[0; 12], &[1, 0, 1]].concat()),
        ] {
            let text = bytes.escape_ascii().to_string();
            assert_eq!(ProxyHead::parse(&bytes), Err(NoProxyHead), "{text}");
        }
    }
}
