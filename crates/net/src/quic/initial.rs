// SPDX-License-Identifier: Apache-2.0
use super::header::{LongKind, QuicId, long_header, number};
use crate::hello::{Hello, MESSAGE, Reader, read_message};
use tidegate_tls::InitialKeys;

/// Pieces that a message may lie in while some of it is missing. Clients cut it into a score of them, so that
/// nobody on the way comes to rely on how it looks.
const PIECES: usize = 64;

/// What a datagram has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of the client's first message is there.
    Hello(Hello),
    /// Some of it is.
    More,
    /// It was not sealed as those of this connection are.
    Foreign,
    /// What was sealed is no ClientHello, or one beyond the limits.
    Malformed,
}

/// Reads the ClientHello of one connection (RFC 9001 §4.1) from a client's Initial packets, in whatever order
/// they come and however it is cut.
pub struct InitialReader {
    keys: InitialKeys,
    version: u32,
    destination: QuicId,
    message: Vec<u8>,
    /// Which bytes of the message have come: from and to, in order, with bytes missing in between.
    known: Vec<(usize, usize)>,
}

impl InitialReader {
    /// For the packets that a client sends to `destination`, which it made up; `None` for a version that is
    /// not known.
    pub fn new(version: u32, destination: QuicId) -> Option<Self> {
        Some(Self {
            keys: InitialKeys::of_client(version, destination.bytes())?,
            version,
            destination,
            message: Vec::new(),
            known: Vec::new(),
        })
    }

    /// Bytes of memory it takes, about.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.message.capacity()
    }

    /// Takes a datagram, which may have several packets (RFC 9000 §12.2).
    pub fn take(&mut self, datagram: &[u8]) -> Read {
        let mut rest = datagram;
        let mut is_ours = false;
        while let Some(header) = long_header(rest) {
            let is_same =
                header.version == self.version && header.destination == self.destination.bytes();
            let Some(kind) = header.kind.filter(|_| is_same) else {
                break;
            };
            let mut reader = Reader(header.rest);
            let is_initial = kind == LongKind::Initial;
            if kind == LongKind::Retry || (is_initial && token(&mut reader).is_none()) {
                break;
            }
            let Some(length) = number(&mut reader) else {
                break;
            };
            let at = rest.len() - reader.0.len();
            let Some((packet, more)) = at
                .checked_add(length)
                .and_then(|end| rest.split_at_checked(end))
            else {
                break;
            };
            if is_initial {
                let mut packet = packet.to_vec();
                if let Some(frames) = self.keys.open(&mut packet, at) {
                    is_ours = true;
                    if take_frames(&mut self.message, &mut self.known, frames).is_none() {
                        return Read::Malformed;
                    }
                }
            }
            rest = more;
        }
        match is_ours {
            true => self.read(),
            false => Read::Foreign,
        }
    }

    /// Takes the frames of a packet that was opened elsewhere.
    pub fn take_frames(&mut self, frames: &[u8]) -> Read {
        match take_frames(&mut self.message, &mut self.known, frames) {
            Some(()) => self.read(),
            None => Read::Malformed,
        }
    }

    fn read(&self) -> Read {
        match self.known.first() {
            Some((0, end)) => match read_message(self.message.get(..*end).unwrap_or_default()) {
                Ok(Some(hello)) => Read::Hello(hello),
                Ok(None) => Read::More,
                Err(_) => Read::Malformed,
            },
            _ => Read::More,
        }
    }
}

/// Passes over the token of an Initial packet (RFC 9000 §17.2.2).
fn token(reader: &mut Reader<'_>) -> Option<()> {
    let length = number(reader)?;
    reader.take(length).map(|_| ())
}

/// Takes the message's pieces out of frames; `None` for those that no Initial packet has (RFC 9000 §12.4),
/// and beyond the limits.
fn take_frames(
    message: &mut Vec<u8>,
    known: &mut Vec<(usize, usize)>,
    frames: &[u8],
) -> Option<()> {
    let mut reader = Reader(frames);
    while !reader.0.is_empty() {
        match number(&mut reader)? {
            0 | 1 => {} // PADDING, PING
            kind @ (2 | 3) => {
                let (_largest, _delay) = (number(&mut reader)?, number(&mut reader)?);
                let ranges = number(&mut reader)?;
                let _first = number(&mut reader)?;
                for _ in 0..ranges {
                    let (_gap, _length) = (number(&mut reader)?, number(&mut reader)?);
                }
                for _ in 0..if kind == 3 { 3 } else { 0 } {
                    number(&mut reader)?;
                }
            }
            6 => {
                let (start, length) = (number(&mut reader)?, number(&mut reader)?);
                add(message, known, start, reader.take(length)?)?;
            }
            0x1c => return Some(()), // CONNECTION_CLOSE: it has thought better of it
            _ => return None,
        }
    }
    Some(())
}

/// Puts a piece where it belongs. What comes twice stays as it came first.
fn add(
    message: &mut Vec<u8>,
    known: &mut Vec<(usize, usize)>,
    start: usize,
    piece: &[u8],
) -> Option<()> {
    let end = start.checked_add(piece.len())?;
    if end > 4 + MESSAGE {
        return None;
    }
    if message.len() < end {
        message.resize(end, 0);
    }
    if piece.is_empty() {
        return Some(());
    }
    let (mut from, mut to) = (start, end);
    let mut at = start;
    let mut others = Vec::with_capacity(known.len() + 1);
    for (start_known, end_known) in known.drain(..) {
        if end_known < from || start_known > to {
            others.push((start_known, end_known));
            continue;
        }
        // What lies before it is new.
        fill(message, piece, start, at, start_known.min(end));
        at = at.max(end_known);
        from = from.min(start_known);
        to = to.max(end_known);
    }
    fill(message, piece, start, at, end);
    let place = others.partition_point(|(known, _)| *known < from);
    others.insert(place, (from, to));
    *known = others;
    (known.len() <= PIECES).then_some(())
}

/// Copies the bytes from `from` to `to` of the message out of `piece`, which begins at `start` of it.
fn fill(message: &mut [u8], piece: &[u8], start: usize, from: usize, to: usize) {
    if from < to
        && let Some(source) = piece.get(from - start..to - start)
        && let Some(room) = message.get_mut(from..to)
    {
        room.copy_from_slice(source);
    }
}
