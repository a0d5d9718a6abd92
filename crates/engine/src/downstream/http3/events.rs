// SPDX-License-Identifier: Apache-2.0
//! What QUIC tells of a connection, and what comes of it: streams, heads, and the end.
use super::driver::{Driver, State};
use super::shared::{Chunk, number};
use super::stream::Stream;
use crate::downstream::Serving;
use crate::downstream::head::Head;
use crate::downstream::part::Part;
use bytes::{Buf, Bytes};
use quinn_proto::{ConnectionError, Dir, Event, StreamEvent, StreamId};
use std::net::SocketAddr;
use std::rc::Rc;
use tidegate_core::{ErrorKind, Moment};
use tidegate_http3::{Code, Error, Part as Piece, UniReader, Verdict};
use tidegate_net::Peer;
use tidegate_request::{Reject, Version};
use tidegate_tls::{Refusal, quic_refusal};

const TOO_MUCH: &str = "the requests of the connection hold too much memory";

/// Why a handshake came to nothing.
pub(super) fn refusal(reason: &ConnectionError) -> Refusal {
    match reason {
        ConnectionError::TransportError(error) => quic_refusal(error).unwrap_or(Refusal::Malformed),
        ConnectionError::ConnectionClosed(_) => Refusal::ClientAlert,
        _ => Refusal::Closed,
    }
}

impl Driver {
    /// Deals with all that QUIC has to tell.
    pub(super) fn events(&mut self) {
        loop {
            self.tell_endpoint();
            let event = self.shared.quic().poll();
            match event {
                None => return,
                Some(Event::Connected) => self.connected(),
                Some(Event::ConnectionLost { reason }) => self.lost(&reason),
                Some(Event::Stream(event)) if self.state == State::Open => self.stream(event),
                Some(_) => {}
            }
        }
    }

    fn connected(&mut self) {
        let found = self.shared.note_handshake();
        let is_resumed = found.told.is_some_and(|told| told.is_resumed);
        self.base.thread.stats.count(|stats| match is_resumed {
            true => &stats.handshakes_resumed,
            false => &stats.handshakes_full,
        });
        self.shaken();
        self.begin_idle();
        // The client must let us have this one (RFC 9114 §6.2); QPACK's are not needed (RFC 9204 §4.2).
        let control = self.shared.quic().streams().open(Dir::Uni);
        match control {
            None => {
                let detail = "a client that takes no control stream";
                self.shared.break_connection(Error {
                    code: Code::GENERAL_PROTOCOL_ERROR,
                    detail,
                });
            }
            Some(control) => {
                self.control = Some(control);
                self.says = self.shared.machine().preamble();
            }
        }
    }

    fn lost(&mut self, reason: &ConnectionError) {
        self.shared.end();
        match (self.state, reason) {
            (State::Shaking, _) => {
                self.refused(refusal(reason));
            }
            (State::Open, ConnectionError::TransportError(_)) => {
                self.log(ErrorKind::HttpRequestError, "the client broke QUIC");
            }
            _ => {}
        }
        self.state = State::Closing;
    }

    fn stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Opened { dir: Dir::Uni } => loop {
                let accepted = self.shared.quic().streams().accept(Dir::Uni);
                let Some(id) = accepted else { return };
                self.unis.push((id, UniReader::default()));
                self.read_uni(id);
            },
            StreamEvent::Opened { dir: Dir::Bi } => loop {
                let accepted = self.shared.quic().streams().accept(Dir::Bi);
                let Some(id) = accepted else { return };
                self.begin(id);
            },
            StreamEvent::Readable { id } if id.dir() == Dir::Uni => self.read_uni(id),
            StreamEvent::Readable { id } => self.readable(id),
            StreamEvent::Writable { id } => {
                self.shared.with(id, |slot| {
                    slot.is_blocked = false;
                    slot.wake();
                });
            }
            StreamEvent::Stopped { id, .. } if Some(id) == self.control => {
                let detail = "the client stopped our control stream";
                self.shared.break_connection(Error {
                    code: Code::CLOSED_CRITICAL_STREAM,
                    detail,
                });
            }
            StreamEvent::Stopped { id, .. } => self.given_up(id),
            StreamEvent::Finished { .. } | StreamEvent::Available { .. } => {}
        }
    }

    /// The client wants no answer any more.
    fn given_up(&mut self, id: StreamId) {
        let now = self.base.thread.now();
        self.shared.given_up(id, now);
        let is_awaited = self.shared.with(id, |slot| slot.awaited.is_some());
        if is_awaited == Some(true) {
            self.drop_head(id, Code::REQUEST_CANCELLED);
        }
    }

    /// Gives a stream up of which there is no request.
    fn drop_head(&mut self, id: StreamId, code: Code) {
        self.shared.abandon(id, code);
        self.shared.close(id);
    }

    /// Gives up requests whose head takes too long.
    pub(super) fn give_up_heads(&mut self, now: Moment) {
        let limit = self.base.listener.config.timeouts.header.0;
        while let Some(id) = self.shared.late(|since| since.after_millis(limit) <= now) {
            self.log(ErrorKind::RequestTimeout, "a head took too long");
            self.drop_head(id, Code::REQUEST_INCOMPLETE);
            let provoked = self.shared.machine().provoked(now);
            if let Err(error) = provoked {
                self.shared.break_connection(error);
            }
        }
    }

    /// A stream of a request begins.
    fn begin(&mut self, id: StreamId) {
        let now = self.base.thread.now();
        let current = self.base.thread.current();
        let is_taken = self.shared.machine().begin(u64::from(id))
            && self.base.listener_index(&current).is_some()
            && self.follows();
        if !is_taken || !self.shared.open(id, now) {
            // Nothing was done: the client may send it again, here or elsewhere.
            return self.shared.abandon(id, Code::REQUEST_REJECTED);
        }
        self.read_head(id);
    }

    /// Whether the client may go on from the address that it has now.
    fn follows(&mut self) -> bool {
        let remote = self.shared.quic().remote_address();
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        if self.base.peer == Peer::Ip(remote) {
            return true;
        }
        if !self.base.listener.admission.admits(remote.ip()) {
            self.base.thread.stats.count(|stats| &stats.refused_client);
            self.close(Code::NO_ERROR);
            return false;
        }
        self.base.moved(remote);
        let current = self.base.thread.current();
        self.base.listener_index(&current).is_some()
    }

    fn readable(&mut self, id: StreamId) {
        match self.shared.with(id, |slot| slot.awaited.is_some()) {
            Some(true) => self.read_head(id),
            Some(false) => {
                let reset = self.shared.quic().recv_stream(id).received_reset();
                match reset {
                    Ok(Some(_)) => self.given_up(id),
                    _ => drop(self.shared.with(id, super::shared::Slot::wake)),
                }
            }
            None => {}
        }
    }

    /// Reads the head of a request, as far as it has come.
    fn read_head(&mut self, id: StreamId) {
        let now = self.base.thread.now();
        loop {
            let pending = self
                .shared
                .with(id, |slot| std::mem::take(&mut slot.pending));
            let Some(mut pending) = pending else { return };
            if pending.is_empty() {
                match self.shared.chunk(id, usize::MAX) {
                    Chunk::Bytes(bytes) => pending = bytes,
                    Chunk::Nothing => return,
                    Chunk::Reset => return self.given_up(id),
                    Chunk::End => {
                        self.shared.finish(id, now);
                        // It has failed: there is no request.
                        return self.drop_head(id, Code::REQUEST_INCOMPLETE);
                    }
                }
            }
            let mut machine = self.shared.machine();
            let read = self
                .shared
                .with(id, |slot| slot.reader.read(&mut machine, now, &pending));
            drop(machine);
            match read {
                None => return,
                Some(Err(failure)) => {
                    self.shared.fail(id, failure, now);
                    return self.shared.close(id);
                }
                Some(Ok(read)) => {
                    pending.advance(read.consumed);
                    self.shared.with(id, |slot| slot.pending = pending);
                    match read.part {
                        Some(Piece::Head) => return self.request(id, now, false),
                        Some(Piece::Refused) => return self.request(id, now, true),
                        _ if !self.shared.charge(id, 0) => {
                            self.log(ErrorKind::MemoryLimitReached, TOO_MUCH);
                            return self.drop_head(id, Code::REQUEST_REJECTED);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether nothing follows the head of a request, as far as it is known.
    fn has_ended(&mut self, id: StreamId, now: Moment) -> bool {
        let is_empty = self.shared.with(id, |slot| slot.pending.is_empty());
        if is_empty == Some(true) {
            match self.shared.chunk(id, usize::MAX) {
                Chunk::Bytes(bytes) => {
                    self.shared.with(id, |slot| slot.pending = bytes);
                }
                Chunk::End => {
                    self.shared.finish(id, now);
                    return true;
                }
                Chunk::Nothing => {}
                Chunk::Reset => self.shared.given_up(id, now),
            }
        }
        false
    }

    /// A request's head is there: its exchange begins.
    fn request(&mut self, id: StreamId, now: Moment, is_refused: bool) {
        self.shared.with(id, |slot| slot.awaited = None);
        let shared = Rc::clone(&self.shared);
        let (head, is_head) = if is_refused {
            let is_head = shared.machine().is_head();
            self.has_ended(id, now);
            let detail = "more or larger fields than allowed";
            let reject = Reject::new(ErrorKind::RequestHeaderSize, detail);
            (Head::Refused(reject), is_head)
        } else {
            // Before the machine has another head: this only looks at what follows.
            let ends = self.has_ended(id, now);
            let mut machine = shared.machine();
            let (pseudo, storage) = machine.request();
            let spare = self.base.thread.take_storage().unwrap_or_default();
            let storage = std::mem::replace(storage, spare);
            match self.base.request_of(pseudo, storage, ends, Version::Http3) {
                Ok(request) => {
                    let is_head = request.method_bytes() == b"HEAD";
                    (Head::Whole(Box::new(request)), is_head)
                }
                Err((reject, is_head)) => (Head::Refused(reject), is_head),
            }
        };
        let is_reset = shared.with(id, |slot| slot.is_reset);
        if is_reset == Some(true) {
            return self.drop_head(id, Code::REQUEST_CANCELLED);
        }
        let bytes = match &head {
            Head::Whole(request) => request.memory(),
            _ => 0,
        };
        if !shared.charge(id, bytes) {
            return self.drop_head(id, Code::REQUEST_REJECTED);
        }
        let handle = Stream::new(shared, id, is_head);
        Serving::begin_stream(self.base.of_stream(Part::Http3(handle)), head);
    }

    /// Reads a stream that goes one way.
    fn read_uni(&mut self, id: StreamId) {
        let Some(place) = self.unis.iter().position(|(each, _)| *each == id) else {
            return;
        };
        let now = self.base.thread.now();
        loop {
            let Some((_, reader)) = self.unis.get_mut(place) else {
                return;
            };
            let outcome = match self.shared.chunk(id, usize::MAX) {
                Chunk::Bytes(bytes) => self.take_uni(place, now, &bytes),
                Chunk::Nothing => return,
                Chunk::End | Chunk::Reset => {
                    let finished = reader.finish();
                    self.unis.swap_remove(place);
                    finished.map(|()| Verdict::Unwanted)
                }
            };
            match outcome {
                Ok(Verdict::Wanted) => {}
                Ok(Verdict::Unwanted) => {
                    let code = number(Code::STREAM_CREATION_ERROR);
                    let _ = self.shared.quic().recv_stream(id).stop(code); // it may have ended
                    self.unis.retain(|(each, _)| *each != id);
                    return;
                }
                Err(error) => return self.shared.break_connection(error),
            }
        }
    }

    fn take_uni(&mut self, place: usize, now: Moment, bytes: &Bytes) -> Result<Verdict, Error> {
        let Some((_, reader)) = self.unis.get_mut(place) else {
            return Ok(Verdict::Unwanted);
        };
        reader.read(&mut self.shared.machine(), now, bytes)
    }
}
