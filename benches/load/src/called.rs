// SPDX-License-Identifier: Apache-2.0
//! A connection of the origin server that speaks HTTP/2 without TLS: each request on it is a call of gRPC.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use tidegate_core::Moment;
use tidegate_http2::{Connection, Event, SendError};
use tidegate_request::Fields;

use crate::shuttle::{Moved, transmit};
use crate::wire;

/// What a client of HTTP/2 says first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// One call on its way.
struct Call {
    /// Bytes that the answer's message shall have.
    size: usize,
    /// Bytes of the request's content that have come.
    got: usize,
    /// Bytes that its message shall have, as its head says.
    length: usize,
    is_right: bool,
    /// The answer's head is out, and so many bytes of its content.
    sent: Option<usize>,
}

/// The connection.
pub struct Called {
    machine: Connection,
    calls: HashMap<u32, Call>,
    /// Bytes of a frame that is not whole.
    input: Vec<u8>,
    head: Fields,
    trailers: Fields,
    /// The content of answers, by the size of their message.
    answers: HashMap<usize, Vec<u8>>,
}

impl Called {
    /// A connection on which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        let (mut head, mut trailers) = (Fields::new(), Fields::new());
        // Two short fields fit.
        let _ = head.append(b"content-type", b"application/grpc");
        let _ = trailers.append(b"grpc-status", b"0");
        Self {
            machine: Connection::server(wire::trusting()),
            calls: HashMap::new(),
            input: Vec::new(),
            head,
            trailers,
            answers: HashMap::new(),
        }
    }

    /// Takes bytes from the proxy and answers what is whole; returns how many answers that made, `None` when the
    /// bytes make no sense. `pattern` is what contents are compared with.
    pub fn take(&mut self, bytes: &[u8], pattern: &[u8]) -> Option<u64> {
        let mut whole = std::mem::take(&mut self.input);
        let input = if whole.is_empty() {
            bytes
        } else {
            whole.extend_from_slice(bytes);
            &whole
        };
        let (mut at, mut answered) = (0, 0);
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let received = self.machine.receive(Moment::default(), rest).ok()?;
            at += received.consumed;
            let ended = match received.event {
                None => break,
                Some(Event::Request {
                    stream,
                    pseudo,
                    ends,
                    ..
                }) => {
                    let call = Call {
                        size: wire::last_number(pseudo.path),
                        got: 0,
                        length: 0,
                        is_right: true,
                        sent: None,
                    };
                    self.calls.insert(stream, call);
                    ends.then_some(stream)
                }
                Some(Event::Data { stream, data, ends }) => {
                    let count = data.len();
                    if let Some(call) = self.calls.get_mut(&stream) {
                        call.compare(data, pattern);
                    }
                    self.machine.release(stream, count);
                    ends.then_some(stream)
                }
                Some(Event::Reset { stream, .. }) => {
                    self.calls.remove(&stream);
                    None
                }
                Some(Event::GoAway { .. }) => return None,
                Some(_) => None,
            };
            if let Some(stream) = ended {
                answered += self.answer(stream)?;
            }
        }
        self.input = input.get(at..).unwrap_or_default().to_vec();
        Some(answered + self.go_on()?)
    }

    /// Writes until the socket is full, and goes on with answers that had no room; returns how many became whole,
    /// `None` when the connection is broken.
    pub fn write(&mut self, socket: &OwnedFd) -> Option<u64> {
        let mut answered = 0;
        while !self.machine.output().is_empty() {
            match transmit(socket, self.machine.output()) {
                Moved::Bytes(count) => self.machine.sent(count),
                Moved::Later => break,
                Moved::End | Moved::Broken => return None,
            }
            answered += self.go_on()?;
        }
        Some(answered)
    }

    /// Gives those whose turn it is what there is room for.
    fn go_on(&mut self) -> Option<u64> {
        let mut answered = 0;
        while let Some(stream) = self.machine.next_writable() {
            answered += self.answer(stream)?;
        }
        Some(answered)
    }

    /// Answers a call as far as there is room; 1 when that made it whole.
    fn answer(&mut self, stream: u32) -> Option<u64> {
        let Some(call) = self.calls.get_mut(&stream) else {
            return Some(0);
        };
        let content = self
            .answers
            .entry(call.size)
            .or_insert_with(|| wire::unary(call.size));
        let sent = if let Some(sent) = call.sent {
            sent
        } else {
            // The load tool's own requests have no content but in calls: a GET asks whether anybody is there.
            let is_whole = call.got == 0 || call.got == wire::MESSAGE_HEAD + call.length;
            let status = if call.is_right && is_whole { 200 } else { 400 };
            match self
                .machine
                .send_response(stream, status, self.head.iter(), false)
            {
                Ok(()) => call.sent = Some(0),
                Err(SendError::Full) => return Some(0),
                Err(_) => return None,
            }
            0
        };
        let rest = content.get(sent..).unwrap_or_default();
        if !rest.is_empty() {
            let taken = self.machine.send_data(stream, rest, false).ok()?;
            call.sent = Some(sent + taken.bytes);
            if taken.bytes < rest.len() {
                return Some(0);
            }
        }
        match self.machine.send_trailers(stream, self.trailers.iter()) {
            Ok(()) => {
                self.calls.remove(&stream);
                Some(1)
            }
            Err(SendError::Full) => Some(0),
            Err(_) => None,
        }
    }
}

impl Call {
    /// Compares a part of the content with what is sent: the head of a message, then the cycle.
    fn compare(&mut self, part: &[u8], pattern: &[u8]) {
        for byte in part {
            match self.got.checked_sub(wire::MESSAGE_HEAD) {
                // Not compressed.
                None if self.got == 0 => self.is_right &= *byte == 0,
                None => self.length = self.length << 8 | usize::from(*byte),
                Some(at) => self.is_right &= pattern.get(at % wire::CYCLE) == Some(byte),
            }
            self.got += 1;
        }
    }
}
