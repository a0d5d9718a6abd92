// SPDX-License-Identifier: Apache-2.0
use crate::connection::{self, Connection};
use crate::{Code, Error, varint};
use tidegate_core::Moment;
use tidegate_http2::sections::integer;

/// Bytes of a frame of the control stream that means something here.
const LONGEST: u64 = 1 << 10;
/// Bytes of an instruction of QPACK that may be whole here.
const INSTRUCTION: usize = 8;
/// A stream of a type that is not known costs more than a frame.
const STREAM_COSTS: u32 = 5;

/// What becomes of a stream that the peer has opened in its own direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is read on.
    Wanted,
    /// Its type is not known: it is to be stopped by [`Code::STREAM_CREATION_ERROR`] (RFC 9114 §6.2).
    Unwanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    New,
    Control,
    Encoder,
    Decoder,
    Unknown,
}

/// Where in a frame of the control stream it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Begun,
    /// A frame of this type, of which so many bytes are to come.
    Payload(u64, u64),
    Unknown(u64),
}

/// Reads a stream that goes one way: control, or one of QPACK.
#[derive(Debug)]
pub struct UniReader {
    kind: Kind,
    frame: Frame,
    has_settings: bool,
    /// What is not whole yet: a type, a frame's head, a payload, an instruction.
    held: Vec<u8>,
}

impl Default for UniReader {
    fn default() -> Self {
        Self {
            kind: Kind::New,
            frame: Frame::Begun,
            has_settings: false,
            held: Vec::new(),
        }
    }
}

impl UniReader {
    /// Takes what came.
    ///
    /// # Errors
    /// What the peer did wrong; it ends the connection.
    pub fn read(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        mut input: &[u8],
    ) -> Result<Verdict, Error> {
        if self.kind == Kind::New {
            let Some((kind, rest)) = self.number(input) else {
                return Ok(Verdict::Wanted);
            };
            input = rest;
            self.kind = Self::begin(connection, now, kind)?;
        }
        match self.kind {
            Kind::Unknown => return Ok(Verdict::Unwanted),
            Kind::Control => self.control(connection, now, input)?,
            _ => self.instructions(connection, now, input)?,
        }
        Ok(Verdict::Wanted)
    }

    /// The peer has ended the stream.
    ///
    /// # Errors
    /// When the connection cannot be without it (RFC 9114 §6.2.1, RFC 9204 §4.2).
    pub fn finish(&self) -> Result<(), Error> {
        match self.kind {
            Kind::New | Kind::Unknown => Ok(()),
            _ => Err(Error::new(
                Code::CLOSED_CRITICAL_STREAM,
                "the control stream, or one of QPACK, ended",
            )),
        }
    }

    fn begin(connection: &mut Connection, now: Moment, kind: u64) -> Result<Kind, Error> {
        let wrong = |detail| Err(Error::new(Code::STREAM_CREATION_ERROR, detail));
        let (kind, place) = match kind {
            0 => (Kind::Control, 0),
            // None was allowed to: RFC 9114 §4.6.
            1 if connection.is_client => {
                let detail = "a push that was not allowed";
                return Err(Error::new(Code::ID_ERROR, detail));
            }
            1 => return wrong("a push of a client"),
            2 => (Kind::Encoder, 1),
            3 => (Kind::Decoder, 2),
            _ => {
                connection.glitch(now, STREAM_COSTS)?;
                return Ok(Kind::Unknown);
            }
        };
        let has = connection.has.get_mut(place);
        match has.is_some_and(|has| std::mem::replace(has, true)) {
            false => Ok(kind),
            true => wrong("a second stream of a type that there is one of"),
        }
    }

    /// An integer, of which the beginning may be held; it, and what follows.
    fn number<'i>(&mut self, input: &'i [u8]) -> Option<(u64, &'i [u8])> {
        let before = self.held.len();
        let most = input.len().min(8_usize.saturating_sub(before));
        self.held
            .extend_from_slice(input.get(..most).unwrap_or_default());
        let (value, length) = varint::read(&self.held)?;
        self.held.clear();
        Some((value, input.get(length - before..).unwrap_or_default()))
    }

    fn control(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        mut input: &[u8],
    ) -> Result<(), Error> {
        loop {
            match self.frame {
                Frame::Begun => {
                    if input.is_empty() {
                        return Ok(());
                    }
                    // Type and length: two integers.
                    let before = self.held.len();
                    let most = input.len().min(16_usize.saturating_sub(before));
                    self.held
                        .extend_from_slice(input.get(..most).unwrap_or_default());
                    let read = varint::read(&self.held).and_then(|(kind, first)| {
                        let (length, second) = varint::read(self.held.get(first..)?)?;
                        Some((kind, length, first + second))
                    });
                    let Some((kind, length, size)) = read else {
                        return Ok(());
                    };
                    input = input.get(size - before..).unwrap_or_default();
                    self.held.clear();
                    self.frame = self.judge(connection, now, kind, length)?;
                }
                Frame::Payload(kind, left) => {
                    let count = input.len().min(left as usize);
                    let (piece, rest) = input.split_at(count);
                    self.held.extend_from_slice(piece);
                    input = rest;
                    let left = left - count as u64;
                    if left > 0 {
                        self.frame = Frame::Payload(kind, left);
                        return Ok(());
                    }
                    self.frame = Frame::Begun;
                    let payload = std::mem::take(&mut self.held);
                    connection.control(now, kind, &payload)?;
                }
                Frame::Unknown(left) => {
                    let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    input = input.get(count..).unwrap_or_default();
                    self.frame = match left - count as u64 {
                        0 => Frame::Begun,
                        left => Frame::Unknown(left),
                    };
                    if input.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn judge(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        kind: u64,
        length: u64,
    ) -> Result<Frame, Error> {
        if !std::mem::replace(&mut self.has_settings, true) {
            if kind != connection::SETTINGS {
                let detail = "a control stream that does not begin with SETTINGS";
                return Err(Error::new(Code::MISSING_SETTINGS, detail));
            }
        } else if kind == connection::SETTINGS {
            return Err(Error::new(Code::FRAME_UNEXPECTED, "SETTINGS twice"));
        }
        match kind {
            connection::MAX_PUSH_ID if connection.is_client => Err(Error::new(
                Code::FRAME_UNEXPECTED,
                "MAX_PUSH_ID of a server",
            )),
            connection::SETTINGS
            | connection::GOAWAY
            | connection::MAX_PUSH_ID
            | connection::CANCEL_PUSH => match length {
                0..=LONGEST => Ok(Frame::Payload(kind, length)),
                _ => Err(Error::load(
                    "a frame of the control stream beyond all measure",
                )),
            },
            connection::DATA | connection::HEADERS | connection::PUSH_PROMISE => Err(Error::new(
                Code::FRAME_UNEXPECTED,
                "a frame that no control stream has",
            )),
            kind if connection::OF_HTTP2.contains(&kind) => {
                Err(Error::new(Code::FRAME_UNEXPECTED, "a frame of HTTP/2"))
            }
            _ => {
                connection.glitch(now, 1)?;
                Ok(Frame::Unknown(length))
            }
        }
    }

    /// Instructions of QPACK, RFC 9204 §4.3 and §4.4. Without a dynamic table there is one of each that
    /// can be: a table of no size, and a stream that was cancelled.
    fn instructions(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        input: &[u8],
    ) -> Result<(), Error> {
        let is_encoder = self.kind == Kind::Encoder;
        let wrong = match is_encoder {
            true => Error::new(
                Code::QPACK_ENCODER_STREAM_ERROR,
                "an entry for a table that was not offered",
            ),
            false => Error::new(
                Code::QPACK_DECODER_STREAM_ERROR,
                "word of an entry that there is not",
            ),
        };
        for byte in input {
            self.held.push(*byte);
            let Some(&first) = self.held.first() else {
                continue;
            };
            let (bits, is_known) = match is_encoder {
                true => (5, first & 0xe0 == 0x20),
                false => (6, first & 0xc0 == 0x40),
            };
            if !is_known {
                return Err(wrong);
            }
            let mut at = 0;
            match integer::read(&self.held, &mut at, bits) {
                Ok(0) => {}
                Ok(_) if !is_encoder => {}
                Ok(_) => return Err(wrong),
                Err(_) if self.held.len() < INSTRUCTION => continue,
                Err(_) => return Err(wrong),
            }
            self.held.clear();
            connection.glitch(now, 1)?;
        }
        Ok(())
    }
}
