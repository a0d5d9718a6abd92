// SPDX-License-Identifier: Apache-2.0
//! One HTTP/3 connection of the client, with several requests on it at a time: QUIC by quinn-proto, of HTTP/3 what
//! asking needs, and of QPACK the static table alone (RFC 9204 Appendix A).

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ReadError, StreamEvent, StreamId,
};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::epoll::{self, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::asked::Progress;
use crate::command::Plan;
use crate::pipe::Security;
use crate::session::{Shared, Slot};
use crate::shuttle::Token;

/// Frames (RFC 9114 §7.2).
const DATA: u64 = 0;
const HEADERS: u64 = 1;
/// A stream of type control, and on it SETTINGS that say nothing: no dynamic table.
const CONTROL: [u8; 3] = [0, 4, 0];
/// `:status: 200` by its place in the static table.
const STATUS_200: u8 = 0xc0 | 25;
/// Bytes that one packet, or a train of them, takes.
const LONGEST: usize = 64 << 10;

/// What belongs to a connection while it is open.
struct Open {
    socket: OwnedFd,
    state: UdpSocketState,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    is_ready: bool,
    answers: HashMap<StreamId, (usize, Vec<u8>)>,
}

/// One connection to the proxy.
pub struct Quic {
    open: Option<Open>,
    /// Requests that wait for a stream, by their slots.
    waiting: Vec<(usize, Vec<u8>)>,
    slots: Vec<Slot>,
    moved: u64,
}

impl Quic {
    /// A connection that is not open yet, for so many requests at a time.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            open: None,
            waiting: Vec::new(),
            slots: vec![Slot::default(); slots],
            moved: 0,
        }
    }

    /// Everything that was asked and is not answered, for nobody will.
    fn give_up(&mut self, told: &mut Vec<(usize, Progress)>) {
        let answers = self.open.take().map(|open| open.answers);
        let asked = answers.into_iter().flatten().map(|(_, (slot, _))| slot);
        let waiting = self.waiting.drain(..).map(|(slot, _)| slot);
        told.extend(asked.chain(waiting).map(|slot| (slot, Progress::Broken)));
    }

    /// Sends what waits, as far as there are streams for it.
    fn send_waiting(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.is_ready) else {
            return;
        };
        while let Some((_, request)) = self.waiting.first() {
            let Some(stream) = open.connection.streams().open(Dir::Bi) else {
                return;
            };
            let mut sending = open.connection.send_stream(stream);
            // Requests are shorter than any first window.
            let _ = sending.write(request);
            let _ = sending.finish();
            self.moved += request.len() as u64;
            let (slot, _) = self.waiting.remove(0);
            open.answers.insert(stream, (slot, Vec::new()));
        }
    }
}

impl Shared for Quic {
    fn ask(
        &mut self,
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        security: Option<&Security>,
        slot: usize,
        path: &str,
    ) -> std::io::Result<bool> {
        let opened = self.open.is_none();
        if opened {
            let security = security.ok_or(std::io::ErrorKind::InvalidInput)?;
            self.open = Some(Open::begin(poll, index, plan, security)?);
        }
        self.waiting.push((slot, request(&plan.host, path)));
        self.send_waiting();
        Ok(opened)
    }

    fn flush(&mut self) -> bool {
        self.open.as_mut().is_none_or(|open| open.send().is_ok())
    }

    fn advance(&mut self, expected: &[u8], buffer: &mut [u8], told: &mut Vec<(usize, Progress)>) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        open.receive(buffer);
        let Some(moved) = open.take(expected, told) else {
            return self.give_up(told);
        };
        self.moved += moved;
        self.send_waiting();
        if !self.flush() {
            self.give_up(told);
        }
    }

    fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    fn moved(&mut self) -> &mut u64 {
        &mut self.moved
    }

    fn until_due(&mut self) -> Option<u64> {
        let due = self.open.as_mut()?.connection.poll_timeout()?;
        let wait = due.saturating_duration_since(now()).as_nanos();
        Some(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

impl Open {
    fn begin(
        poll: &OwnedFd,
        index: usize,
        plan: &Plan,
        security: &Security,
    ) -> std::io::Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&socket, &plan.target)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let wanted = EventFlags::IN | EventFlags::ET;
        epoll::add(poll, socket.as_fd(), Token::Shared(index).data(), wanted)?;
        let crypto =
            QuicClientConfig::try_from(security.config()).map_err(|error| wrong(&error))?;
        let config = ClientConfig::new(Arc::new(crypto));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let target = SocketAddr::V4(plan.target);
        let (handle, connection) = endpoint
            .connect(now(), config, target, &plan.host)
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            socket,
            state,
            endpoint,
            handle,
            connection,
            is_ready: false,
            answers: HashMap::new(),
        })
    }

    /// Takes the packets that have come.
    fn receive(&mut self, buffer: &mut [u8]) {
        let room = buffer.get_mut(..LONGEST).unwrap_or_default();
        loop {
            let mut meta = [RecvMeta::default()];
            let came = {
                let mut slices = [IoSliceMut::new(&mut *room)];
                self.state
                    .recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
            };
            let (true, [meta]) = (came.is_ok(), meta) else {
                break;
            };
            let bytes = room.get(..meta.len).unwrap_or_default();
            for packet in bytes.chunks(meta.stride.max(1)) {
                let mut answer = Vec::new();
                let event = self.endpoint.handle(
                    now(),
                    meta.addr,
                    meta.dst_ip,
                    None,
                    packet.into(),
                    &mut answer,
                );
                if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                    self.connection.handle_event(event);
                }
            }
        }
        if self
            .connection
            .poll_timeout()
            .is_some_and(|due| due <= now())
        {
            self.connection.handle_timeout(now());
        }
    }

    /// Takes what the packets told; returns how many bytes of answers came, `None` when the connection is over.
    fn take(&mut self, expected: &[u8], told: &mut Vec<(usize, Progress)>) -> Option<u64> {
        let mut moved = 0;
        loop {
            while let Some(event) = self.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                    self.connection.handle_event(event);
                }
            }
            match self.connection.poll() {
                None => return Some(moved),
                Some(Event::Connected) => {
                    self.is_ready = true;
                    let control = self.connection.streams().open(Dir::Uni)?;
                    let written = self.connection.send_stream(control).write(&CONTROL);
                    written.ok().filter(|count| *count == CONTROL.len())?;
                }
                Some(Event::ConnectionLost { .. }) => return None,
                Some(Event::Stream(StreamEvent::Opened { dir: Dir::Uni })) => {
                    while let Some(stream) = self.connection.streams().accept(Dir::Uni) {
                        self.read(stream, expected, told, &mut moved);
                    }
                }
                Some(Event::Stream(StreamEvent::Readable { id })) => {
                    self.read(id, expected, told, &mut moved);
                }
                Some(_) => {}
            }
        }
    }

    /// Reads what has come on a stream; of those that the proxy opened nothing is wanted.
    fn read(
        &mut self,
        stream: StreamId,
        expected: &[u8],
        told: &mut Vec<(usize, Progress)>,
        moved: &mut u64,
    ) {
        let mut receiving = self.connection.recv_stream(stream);
        let Ok(mut chunks) = receiving.read(true) else {
            return;
        };
        let mut answer = self.answers.get_mut(&stream);
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    *moved += chunk.bytes.len() as u64;
                    if let Some((_, input)) = answer.as_mut() {
                        input.extend_from_slice(&chunk.bytes);
                    }
                }
                Ok(None) => break Some(true),
                Err(ReadError::Blocked) => break None,
                Err(ReadError::Reset(_)) => break Some(false),
            }
        };
        let _ = chunks.finalize();
        let Some(is_whole) = ended else { return };
        if let Some((slot, input)) = self.answers.remove(&stream) {
            let answered = is_whole.then(|| judge(&input, expected)).flatten();
            told.push((slot, answered.unwrap_or(Progress::Broken)));
        }
    }

    /// Sends what there is to send.
    fn send(&mut self) -> std::io::Result<()> {
        let most = self.state.max_gso_segments();
        let mut bytes = Vec::new();
        while let Some(train) = self.connection.poll_transmit(now(), most, &mut bytes) {
            let sent = self.state.try_send(
                UdpSockRef::from(&self.socket),
                &Transmit {
                    destination: train.destination,
                    ecn: None,
                    contents: bytes.get(..train.size).unwrap_or_default(),
                    segment_size: train.segment_size,
                    src_ip: None,
                },
            );
            match sent {
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error),
                // What has no room is lost, and sent again.
                _ => bytes.clear(),
            }
        }
        Ok(())
    }
}

/// A whole request with the fields of an ordinary API client.
fn request(host: &str, path: &str) -> Vec<u8> {
    let mut section = vec![0, 0];
    // `:method: GET` and `:scheme: https`, by their places.
    section.extend_from_slice(&[0xc0 | 17, 0xc0 | 23]);
    for (place, value) in [(0, host), (1, path)] {
        section.push(0x50 | place);
        text(&mut section, value, 7, 0);
    }
    for (name, value) in [
        ("user-agent", "tidegate-load"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("x-client", "bench"),
    ] {
        text(&mut section, name, 3, 0x20);
        text(&mut section, value, 7, 0);
    }
    let mut whole = vec![1];
    #[allow(clippy::cast_possible_truncation)] // Below 16 KiB.
    let length = (section.len() as u16) | 0x4000;
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(&section);
    whole
}

/// Writes a string as it is (RFC 9204 §4.1.2), its length from the last `bits` of a first byte on.
fn text(out: &mut Vec<u8>, value: &str, bits: u32, pattern: u8) {
    let most = (1 << bits) - 1;
    let length = value.len();
    #[allow(clippy::cast_possible_truncation)] // Each part is cut to what fits.
    if length < most {
        out.push(pattern | length as u8);
    } else {
        out.push(pattern | most as u8);
        let mut rest = length - most;
        while rest > 127 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(value.as_bytes());
}

/// What a whole answer came to; `None` when it makes no sense.
fn judge(mut input: &[u8], expected: &[u8]) -> Option<Progress> {
    let (mut status, mut at, mut right) = (0, 0, true);
    while !input.is_empty() {
        let (kind, length) = (number(&mut input)?, number(&mut input)?);
        let (frame, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
        input = rest;
        match kind {
            // Whatever is not 200 is wrong, and which it is does not matter.
            HEADERS if status == 0 => status = status_of(frame),
            DATA => {
                right &= expected.get(at..at + frame.len()) == Some(frame);
                at += frame.len();
            }
            _ => {}
        }
    }
    right &= at == expected.len();
    Some(Progress::Answered { status, right })
}

/// The status of a section: 200, or 1 for all others.
fn status_of(section: &[u8]) -> u16 {
    // Its prefix is two bytes, since no table is named; some write the value out.
    let first = section.get(2..).unwrap_or_default();
    let is_200 = first.first() == Some(&STATUS_200) || first.get(1..).is_some_and(ends_in_200);
    if is_200 { 200 } else { 1 }
}

/// Whether a literal value after its name's place is 200, as it is or in Huffman's code.
fn ends_in_200(rest: &[u8]) -> bool {
    [b"\x03200".as_slice(), b"\x82\x10\x01"]
        .iter()
        .any(|value| {
            rest.starts_with(value) || rest.get(1..).is_some_and(|rest| rest.starts_with(value))
        })
}

/// Takes a number of variable length (RFC 9000 §16).
fn number(input: &mut &[u8]) -> Option<u64> {
    let first = *input.first()?;
    let length = 1 << (first >> 6);
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    let value = bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some(value & (u64::MAX >> (64 - 8 * length + 2)))
}

/// QUIC's clock.
fn now() -> Instant {
    // The product's clock can be driven by tests; this tool exists to measure the real one.
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_frames() {
        let whole = [1, 3, 0, 0, STATUS_200, 0x21, 1, 9, 0, 0x40, 2, 7, 8];
        let right = Progress::Answered {
            status: 200,
            right: true,
        };
        assert_eq!(judge(&whole, &[7, 8]), Some(right));
        let wrong = Progress::Answered {
            status: 200,
            right: false,
        };
        assert_eq!(judge(&whole, &[7, 8, 9]), Some(wrong));
        assert_eq!(judge(&whole[..12], &[7, 8]), None);
        let other = [1, 3, 0, 0, 0xc0 | 27];
        assert!(matches!(
            judge(&other, &[]),
            Some(Progress::Answered { status: 1, .. })
        ));
        for literal in [
            b"\0\0\x5f\x09\x03200".as_slice(),
            b"\0\0\x5f\x09\x82\x10\x01",
        ] {
            assert_eq!(status_of(literal), 200);
        }
    }

    #[test]
    fn numbers_have_four_lengths() {
        // RFC 9000 §A.1.
        for (bytes, value) in [
            (
                &b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..],
                151_288_809_941_952_652,
            ),
            (b"\x9d\x7f\x3e\x7d", 494_878_333),
            (b"\x7b\xbd", 15_293),
            (b"\x25", 37),
        ] {
            assert_eq!(number(&mut &bytes[..]), Some(value));
        }
        assert_eq!(number(&mut &b"\x7b"[..]), None);
    }
}
