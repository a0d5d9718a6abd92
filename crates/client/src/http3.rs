// SPDX-License-Identifier: Apache-2.0
//! HTTP/3 over QUIC (RFC 9114, RFC 9000).
use crate::deadline::{Deadline, is_timeout};
use crate::{Answer, Question};
use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn_proto::{
    ClientConfig, Connection as Quic, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ReadError, StreamEvent, StreamId, VarInt,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tidegate_http3::{
    Code, Connection, Failure, Part, RequestReader, Settings, UniReader, Verdict,
};
use tidegate_tls::Inquiry;

/// Bytes of a packet of UDP.
const PACKET: usize = 1 << 16;
/// Bytes of a stream that are read at a time.
const PIECE: usize = 16 << 10;

pub(crate) fn ask(question: &Question<'_>) -> Result<Answer, String> {
    let deadline = Deadline::new(question.patience);
    let inquiry = Inquiry::new(question.authorities.clone(), b"h3")?;
    let mut one = Asking::new(question, &inquiry, &deadline)?;
    loop {
        one.events(question, &inquiry, &deadline)?;
        one.send(&deadline)?;
        if one.is_over {
            let no_error = number(Code::NO_ERROR);
            one.quic.close(deadline.instant(), no_error, Bytes::new());
            one.send(&deadline)?;
            return Ok(one.answer);
        }
        one.receive(&deadline)?;
    }
}

/// One request on one connection.
struct Asking {
    socket: UdpSocket,
    address: SocketAddr,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    quic: Quic,
    machine: Connection,
    reader: RequestReader,
    /// The stream of the request, once it was sent.
    stream: Option<StreamId>,
    /// Streams of the server alone.
    unis: Vec<(StreamId, UniReader)>,
    answer: Answer,
    is_over: bool,
}

impl Asking {
    fn new(
        question: &Question<'_>,
        inquiry: &Inquiry,
        deadline: &Deadline,
    ) -> Result<Self, String> {
        let crypto = QuicClientConfig::try_from(inquiry.config.clone())
            .map_err(|error| error.to_string())?;
        let config = ClientConfig::new(Arc::new(crypto));
        let address = question.address;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own)
            .and_then(|socket| socket.connect(address).map(|()| socket))
            .map_err(|error| format!("{address}: {error}"))?;
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
        let (handle, quic) = endpoint
            .connect(deadline.instant(), config, address, question.server_name)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            socket,
            address,
            endpoint,
            handle,
            quic,
            machine: Connection::client(Settings::default()),
            reader: RequestReader::response(false),
            stream: None,
            unis: Vec::new(),
            answer: Answer::default(),
            is_over: false,
        })
    }

    /// Does what the connection has to tell.
    fn events(
        &mut self,
        question: &Question<'_>,
        inquiry: &Inquiry,
        deadline: &Deadline,
    ) -> Result<(), String> {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.begin(question)?,
                Event::ConnectionLost { reason } => {
                    let fault = inquiry.fault().map(|fault| fault.detail);
                    return Err(
                        fault.unwrap_or_else(|| format!("the connection was lost: {reason}"))
                    );
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    while let Some(id) = self.quic.streams().accept(Dir::Uni) {
                        self.unis.push((id, UniReader::default()));
                        self.read(id, deadline)?;
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, deadline)?,
                _ => {}
            }
        }
        while let Some(event) = self.quic.poll_endpoint_events() {
            if let Some(answer) = self.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(answer);
            }
        }
        Ok(())
    }

    /// The server has shown who it is: the request is sent.
    fn begin(&mut self, question: &Question<'_>) -> Result<(), String> {
        let shaken = self.quic.crypto_session().handshake_data();
        let shaken = shaken.and_then(|data| data.downcast::<HandshakeData>().ok());
        let protocol = shaken.and_then(|data| data.protocol).unwrap_or_default();
        self.answer.protocol = String::from_utf8_lossy(&protocol).into_owned();
        let control = self.machine.preamble();
        self.write(Dir::Uni, &control)?;
        let head = self.machine.ask(question.head(), question.fields.iter());
        let head = head.ok_or("the server takes no head of this size")?;
        let stream = self.write(Dir::Bi, &head)?;
        self.stream = Some(stream);
        let ended = self.quic.send_stream(stream).finish();
        ended.map_err(|error| error.to_string())
    }

    /// A stream of ours that begins with `bytes`, which are few.
    fn write(&mut self, direction: Dir, bytes: &[u8]) -> Result<StreamId, String> {
        let opened = self.quic.streams().open(direction);
        let id = opened.ok_or("the server takes no stream")?;
        let written = self.quic.send_stream(id).write(bytes);
        match written {
            Ok(count) if count == bytes.len() => Ok(id),
            Ok(_) => Err("the server takes no head of this size".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Reads what came on a stream.
    fn read(&mut self, id: StreamId, deadline: &Deadline) -> Result<(), String> {
        let mut stream = self.quic.recv_stream(id);
        let mut pieces = Vec::new();
        let mut ended = false;
        let Ok(mut chunks) = stream.read(true) else {
            return Ok(()); // It was read to its end before.
        };
        loop {
            match chunks.next(PIECE) {
                Ok(Some(chunk)) => pieces.push(chunk.bytes),
                Ok(None) => {
                    ended = true;
                    break;
                }
                Err(ReadError::Blocked) => break,
                Err(ReadError::Reset(code)) => {
                    let code = code.into_inner();
                    return Err(format!("the request was given up: code {code:#x}"));
                }
            }
        }
        // What this has to tell goes out with the next packets.
        let _ = chunks.finalize();
        if Some(id) == self.stream {
            return self.read_answer(&pieces, ended, deadline);
        }
        let Some((_, reader)) = self.unis.iter_mut().find(|(known, _)| *known == id) else {
            return Ok(());
        };
        let mut verdict = Verdict::Wanted;
        for piece in pieces {
            let read = reader.read(&mut self.machine, deadline.moment(), &piece);
            verdict = read.map_err(|error| spoilt(&error))?;
        }
        if verdict == Verdict::Unwanted {
            // A server may try out what clients do with what they do not know (RFC 9114 §6.2.3).
            let code = number(Code::STREAM_CREATION_ERROR);
            let _ = self.quic.recv_stream(id).stop(code);
        } else if ended {
            reader.finish().map_err(|error| spoilt(&error))?;
        }
        Ok(())
    }

    fn read_answer(
        &mut self,
        pieces: &[Bytes],
        ended: bool,
        deadline: &Deadline,
    ) -> Result<(), String> {
        let failed = |failure| match failure {
            Failure::Stream(error) | Failure::Connection(error) => spoilt(&error),
        };
        for piece in pieces {
            let mut rest: &[u8] = piece;
            while !rest.is_empty() {
                let now = deadline.moment();
                let read = self.reader.read(&mut self.machine, now, rest);
                let read = read.map_err(failed)?;
                match read.part {
                    Some(Part::Head) => {
                        let (status, storage) = self.machine.answer();
                        self.answer.begin(status, storage.fields().iter());
                    }
                    Some(Part::Content { start, end }) => {
                        self.answer.take(rest.get(start..end).unwrap_or_default())?;
                    }
                    _ => {}
                }
                rest = rest.get(read.consumed..).unwrap_or_default();
            }
        }
        if ended {
            self.reader.finish().map_err(failed)?;
            self.is_over = true;
        }
        Ok(())
    }

    /// Sends the packets that there are.
    fn send(&mut self, deadline: &Deadline) -> Result<(), String> {
        let mut packet = Vec::new();
        while let Some(sent) = self.quic.poll_transmit(deadline.instant(), 1, &mut packet) {
            let bytes = packet.get(..sent.size).unwrap_or_default();
            match self.socket.send(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    return Err(format!("{}: nobody speaks QUIC there", self.address));
                }
                // What else goes wrong is a loss like any other.
                _ => packet.clear(),
            }
        }
        Ok(())
    }

    /// Waits for a packet, or for what QUIC waits for.
    fn receive(&mut self, deadline: &Deadline) -> Result<(), String> {
        let now = deadline.instant();
        let mut wait = deadline.left()?;
        if let Some(due) = self.quic.poll_timeout() {
            let due = due.saturating_duration_since(now);
            if due.is_zero() {
                self.quic.handle_timeout(now);
                return Ok(());
            }
            // A socket's time is not finer than this.
            wait = wait.min(due.max(Duration::from_millis(1)));
        }
        self.socket
            .set_read_timeout(Some(wait))
            .map_err(|error| error.to_string())?;
        let mut packet = BytesMut::zeroed(PACKET);
        match self.socket.recv(&mut packet) {
            Ok(count) => packet.truncate(count),
            Err(error) if is_timeout(&error) => {
                self.quic.handle_timeout(deadline.instant());
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(format!("{}: nobody speaks QUIC there", self.address));
            }
            Err(error) => return Err(error.to_string()),
        }
        let mut output = Vec::new();
        let event = self.endpoint.handle(
            deadline.instant(),
            self.address,
            None,
            None,
            packet,
            &mut output,
        );
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.quic.handle_event(event);
        }
        Ok(())
    }
}

fn spoilt(error: &tidegate_http3::Error) -> String {
    format!("what was answered is no HTTP/3: {error}")
}

/// A code as QUIC has it; none of ours is larger than it may be.
fn number(code: Code) -> VarInt {
    VarInt::from_u64(code.0).unwrap_or(VarInt::MAX)
}
