// SPDX-License-Identifier: Apache-2.0
use crate::Malformed;
use std::fmt;

/// The version both ends must speak; told in `Ready`.
pub const VERSION: u16 = 2;
/// The largest frame, counted after its length field. Above it a peer is confused or hostile.
pub const MAX_FRAME: usize = 1 << 20;
/// The longest settings of a policy, in bytes of JSON.
pub const MAX_SETTINGS: usize = 512 << 10;
/// The most settings that one connection knows at a time.
pub const MAX_SETS: u32 = 1 << 16;
/// The most body bytes one `Body` frame carries.
pub const CHUNK: usize = 64 << 10;
/// The largest body that travels inside the frame of its head.
pub const INLINE: usize = 64 << 10;
/// The most body bytes of one exchange and direction that may be on the way.
pub const WINDOW: u32 = 256 << 10;

const HEADER: usize = 9;
const AFTER_LENGTH: usize = 5;

/// A message does not fit into a frame. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of more than {MAX_FRAME} bytes")
    }
}

impl std::error::Error for TooLarge {}

/// One frame as it was cut from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is; read by [`crate::NodeMessage::decode`] or [`crate::WorkerMessage::decode`].
    pub kind: u8,
    /// Which exchange it belongs to; 0 for the connection.
    pub exchange: u32,
    /// What the kind says.
    pub payload: &'a [u8],
}

/// Where a frame lies.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) kind: u8,
    pub(crate) exchange: u32,
    payload: std::ops::Range<usize>,
}

/// Cuts a byte stream into frames, whatever the reads were.
///
/// Holds at most one frame and one read more than that.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Frames {
    /// Room for at least `count` more bytes; tell [`Frames::filled`] how many were put there.
    pub fn space(&mut self, count: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < count && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < count {
            self.buffer.resize(self.end + count, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// The first `count` bytes of the last [`Frames::space`] were filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Appends bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// The next whole frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// A length under 5 or over [`MAX_FRAME`]: the stream cannot be followed any further.
    #[allow(clippy::should_implement_trait)] // the item borrows from self
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        match self.cut()? {
            Some(cut) => Ok(Some(self.frame(cut))),
            None => Ok(None),
        }
    }

    /// Like [`Frames::next`] without the payload, so that the caller may skip the frame.
    pub(crate) fn cut(&mut self) -> Result<Option<Cut>, Malformed> {
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((length, after)) = unread.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if !(AFTER_LENGTH..=MAX_FRAME).contains(&length) {
            return Err(Malformed("a frame's length out of bounds"));
        }
        if after.len() < length {
            return Ok(None);
        }
        let (kind, exchange) = match after {
            [kind, a, b, c, d, ..] => (*kind, u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return Ok(None),
        };
        let payload = self.start + HEADER;
        self.start += 4 + length;
        Ok(Some(Cut {
            kind,
            exchange,
            payload: payload..self.start,
        }))
    }

    /// The frame that was just cut; its bytes stay until the next [`Frames::space`].
    pub(crate) fn frame(&self, cut: Cut) -> Frame<'_> {
        let payload = self.buffer.get(cut.payload).unwrap_or_default();
        Frame {
            kind: cut.kind,
            exchange: cut.exchange,
            payload,
        }
    }

    /// Whether part of a frame waits for the rest.
    pub fn is_inside_frame(&self) -> bool {
        self.start != self.end
    }
}

/// Appends the head of a frame and answers where it began; [`finish`] fills the length in.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, kind: u8, exchange: u32) -> usize {
    let start = out.len();
    let number = exchange.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, kind, number[0], number[1], number[2], number[3]]);
    start
}

/// Fills in the length of the frame that began at `start`, or takes it back when it is too large.
#[inline]
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) -> Result<(), TooLarge> {
    let length = out.len().saturating_sub(start + 4);
    match out.get_mut(start..start + 4) {
        Some(place) if length <= MAX_FRAME => {
            place.copy_from_slice(&(length as u32).to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(TooLarge)
        }
    }
}

/// A frame of up to eight payload bytes, which always fits.
pub(crate) fn small(out: &mut Vec<u8>, kind: u8, exchange: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= HEADER);
    out.extend_from_slice(&((AFTER_LENGTH + payload.len()) as u32).to_be_bytes());
    out.push(kind);
    out.extend_from_slice(&exchange.to_be_bytes());
    out.extend_from_slice(payload);
}
