// SPDX-License-Identifier: Apache-2.0
//! The machine. One file for what arrives in each kind of frame, and one for sending.

mod control;
mod data;
mod end;
mod heads;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use send::{RequestHead, Taken};

use crate::budget::Budget;
use crate::frame::{self, FrameHeader};
use crate::head::Builder;
use crate::hpack::{Decoder, Encoder};
use crate::output::Output;
use crate::settings::PeerSettings;
use crate::streams::{Stream, Streams};
use crate::{ConnectionError, ErrorCode, Settings};
use std::collections::VecDeque;
use tidegate_core::ErrorKind;

/// Memory that stays after [`Connection::shrink`], of each buffer.
const KEPT: usize = 4 << 10;

/// A head whose CONTINUATION frames are still to come.
#[derive(Clone, Copy, Debug)]
struct Pending {
    stream: u32,
    /// Of the HEADERS frame.
    ends: bool,
    /// It begins a stream.
    is_new: bool,
    /// CONTINUATION frames so far.
    frames: u32,
}

/// A DATA frame whose payload is still arriving.
#[derive(Clone, Copy, Debug)]
struct Content {
    stream: u32,
    /// Content still to come.
    left: u32,
    /// Padding still to come behind it.
    padding: u32,
    ends: bool,
}

/// How far a graceful end has come. RFC 9113 §6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The peer was warned; new streams are taken until it has answered the PING behind.
    Warned,
    /// The peer was told the last stream that is taken.
    Told(u32),
}

/// What a step of reading found, without borrowing anything.
#[derive(Clone, Copy, Debug)]
enum Step {
    Request {
        stream: u32,
        ends: bool,
    },
    Response {
        stream: u32,
        ends: bool,
    },
    Refused {
        stream: u32,
        kind: ErrorKind,
        is_head: bool,
        ends: bool,
    },
    Data {
        stream: u32,
        start: usize,
        end: usize,
        ends: bool,
    },
    Trailers {
        stream: u32,
    },
    Reset {
        stream: u32,
        code: ErrorCode,
        by_peer: bool,
        detail: &'static str,
    },
    GoAway {
        last_stream: u32,
        code: ErrorCode,
    },
    Settings,
    Pong,
}

/// One HTTP/2 connection, of a server or a client.
///
/// For one thread. All memory it holds is counted by [`Connection::memory`]; with the default
/// settings it is at most 256 KiB between calls, whatever the peer does.
///
/// Windows: a stream's and the connection's window open again as the caller releases content, so a
/// caller that cannot pass content on stops the peer. Sending is fair: while streams wait for room,
/// each sends a frame when its turn comes ([`Connection::next_writable`]).
#[derive(Debug)]
pub struct Connection {
    is_server: bool,
    settings: Settings,
    peer: PeerSettings,
    streams: Streams,
    output: Output,
    decoder: Decoder,
    encoder: Encoder,
    head: Builder,
    /// The header block so far, while CONTINUATION frames are awaited.
    block: Vec<u8>,
    pending: Option<Pending>,
    content: Option<Content>,
    has_preface: bool,
    has_settings: bool,
    /// Ours were acknowledged, so they are in force.
    is_acknowledged: bool,
    /// Window that streams begin with: the default until ours is acknowledged.
    window: u32,
    /// Highest stream that the peer has begun.
    last_peer: u32,
    /// The next stream that we begin.
    next_own: u32,
    send_window: i64,
    receive_window: i64,
    /// Released and not yet told to the peer.
    credit: u32,
    /// Streams to be told as reset, because the peer's GOAWAY left them out.
    refused: VecDeque<u32>,
    ending: Ending,
    /// The last stream that the peer takes; none without its GOAWAY.
    peer_last: Option<u32>,
    pings: u8,
    client_resets: Budget,
    provoked_resets: Budget,
    glitches: Budget,
    failed: Option<ConnectionError>,
}

impl Connection {
    /// The server's end. Output holds its SETTINGS at once.
    pub fn server(settings: Settings) -> Self {
        Self::new(true, settings)
    }

    /// The client's end, over TLS or with prior knowledge. Output holds the preface at once.
    pub fn client(settings: Settings) -> Self {
        Self::new(false, settings)
    }

    fn new(is_server: bool, mut settings: Settings) -> Self {
        let most = frame::MAX_WINDOW as u32;
        settings.stream_window = settings.stream_window.min(most);
        settings.connection_window = settings.connection_window.min(most);
        let mut made = Self {
            is_server,
            settings,
            peer: PeerSettings::default(),
            streams: Streams::new(settings.closed_streams),
            output: Output::default(),
            decoder: Decoder::new(settings.decoder_table as usize),
            encoder: Encoder::new(settings.encoder_table as usize),
            head: Builder::new(settings.header_fields),
            block: Vec::new(),
            pending: None,
            content: None,
            has_preface: !is_server,
            has_settings: false,
            is_acknowledged: false,
            window: frame::DEFAULT_WINDOW,
            last_peer: 0,
            next_own: if is_server { 2 } else { 1 },
            send_window: i64::from(frame::DEFAULT_WINDOW),
            receive_window: i64::from(frame::DEFAULT_WINDOW),
            credit: 0,
            refused: VecDeque::new(),
            ending: Ending::No,
            peer_last: None,
            pings: 0,
            client_resets: Budget::new(settings.client_resets),
            provoked_resets: Budget::new(settings.provoked_resets),
            glitches: Budget::new(settings.glitches),
            failed: None,
        };
        made.introduce();
        made
    }

    /// Our SETTINGS, and the connection's window, which they cannot say.
    fn introduce(&mut self) {
        if !self.is_server {
            self.output.buffer().extend_from_slice(frame::PREFACE);
        }
        let settings = &self.settings;
        let mut said = vec![
            (frame::HEADER_TABLE_SIZE, settings.decoder_table),
            (frame::INITIAL_WINDOW_SIZE, settings.stream_window),
            (frame::MAX_HEADER_LIST_SIZE, settings.header_size),
        ];
        if self.is_server {
            said.push((frame::MAX_CONCURRENT_STREAMS, settings.concurrent_streams));
            if settings.connect_protocol {
                said.push((frame::ENABLE_CONNECT_PROTOCOL, 1));
            }
        } else {
            said.push((frame::ENABLE_PUSH, 0));
        }
        let payload: Vec<u8> = said
            .iter()
            .flat_map(|(name, value)| name.to_be_bytes().into_iter().chain(value.to_be_bytes()))
            .collect();
        self.output.control(frame::SETTINGS, 0, 0, &payload);
        let more = settings
            .connection_window
            .saturating_sub(frame::DEFAULT_WINDOW);
        if more > 0 {
            self.output
                .control(frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
            self.receive_window += i64::from(more);
        }
    }

    /// What is to be written next; [`Connection::sent`] takes it away.
    #[inline]
    pub fn output(&self) -> &[u8] {
        self.output.waiting()
    }

    /// The first `count` bytes of the output have been written. Streams may have their turn now.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.output.sent(count);
    }

    /// Bytes of memory held, beside the caller's storages. For the connection's budget.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.streams.memory()
            + self.output.memory()
            + self.decoder.memory()
            + self.encoder.memory()
            + self.head.memory()
            + self.block.capacity()
            + self.refused.capacity() * size_of::<u32>()
    }

    /// Gives memory back that has grown for large heads and much output. For connections that idle.
    pub fn shrink(&mut self) {
        self.output.shrink(KEPT);
        self.decoder.shrink(KEPT);
        self.head.shrink(KEPT);
        if self.block.capacity() > KEPT && self.pending.is_none() {
            self.block = Vec::new();
        }
    }

    /// Gives all memory back, of a connection on which nothing more is read or written: its streams are gone.
    pub fn discard(&mut self) {
        let end = ConnectionError::new(ErrorCode::NO_ERROR, "the connection is over");
        self.failed.get_or_insert(end);
        self.streams = Streams::new(0);
        self.output = Output::default();
        self.decoder = Decoder::new(0);
        self.encoder = Encoder::new(0);
        self.head = Builder::new(0);
        self.block = Vec::new();
        self.refused = VecDeque::new();
        (self.pending, self.content) = (None, None);
    }

    /// Streams that are open or half closed.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether a head is arriving whose end has not come: a peer must not take long over that.
    pub fn awaits_continuation(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the peer's SETTINGS have come and ours have been acknowledged. RFC 9113 §6.5.3 lets
    /// a caller end a connection on which that takes long.
    pub fn is_settled(&self) -> bool {
        self.has_settings && self.is_acknowledged
    }

    /// Streams with something to send that the peer gives no window for, in order. The caller
    /// resets those that stay so for long (CVE-2019-9517): it has their content in memory.
    pub fn stalled(&self) -> impl Iterator<Item = u32> {
        let is_shut = self.send_window <= 0;
        let waits = move |stream: &&Stream| match stream.turn {
            crate::streams::Turn::Stalled => true,
            crate::streams::Turn::None => false,
            _ => is_shut && !stream.waits_for_head,
        };
        self.streams.iter().filter(waits).map(|stream| stream.id)
    }

    /// Whether the peer takes extended CONNECT (RFC 8441 §3). For clients.
    pub fn takes_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// How many streams the peer takes at a time, as far as it has said so. For clients.
    pub fn peer_streams(&self) -> u32 {
        self.peer.concurrent_streams
    }

    /// How many more requests can be sent now. For clients.
    pub fn room(&self) -> u32 {
        if self.failed.is_some() || self.ending != Ending::No || self.peer_last.is_some() {
            return 0;
        }
        let open = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let left = (0x8000_0001_u32.saturating_sub(self.next_own)) / 2;
        self.peer.concurrent_streams.saturating_sub(open).min(left)
    }

    /// Ends the connection by an error: GOAWAY is the last that it says.
    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        if let Some(before) = self.failed {
            return before;
        }
        self.failed = Some(error);
        self.say_goaway(self.last_taken(), error.code);
        error
    }

    /// The last stream that something was or will be done for.
    fn last_taken(&self) -> u32 {
        match self.ending {
            Ending::Told(last) => last,
            _ if self.is_server => self.last_peer,
            _ => 0,
        }
    }

    fn say_goaway(&mut self, last: u32, code: ErrorCode) {
        let [a, b, c, d] = last.to_be_bytes();
        let [e, f, g, h] = code.0.to_be_bytes();
        self.output
            .control(frame::GOAWAY, 0, 0, &[a, b, c, d, e, f, g, h]);
    }
}

/// The part of a payload that is neither padding nor its length. RFC 9113 §6.1.
fn unpadded(header: FrameHeader, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    if !header.has(frame::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload
        .split_first()
        .ok_or(ConnectionError::size("a padded frame without padding"))?;
    let length = rest
        .len()
        .checked_sub(usize::from(padding))
        .ok_or(ConnectionError::protocol("more padding than payload"))?;
    Ok(rest.get(..length).unwrap_or_default())
}
