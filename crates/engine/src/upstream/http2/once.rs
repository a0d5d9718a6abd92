// SPDX-License-Identifier: Apache-2.0
//! One exchange on a connection of its own, for checks and copies of requests.
use crate::grpc;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use tidegate_core::{GrpcCode, Moment};
use tidegate_http::{ChunkDecoder, HeadLimits, HeadScanner, parse_request};
use tidegate_http2::{Connection, Event, RequestHead, Settings};
use tidegate_net::Stream;
use tidegate_request::{Fields, Framing, Options, Request, Scheme, Storage};

/// Bytes that are read at a time: a frame of the largest kind, and the header of the next.
const READ: usize = 32 << 10;

/// What a message may hold that is our own.
const LIMITS: HeadLimits = HeadLimits {
    header_size: usize::MAX,
    header_fields: usize::MAX,
    target_size: usize::MAX,
};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// 200 to 599; 0 before the head.
    pub(crate) status: u16,
    /// The first of its content.
    pub(crate) body: Vec<u8>,
    /// What its head or its trailers said of a call of gRPC.
    pub(crate) code: Option<GrpcCode>,
    /// All has come.
    pub(crate) has_ended: bool,
}

/// An exchange under way.
struct Once<'a> {
    stream: &'a Stream,
    machine: Connection,
    id: u32,
    body: Vec<u8>,
    sent: usize,
    trailers: Option<Fields>,
    has_sent: bool,
    input: Vec<u8>,
    /// Of `input`, not yet read by the machine.
    filled: usize,
    keep: usize,
    /// Something came that HTTP/2 has.
    is_greeted: bool,
    answered: Answered,
}

/// Sends `message`, a whole request as HTTP/1.1 has it, over HTTP/2 on a connection on which nothing was said,
/// and reads the answer until it `is_enough`; of its content it keeps the first `keep` bytes.
///
/// # Errors
/// Why there is no answer.
pub(crate) async fn ask_once(
    stream: &Stream,
    message: &[u8],
    now: Moment,
    keep: usize,
    is_enough: impl Fn(&Answered) -> bool,
) -> io::Result<Answered> {
    let mut once = Once::begin(stream, message, keep)?;
    poll_fn(|cx| once.poll(cx, now, &is_enough)).await?;
    Ok(once.answered)
}

impl<'a> Once<'a> {
    fn begin(stream: &'a Stream, message: &[u8], keep: usize) -> io::Result<Self> {
        let scheme = match stream.is_secured() {
            true => Scheme::Https,
            false => Scheme::Http,
        };
        let (request, body, trailers) = read(message, scheme).ok_or_else(malformed)?;
        let mut machine = Connection::client(Settings::default());
        let head = RequestHead {
            method: request.method_bytes(),
            scheme: scheme.name(),
            authority: request.authority_bytes(),
            path: request.path_bytes(),
            query: request.query(),
            protocol: None,
        };
        let ends = body.is_empty() && trailers.is_none();
        let id = machine
            .send_request(head, request.fields().iter(), ends)
            .map_err(io::Error::other)?;
        Ok(Self {
            stream,
            machine,
            id,
            body,
            sent: 0,
            trailers,
            has_sent: ends,
            input: vec![0; READ],
            filled: 0,
            keep,
            is_greeted: false,
            answered: Answered::default(),
        })
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        is_enough: &impl Fn(&Answered) -> bool,
    ) -> Poll<io::Result<()>> {
        loop {
            self.write(cx)?;
            let room = self.input.get_mut(self.filled..).unwrap_or_default();
            match ready!(self.stream.poll_read(cx, room))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                count => self.filled += count,
            }
            self.read(now)?;
            if self.answered.status > 0 && (self.answered.has_ended || is_enough(&self.answered)) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends what can be sent.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            while self.machine.next_writable().is_some() {}
            self.give();
            let output = self.machine.output();
            if output.is_empty() {
                return Ok(());
            }
            match self.stream.poll_write(cx, output) {
                Poll::Ready(count) => self.machine.sent(count?),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Has the machine take as much content as it does.
    fn give(&mut self) {
        if self.has_sent {
            return;
        }
        let rest = self.body.get(self.sent..).unwrap_or_default();
        if !rest.is_empty() || self.trailers.is_none() {
            match self
                .machine
                .send_data(self.id, rest, self.trailers.is_none())
            {
                Ok(taken) => {
                    self.sent += taken.bytes;
                    self.has_sent = taken.ended;
                }
                Err(_) => self.has_sent = true, // the endpoint wants no more
            }
        }
        if self.sent == self.body.len()
            && let Some(trailers) = &self.trailers
        {
            self.has_sent = self.machine.send_trailers(self.id, trailers.iter())
                != Err(tidegate_http2::SendError::Full);
        }
    }

    /// Has the machine read what has come.
    fn read(&mut self, now: Moment) -> io::Result<()> {
        let mut at = 0;
        loop {
            let input = self.input.get(at..self.filled).unwrap_or_default();
            let is_old = !self.is_greeted && input.starts_with(b"HTTP/1");
            let received = self
                .machine
                .receive(now, input)
                .map_err(|error| match is_old {
                    true => io::Error::other("it answered in HTTP/1.1, without TLS"),
                    false => io::Error::other(error),
                })?;
            self.is_greeted |= received.consumed > 0;
            let (used, mut passed) = (received.consumed, 0);
            match received.event {
                None if used == 0 => break,
                Some(Event::Response {
                    status,
                    ends,
                    storage,
                    ..
                }) if status >= 200 => {
                    self.answered.status = status;
                    self.answered.code = grpc::code_in(storage.fields());
                    self.answered.has_ended = ends;
                }
                Some(Event::Data { data, ends, .. }) => {
                    passed = data.len();
                    let room = self.keep.saturating_sub(self.answered.body.len());
                    let kept = data.get(..room.min(passed)).unwrap_or_default();
                    self.answered.body.extend_from_slice(kept);
                    self.answered.has_ended = ends;
                }
                Some(Event::Trailers { storage, .. }) => {
                    self.answered.code = self.answered.code.or(grpc::code_in(storage.fields()));
                    self.answered.has_ended = true;
                }
                Some(Event::Reset { .. }) if !self.answered.has_ended => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                _ => {}
            }
            self.machine.release(self.id, passed);
            at += used;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

/// Reads a request that is our own: head, content, trailers.
fn read(message: &[u8], scheme: Scheme) -> Option<(Request, Vec<u8>, Option<Fields>)> {
    let end = HeadScanner::default().scan(message, &LIMITS).ok()??;
    let (head, rest) = message.split_at_checked(end)?;
    let options = Options {
        merge_slashes: false,
        // What it says of forwarding is what we have written.
        is_trusted: true,
        is_proxy: false,
    };
    let request = parse_request(head, Storage::new(), &LIMITS, scheme, options).ok()?;
    if request.framing() != Framing::Chunked {
        return Some((request, rest.to_vec(), None));
    }
    let mut decoder = ChunkDecoder::new(&LIMITS);
    let (mut body, mut rest) = (Vec::new(), rest);
    loop {
        let decoded = decoder.decode(rest).ok()?;
        body.extend_from_slice(rest.get(decoded.data.clone())?);
        rest = rest.get(decoded.consumed..)?;
        if decoded.done {
            let trailers = decoder.take_trailers();
            let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
            return Some((request, body, trailers));
        }
        if decoded.consumed == 0 {
            return None;
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no request")
}
