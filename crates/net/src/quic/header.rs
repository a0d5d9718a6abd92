// SPDX-License-Identifier: Apache-2.0
use crate::hello::Reader;
use tidegate_tls::{QUIC_VERSION, QUIC_VERSION_2};

/// Bytes of an identifier in the versions that are known (RFC 9000 §17.2).
const LONGEST: usize = 20;

/// A connection identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuicId {
    length: u8,
    bytes: [u8; LONGEST],
}

impl QuicId {
    /// `None` for more than 20 bytes.
    pub fn new(identifier: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes
            .get_mut(..identifier.len())?
            .copy_from_slice(identifier);
        let length = u8::try_from(identifier.len()).ok()?;
        Some(Self { length, bytes })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    /// How many bytes it has, at most 20.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether it has none, as endpoints may choose that have a port for each connection.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a packet with a short header is sent to it: nothing there tells its length (RFC 8999 §5.2).
    pub fn begins(&self, packet: &[u8]) -> bool {
        packet
            .get(1..)
            .is_some_and(|rest| rest.starts_with(self.bytes()))
    }

    /// The identifier of a packet with a short header, if it has so many bytes.
    pub fn of_short(packet: &[u8], length: usize) -> Option<Self> {
        Self::new(packet.get(1..)?.get(..length)?)
    }
}

/// What a long header is of, in the versions that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongKind {
    /// What a connection begins with.
    Initial,
    /// Data that comes with it.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// An endpoint's demand to begin again with a token.
    Retry,
}

/// A packet's header as far as it is in the clear (RFC 8999 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongHeader<'a> {
    /// 0 in a Version Negotiation packet.
    pub version: u32,
    /// `None` in versions other than 1 and 2, whose packets may be anything.
    pub kind: Option<LongKind>,
    /// The identifier it is sent to.
    pub destination: &'a [u8],
    /// The one that answers are to be sent to.
    pub source: &'a [u8],
    /// What follows.
    pub rest: &'a [u8],
}

/// Takes a long header apart; `None` for a short one, or what is none.
pub fn long_header(packet: &[u8]) -> Option<LongHeader<'_>> {
    let mut reader = Reader(packet);
    let first = reader.byte().filter(|first| first & 0x80 != 0)?;
    let version = <[u8; 4]>::try_from(reader.take(4)?).ok()?;
    let version = u32::from_be_bytes(version);
    let (destination, source) = (reader.short()?, reader.short()?);
    // RFC 9000 §17.2 and RFC 9369 §3.2.
    let turn = match version {
        QUIC_VERSION => Some(0),
        QUIC_VERSION_2 => Some(3),
        _ => None,
    };
    let is_short_enough = destination.len() <= LONGEST && source.len() <= LONGEST;
    if turn.is_some() && !is_short_enough {
        return None;
    }
    let kind = turn.map(|turn| match ((first >> 4) + turn) & 3 {
        0 => LongKind::Initial,
        1 => LongKind::ZeroRtt,
        2 => LongKind::Handshake,
        _ => LongKind::Retry,
    });
    Some(LongHeader {
        version,
        kind,
        destination,
        source,
        rest: reader.0,
    })
}

/// Reads an integer of variable length (RFC 9000 §16).
pub(super) fn number(reader: &mut Reader<'_>) -> Option<usize> {
    let first = reader.byte()?;
    let more = reader.take((1 << (first >> 6)) - 1)?;
    let start = u64::from(first & 0x3f);
    let whole = more
        .iter()
        .fold(start, |sum, byte| sum << 8 | u64::from(*byte));
    usize::try_from(whole).ok()
}
