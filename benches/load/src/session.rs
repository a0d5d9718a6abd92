// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 connection of the client, with several requests on it at a time.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use tidegate_core::Moment;
use tidegate_http2::{Connection, Event, RequestHead};
use tidegate_request::Fields;

use crate::asked::Progress;
use crate::command::Plan;
use crate::pipe::{Pipe, Security};
use crate::shuttle::{Moved, Token};
use crate::wire;

/// A connection of the client with several requests on it at a time.
pub trait Shared {
    /// Opens the connection if need be and has the request for `path` go out with the next [`Shared::flush`];
    /// true when it had to be opened.
    ///
    /// # Errors
    /// When no socket can be had, or the proxy takes no more requests on the connection.
    fn ask(
        &mut self,
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        security: Option<&Security>,
        slot: usize,
        path: &str,
    ) -> std::io::Result<bool>;

    /// Writes what can be written; false when the connection is broken.
    fn flush(&mut self) -> bool;

    /// Moves on after an event, and tells in `told` what came of which slot.
    fn advance(&mut self, expected: &[u8], buffer: &mut [u8], told: &mut Vec<(usize, Progress)>);

    /// All slots; the client gives them work.
    fn slots(&mut self) -> &mut [Slot];

    /// Bytes that went out and came in; whoever counts them takes them.
    fn moved(&mut self) -> &mut u64;

    /// Nanoseconds until it is to be moved on without an event, if it is.
    fn until_due(&mut self) -> Option<u64> {
        None
    }
}

/// One request at a time of those that share the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// When the request was due (fixed rate) or sent (closed loop), by [`crate::shuttle::nanoseconds`].
    pub since: u64,
    status: u16,
    /// Bytes of the answer's body that have come.
    at: usize,
    is_wrong: bool,
    /// Trailers have come.
    is_over: bool,
}

/// What an ordinary client of an API sends.
pub const REQUEST: [(&str, &str); 4] = [
    ("user-agent", "tidegate-load"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("x-client", "bench"),
];
/// What one of gRPC sends.
const CALL: [(&str, &str); 4] = [
    ("user-agent", "tidegate-load"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-accept-encoding", "identity"),
];

/// The same as they are sent.
#[must_use]
pub fn fields(pairs: [(&str, &str); 4]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs {
        // Four short fields fit.
        let _ = fields.append(name.as_bytes(), value.as_bytes());
    }
    fields
}

/// One connection to the proxy.
pub struct Session {
    pipe: Option<Pipe>,
    machine: Connection,
    fields: Fields,
    /// What each call sends; `None` for plain requests.
    message: Option<Vec<u8>>,
    /// Bytes of a frame that is not whole.
    input: Vec<u8>,
    /// The slots, by the streams that they wait for.
    streams: HashMap<u32, usize>,
    slots: Vec<Slot>,
    moved: u64,
}

impl Session {
    /// A connection that is not open yet, for so many requests at a time.
    #[must_use]
    pub fn new(slots: usize, grpc: bool) -> Self {
        Self {
            pipe: None,
            machine: Connection::client(wire::trusting()),
            fields: fields(if grpc { CALL } else { REQUEST }),
            message: None,
            input: Vec::new(),
            streams: HashMap::new(),
            slots: vec![Slot::default(); slots],
            moved: 0,
        }
    }

    /// Reads what has come; false when the connection is over.
    fn read(
        &mut self,
        expected: &[u8],
        buffer: &mut [u8],
        told: &mut Vec<(usize, Progress)>,
    ) -> bool {
        loop {
            let Some(pipe) = self.pipe.as_mut() else {
                return true;
            };
            let count = match pipe.receive(buffer) {
                Moved::Bytes(count) => count,
                Moved::Later => return true,
                Moved::End | Moved::Broken => return false,
            };
            self.moved += count as u64;
            let got = buffer.get(..count).unwrap_or_default();
            let mut whole = std::mem::take(&mut self.input);
            let input = if whole.is_empty() {
                got
            } else {
                whole.extend_from_slice(got);
                &whole
            };
            let Some(rest) = self.take(input, expected, told) else {
                return false;
            };
            self.input = input.get(rest..).unwrap_or_default().to_vec();
        }
    }

    /// Takes whole frames from `input`; returns how many bytes that was, `None` when they make no sense.
    fn take(
        &mut self,
        input: &[u8],
        expected: &[u8],
        told: &mut Vec<(usize, Progress)>,
    ) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let received = self.machine.receive(Moment::default(), rest).ok()?;
            at += received.consumed;
            let (stream, ends) = match received.event {
                None => return Some(at),
                Some(Event::Response {
                    stream,
                    status,
                    ends,
                    ..
                }) => {
                    let slot = slot(&self.streams, &mut self.slots, stream)?;
                    slot.status = status;
                    (stream, ends)
                }
                Some(Event::Data { stream, data, ends }) => {
                    let slot = slot(&self.streams, &mut self.slots, stream)?;
                    let end = slot.at + data.len();
                    slot.is_wrong |= expected.get(slot.at..end) != Some(data);
                    slot.at = end;
                    let count = data.len();
                    self.machine.release(stream, count);
                    (stream, ends)
                }
                Some(Event::Reset { stream, .. }) => {
                    let slot = self.streams.remove(&stream)?;
                    told.push((slot, Progress::Broken));
                    continue;
                }
                Some(Event::Trailers { stream, storage }) => {
                    let slot = slot(&self.streams, &mut self.slots, stream)?;
                    let said = storage.fields().get_name(b"grpc-status");
                    slot.is_wrong |= self.message.is_none() || said != Some(b"0");
                    slot.is_over = true;
                    (stream, true)
                }
                // The proxy does not end before it is ended.
                Some(Event::GoAway { .. }) => return None,
                Some(_) => continue,
            };
            if ends {
                let index = self.streams.remove(&stream)?;
                let slot = self.slots.get(index)?;
                let answer = Progress::Answered {
                    status: slot.status,
                    right: !slot.is_wrong
                        && slot.at == expected.len()
                        && slot.is_over == self.message.is_some(),
                };
                told.push((index, answer));
            }
        }
    }
}

impl Shared for Session {
    fn ask(
        &mut self,
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        security: Option<&Security>,
        slot: usize,
        path: &str,
    ) -> std::io::Result<bool> {
        let opened = self.pipe.is_none();
        if opened {
            let (pipe, _) = Pipe::open(poll, Token::Shared(index), plan, security)?;
            self.pipe = Some(pipe);
            self.machine = Connection::client(wire::trusting());
            self.message = plan.grpc.then(|| wire::unary(plan.sent));
            self.input.clear();
        }
        let head = RequestHead {
            method: if plan.grpc { b"POST" } else { b"GET" },
            scheme: if security.is_some() { "https" } else { "http" },
            authority: plan.host.as_bytes(),
            path: path.as_bytes(),
            query: None,
            protocol: None,
        };
        let stream = self
            .machine
            .send_request(head, self.fields.iter(), !plan.grpc)
            .map_err(|error| std::io::Error::other(format!("{error:?}")))?;
        if let Some(message) = &self.message {
            let taken = self.machine.send_data(stream, message, true);
            if !taken.is_ok_and(|taken| taken.ended) {
                return Err(std::io::Error::other("no room for a message"));
            }
        }
        self.streams.insert(stream, slot);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot {
                since: slot.since,
                ..Slot::default()
            };
        }
        Ok(opened)
    }

    fn flush(&mut self) -> bool {
        let Some(pipe) = self.pipe.as_mut() else {
            return true;
        };
        if matches!(pipe.flush(), Moved::Broken) {
            return false;
        }
        while !self.machine.output().is_empty() {
            match pipe.transmit(self.machine.output()) {
                Moved::Bytes(count) => {
                    self.moved += count as u64;
                    self.machine.sent(count);
                }
                Moved::Later => break,
                _ => return false,
            }
        }
        true
    }

    fn advance(&mut self, expected: &[u8], buffer: &mut [u8], told: &mut Vec<(usize, Progress)>) {
        let is_open = self.read(expected, buffer, told) && self.flush();
        if !is_open {
            self.pipe = None;
            told.extend(
                self.streams
                    .drain()
                    .map(|(_, slot)| (slot, Progress::Broken)),
            );
        }
    }

    fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    fn moved(&mut self) -> &mut u64 {
        &mut self.moved
    }
}

/// The slot that waits for `stream`.
fn slot<'a>(
    streams: &HashMap<u32, usize>,
    slots: &'a mut [Slot],
    stream: u32,
) -> Option<&'a mut Slot> {
    slots.get_mut(*streams.get(&stream)?)
}
