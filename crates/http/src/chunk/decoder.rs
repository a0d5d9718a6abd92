// SPDX-License-Identifier: Apache-2.0
use super::{Extension, Trailers};
use crate::HeadLimits;
use std::ops::Range;
use tidegate_request::{Fields, Reject};

/// Digits of a chunk size: 16 hold any 64-bit number.
const SIZE_DIGITS: u8 = 16;
/// Bytes of chunk extensions in one message; nobody uses them but attackers.
const EXTENSION_LIMIT: u16 = 1024;

/// What one call of [`ChunkDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// Where in the input content lies; empty when these were framing bytes only.
    pub data: Range<usize>,
    /// The message is over; what follows `consumed` belongs to the next.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size, or between digits.
    Size,
    /// After `;` in a size line.
    Extension(Extension),
    /// After the CR of a size line.
    SizeEnd,
    /// In the data of a chunk.
    Data,
    /// Before the CR after data.
    DataCr,
    /// Before the LF after data.
    DataLf,
    /// In the trailer section.
    Trailer,
    Done,
}

/// Decodes the chunked coding in place: it says where the content lies and copies nothing.
///
/// Stricter than RFC 9112 §7.1.1: a size is 1 to 16 digits without sign or white space, lines end in
/// CRLF and nothing else, extensions are skipped and at most 1 KiB long in the whole message.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    digits: u8,
    extension: u16,
    left: u64,
    trailers: Trailers,
    is_response: bool,
}

impl Default for ChunkDecoder {
    /// For requests, with the limits of trailers that a listener has unless told otherwise.
    fn default() -> Self {
        Self::new(&HeadLimits {
            header_size: 32 << 10,
            header_fields: 100,
            target_size: 0,
        })
    }
}

impl ChunkDecoder {
    /// For requests; `limits` are those of the trailer section.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            state: State::Size,
            digits: 0,
            extension: 0,
            left: 0,
            trailers: Trailers::new(limits, false),
            is_response: false,
        }
    }

    /// For responses: the same rules, other error kinds.
    pub fn for_response(limits: &HeadLimits) -> Self {
        Self {
            trailers: Trailers::new(limits, true),
            is_response: true,
            ..Self::new(limits)
        }
    }

    /// Decodes from `input` up to the end of the first piece of content in it, of the message, or
    /// of `input`. Call again with what follows `consumed` until that is empty or `done`.
    ///
    /// Where content lies depends on the bytes alone; only how it is cut into pieces depends on
    /// how they were split into inputs.
    ///
    /// # Errors
    /// `http_request_error` (`http_protocol_error` for responses) for anything but the strict form;
    /// `request_header_size` (`http_response_header_section_size`) for too many or too large
    /// trailers. The decoder is of no use after.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, Reject> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let room = input.len() - at;
                    let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(room);
                    self.left -= length as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    // The CRLF after the data goes with it, so that a chunk is one call.
                    let data = at..at + length;
                    let line_end = self.skip_data_end(input.get(data.end..).unwrap_or_default())?;
                    return Ok(Decoded {
                        consumed: data.end + line_end,
                        data,
                        done: false,
                    });
                }
                State::Trailer => {
                    let rest = input.get(at..).unwrap_or_default();
                    let (used, is_over) = self.trailers.take(rest)?;
                    at += used;
                    if is_over {
                        self.state = State::Done;
                    }
                }
                State::Done => break,
                _ => {
                    self.step(byte)?;
                    at += 1;
                }
            }
        }
        Ok(Decoded {
            consumed: at,
            data: at..at,
            done: self.state == State::Done,
        })
    }

    /// The trailers that may be passed on, once [`Decoded::done`]; they are gone from the decoder.
    pub fn take_trailers(&mut self) -> Fields {
        self.trailers.take_fields()
    }

    fn skip_data_end(&mut self, rest: &[u8]) -> Result<usize, Reject> {
        if self.state == State::DataCr && rest.starts_with(b"\r\n") {
            self.state = State::Size;
            return Ok(2);
        }
        let mut used = 0;
        for &byte in rest.iter().take(2) {
            if !matches!(self.state, State::DataCr | State::DataLf) {
                break;
            }
            self.step(byte)?;
            used += 1;
        }
        Ok(used)
    }

    /// Takes one byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), Reject> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';') if self.digits > 0 => self.extend(Some(Extension::Start))?,
            (State::Size, byte) => self.digit(byte)?,
            (State::Extension(extension), b'\r') if extension.is_complete() => State::SizeEnd,
            (State::Extension(extension), byte) => self.extend(extension.after(byte))?,
            (State::SizeEnd, b'\n') => {
                self.digits = 0;
                if self.left == 0 {
                    State::Trailer
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            _ => return Err(self.malformed("a chunk that is not delimited by CRLF")),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, Reject> {
        let digit = char::from(byte)
            .to_digit(16)
            .ok_or(self.malformed("a chunk size that is no number"))?;
        self.digits += 1;
        if self.digits > SIZE_DIGITS {
            return Err(self.malformed("a chunk size of more than 16 digits"));
        }
        // 16 digits of 4 bits: nothing is shifted out.
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn extend(&mut self, extension: Option<Extension>) -> Result<State, Reject> {
        self.extension += 1;
        if self.extension > EXTENSION_LIMIT {
            return Err(self.malformed("more than 1 KiB of chunk extensions"));
        }
        extension
            .map(State::Extension)
            .ok_or(self.malformed("a malformed chunk extension"))
    }

    fn malformed(&self, detail: &'static str) -> Reject {
        if self.is_response {
            Reject::response(detail)
        } else {
            Reject::request(detail)
        }
    }
}
