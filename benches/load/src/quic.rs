// SPDX-License-Identifier: Apache-2.0
//! One HTTP/3 connection of the client, with several requests on it at a time.

use std::collections::{HashMap, VecDeque};
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

use tidegate_core::Moment;
use tidegate_http3::{Part, RequestHead, RequestReader, Settings};
use tidegate_request::Fields;

use crate::asked::Progress;
use crate::command::Plan;
use crate::pipe::Security;
use crate::session::{REQUEST, Shared, Slot, fields};
use crate::shuttle::Token;

/// Bytes that one packet, or a train of them, takes.
const LONGEST: usize = 64 << 10;

/// What belongs to a connection while it is open.
struct Open {
    socket: OwnedFd,
    state: UdpSocketState,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    machine: tidegate_http3::Connection,
    is_ready: bool,
    answers: HashMap<StreamId, Answer>,
}

/// What has come for one request.
struct Answer {
    slot: usize,
    reader: RequestReader,
    status: u16,
    /// Bytes of the body that have come.
    at: usize,
    is_wrong: bool,
}

impl Answer {
    fn of(slot: usize) -> Self {
        Self {
            slot,
            reader: RequestReader::response(false),
            status: 0,
            at: 0,
            is_wrong: false,
        }
    }

    /// Takes what came; false when it makes no sense.
    fn take(
        &mut self,
        machine: &mut tidegate_http3::Connection,
        mut input: &[u8],
        expected: &[u8],
    ) -> bool {
        while !input.is_empty() {
            let Ok(read) = self.reader.read(machine, Moment::default(), input) else {
                return false;
            };
            match read.part {
                Some(Part::Head) => self.status = machine.answer().0,
                Some(Part::Content { start, end }) => {
                    let part = input.get(start..end);
                    let count = end - start;
                    self.is_wrong |=
                        part.is_none() || expected.get(self.at..self.at + count) != part;
                    self.at += count;
                }
                _ => {}
            }
            input = input.get(read.consumed..).unwrap_or_default();
        }
        true
    }

    /// What it came to, once the proxy has ended it.
    fn judge(&self, expected: &[u8]) -> Progress {
        if self.reader.finish().is_err() {
            return Progress::Broken;
        }
        Progress::Answered {
            status: self.status,
            right: !self.is_wrong && self.at == expected.len(),
        }
    }
}

/// One connection to the proxy.
pub struct Quic {
    open: Option<Open>,
    /// Requests that wait for a stream: their slots and paths.
    waiting: VecDeque<(usize, String)>,
    host: String,
    fields: Fields,
    slots: Vec<Slot>,
    moved: u64,
}

impl Quic {
    /// A connection that is not open yet, for so many requests at a time.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            open: None,
            waiting: VecDeque::new(),
            host: String::new(),
            fields: fields(REQUEST),
            slots: vec![Slot::default(); slots],
            moved: 0,
        }
    }

    /// Everything that was asked and is not answered, for nobody will.
    fn give_up(&mut self, told: &mut Vec<(usize, Progress)>) {
        let answers = self.open.take().map(|open| open.answers);
        let asked = answers.into_iter().flatten();
        let asked = asked.map(|(_, answer)| answer.slot);
        let waiting = self.waiting.drain(..).map(|(slot, _)| slot);
        told.extend(asked.chain(waiting).map(|slot| (slot, Progress::Broken)));
    }

    /// Sends what waits, as far as there are streams for it.
    fn send_waiting(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.is_ready) else {
            return;
        };
        while let Some((_, path)) = self.waiting.front() {
            let Some(stream) = open.connection.streams().open(Dir::Bi) else {
                return;
            };
            let head = RequestHead {
                method: b"GET",
                scheme: "https",
                authority: self.host.as_bytes(),
                path: path.as_bytes(),
                query: None,
                protocol: None,
            };
            let request = open.machine.ask(head, self.fields.iter());
            let request = request.unwrap_or_default();
            let mut sending = open.connection.send_stream(stream);
            // Requests are shorter than any first window.
            let _ = sending.write(&request);
            let _ = sending.finish();
            self.moved += request.len() as u64;
            if let Some((slot, _)) = self.waiting.pop_front() {
                open.answers.insert(stream, Answer::of(slot));
            }
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
        self.host.clone_from(&plan.host);
        self.waiting.push_back((slot, path.to_owned()));
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
            machine: tidegate_http3::Connection::client(Settings::default()),
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
                    let first = self.machine.preamble();
                    let written = self.connection.send_stream(control).write(&first);
                    written.ok().filter(|count| *count == first.len())?;
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
                    if let Some(answer) = answer.as_mut()
                        && !answer.take(&mut self.machine, &chunk.bytes, expected)
                    {
                        break Some(false);
                    }
                }
                Ok(None) => break Some(true),
                Err(ReadError::Blocked) => break None,
                Err(ReadError::Reset(_)) => break Some(false),
            }
        };
        let _ = chunks.finalize();
        let Some(is_whole) = ended else { return };
        if let Some(answer) = self.answers.remove(&stream) {
            let answered = is_whole.then(|| answer.judge(expected));
            told.push((answer.slot, answered.unwrap_or(Progress::Broken)));
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

/// QUIC's clock.
fn now() -> Instant {
    // The product's clock can be driven by tests; this tool exists to measure the real one.
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}
