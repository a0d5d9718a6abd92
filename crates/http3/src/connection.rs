// SPDX-License-Identifier: Apache-2.0
use crate::qpack::{self, Decoder, Outcome};
use crate::{Code, Error, Failure, Settings, varint};
use tidegate_core::Moment;
use tidegate_http2::Pseudo;
use tidegate_http2::sections::{Budget, Builder, ENTRY_OVERHEAD, Problem, Section};
use tidegate_request::{CONNECTION_FIELDS, FieldId, FieldRef, Storage};

pub(crate) const DATA: u64 = 0x0;
pub(crate) const HEADERS: u64 = 0x1;
pub(crate) const CANCEL_PUSH: u64 = 0x3;
pub(crate) const SETTINGS: u64 = 0x4;
pub(crate) const PUSH_PROMISE: u64 = 0x5;
pub(crate) const GOAWAY: u64 = 0x7;
pub(crate) const MAX_PUSH_ID: u64 = 0xd;
/// Frames of HTTP/2 that are none here, RFC 9114 §7.2.8.
pub(crate) const OF_HTTP2: [u64; 4] = [0x2, 0x6, 0x8, 0x9];

const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
/// Settings of HTTP/2 that are none here, RFC 9114 §7.2.4.1.
const NO_SETTINGS: [u64; 5] = [0x0, 0x2, 0x3, 0x4, 0x5];
/// The identifier of a GOAWAY that is only a warning: the last that a request can have.
const LAST: u64 = varint::MOST - 3;
/// Memory of one section that is kept for the next.
const KEPT: usize = 8 << 10;
/// What a head earns of the allowance for what is of no use.
const HEAD_EARNS: u32 = 5;

/// What is known of one connection besides its streams.
#[derive(Debug)]
pub struct Connection {
    pub(crate) settings: Settings,
    pub(crate) is_client: bool,
    pub(crate) builder: Builder,
    decoder: Decoder,
    glitches: Budget,
    client_resets: Budget,
    provoked_resets: Budget,
    /// Which of the peer's three streams are there: control, encoder, decoder.
    pub(crate) has: [bool; 3],
    /// Bytes of a section that the peer takes.
    peer_header_size: u64,
    is_settled: bool,
    max_push: Option<u64>,
    peer_goaway: Option<u64>,
    /// The identifier behind the last request that was taken.
    next: u64,
    /// What the client was told of the last that will be.
    told: Option<u64>,
    /// A name in lower case.
    lower: Vec<u8>,
}

impl Connection {
    /// For a connection that has just been made.
    pub fn server(settings: Settings) -> Self {
        Self::new(settings, false)
    }

    /// For a connection that we have just made to a server.
    pub fn client(settings: Settings) -> Self {
        let connect_protocol = false; // servers ask for nothing
        let settings = Settings {
            connect_protocol,
            ..settings
        };
        Self::new(settings, true)
    }

    fn new(settings: Settings, is_client: bool) -> Self {
        Self {
            is_client,
            builder: Builder::new(settings.header_fields),
            decoder: Decoder::default(),
            glitches: Budget::new(settings.glitches),
            client_resets: Budget::new(settings.client_resets),
            provoked_resets: Budget::new(settings.provoked_resets),
            has: [false; 3],
            peer_header_size: varint::MOST,
            is_settled: false,
            max_push: None,
            peer_goaway: None,
            next: 0,
            told: None,
            lower: Vec::new(),
            settings,
        }
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.builder.memory() + self.decoder.memory() + self.lower.capacity()
    }

    /// Gives back memory that only waits for the next head.
    pub fn shrink(&mut self) {
        self.builder.shrink(0);
        self.decoder.shrink(0);
        self.lower = Vec::new();
    }

    /// Whether the peer has said what it takes.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// What our control stream begins with: its type and SETTINGS (RFC 9114 §6.2.1, §7.2.4). No table is
    /// offered to the peer, which is what it takes us for without a word (RFC 9204 §5).
    pub fn preamble(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        varint::write(&mut payload, MAX_FIELD_SECTION_SIZE);
        varint::write(&mut payload, self.settings.header_size as u64);
        if self.settings.connect_protocol {
            varint::write(&mut payload, ENABLE_CONNECT_PROTOCOL);
            varint::write(&mut payload, 1);
        }
        let mut out = vec![0];
        varint::write(&mut out, SETTINGS);
        varint::write(&mut out, payload.len() as u64);
        out.extend_from_slice(&payload);
        out
    }

    /// A request begins on `stream`; false when it is refused by [`Code::REQUEST_REJECTED`], since the
    /// client was told before that none of its kind is taken.
    pub fn begin(&mut self, stream: u64) -> bool {
        if self.told.is_some_and(|told| stream >= told) {
            return false;
        }
        self.next = self.next.max(stream.saturating_add(4));
        true
    }

    /// The GOAWAY with which a server's connection begins to end, RFC 9114 §5.2: first as a warning, so that
    /// requests under way to us are taken; then with the last that was. Nothing when that was said.
    pub fn goaway(&mut self, is_last: bool) -> Vec<u8> {
        let last = if is_last { self.next } else { LAST };
        if self.told.is_some_and(|told| told <= last) {
            return Vec::new();
        }
        self.told = Some(last);
        let mut payload = Vec::new();
        varint::write(&mut payload, last);
        let mut out = Vec::new();
        varint::write(&mut out, GOAWAY);
        varint::write(&mut out, payload.len() as u64);
        out.extend_from_slice(&payload);
        out
    }

    /// The client gave a request up.
    ///
    /// # Errors
    /// When it has done so too often.
    pub fn given_up(&mut self, now: Moment) -> Result<(), Error> {
        match self.client_resets.spend(now, 1) {
            true => Ok(()),
            false => Err(Error::load("too many requests given up")),
        }
    }

    /// A request ended well.
    pub fn ended_well(&mut self) {
        self.client_resets.earn(1);
    }

    /// The client has made us reset a stream.
    ///
    /// # Errors
    /// When it has done so too often.
    pub fn provoked(&mut self, now: Moment) -> Result<(), Error> {
        match self.provoked_resets.spend(now, 1) {
            true => Ok(()),
            false => Err(Error::load("too many streams broken")),
        }
    }

    pub(crate) fn glitch(&mut self, now: Moment, count: u32) -> Result<(), Error> {
        match self.glitches.spend(now, count) {
            true => Ok(()),
            false => Err(Error::load("too much that is of no use")),
        }
    }

    /// The request that [`crate::Part::Head`] told of. The caller takes the storage, and may leave one
    /// in its place that it has no use for.
    pub fn request(&mut self) -> (Pseudo<'_>, &mut Storage) {
        self.builder.request()
    }

    /// The fields that [`crate::Part::Trailers`] told of, less those that must not come there.
    pub fn trailers(&mut self) -> &mut Storage {
        &mut self.builder.storage
    }

    /// Whether the request that [`crate::Part::Refused`] told of is a HEAD, as far as it was read.
    pub fn is_head(&self) -> bool {
        self.builder.method_is(b"HEAD")
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.builder.content_length()
    }

    /// Decodes a section; false when it is over a limit.
    pub(crate) fn section(&mut self, block: &[u8], section: Section) -> Result<bool, Failure> {
        self.builder.begin(section);
        let most = self.settings.header_size;
        let outcome = self
            .decoder
            .decode(block, most, &mut self.builder)
            .map_err(|error| Error::new(Code::QPACK_DECOMPRESSION_FAILED, error.0))?;
        self.decoder.shrink(KEPT);
        self.glitches.earn(HEAD_EARNS);
        if outcome == Outcome::TooLarge {
            return Ok(false);
        }
        match self.builder.finish(self.settings.connect_protocol) {
            Ok(()) => Ok(true),
            Err(Problem::TooMany) => Ok(false),
            Err(Problem::Malformed(detail)) => Err(Failure::message(detail)),
        }
    }

    /// A frame of the peer's control stream, its payload whole.
    pub(crate) fn control(&mut self, now: Moment, kind: u64, payload: &[u8]) -> Result<(), Error> {
        if kind == SETTINGS {
            return self.settle(payload);
        }
        self.glitch(now, 1)?;
        let id = match varint::read(payload) {
            Some((id, length)) if length == payload.len() => id,
            _ => {
                return Err(Error::new(
                    Code::FRAME_ERROR,
                    "a frame that is no identifier",
                ));
            }
        };
        let wrong = |detail| Err(Error::new(Code::ID_ERROR, detail));
        match kind {
            // Nothing was ever pushed.
            CANCEL_PUSH => wrong("CANCEL_PUSH of what was not pushed"),
            MAX_PUSH_ID if self.max_push.is_some_and(|most| id < most) => {
                wrong("MAX_PUSH_ID that takes back what was allowed")
            }
            MAX_PUSH_ID => {
                self.max_push = Some(id);
                Ok(())
            }
            // A server names a request of ours, which are the streams 0, 4, 8 and so on.
            GOAWAY if self.is_client && id % 4 != 0 => wrong("GOAWAY with no request's stream"),
            _ if self.peer_goaway.is_some_and(|told| id > told) => {
                wrong("GOAWAY with a larger identifier than before")
            }
            _ => {
                self.peer_goaway = Some(id);
                Ok(())
            }
        }
    }

    fn settle(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        let wrong = |detail| Err(Error::new(Code::SETTINGS_ERROR, detail));
        let mut seen = Vec::new();
        while !payload.is_empty() {
            let read = varint::read(payload).and_then(|(id, first)| {
                let (value, second) = varint::read(payload.get(first..)?)?;
                Some((id, value, payload.get(first + second..)?))
            });
            let Some((id, value, rest)) = read else {
                return Err(Error::new(
                    Code::FRAME_ERROR,
                    "SETTINGS that end within one",
                ));
            };
            payload = rest;
            if NO_SETTINGS.contains(&id) {
                return wrong("a setting of HTTP/2");
            }
            if seen.contains(&id) {
                return wrong("a setting twice");
            }
            seen.push(id);
            match id {
                MAX_FIELD_SECTION_SIZE => self.peer_header_size = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return wrong("ENABLE_CONNECT_PROTOCOL that is neither 0 nor 1");
                }
                _ => {}
            }
        }
        self.is_settled = true;
        Ok(())
    }

    /// The HEADERS frame of a response, final or interim; `None` when the client takes no head of this
    /// size (RFC 9114 §4.2.2). Of `fields`, those that concern a connection are left out; names go in
    /// lower case.
    pub fn response<'f>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
    ) -> Option<Vec<u8>> {
        self.frame(42, |out| qpack::status(out, status), fields)
    }

    /// The HEADERS frame of trailers, of a response or a request; else as [`Connection::response`].
    pub fn response_trailers<'f>(
        &mut self,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
    ) -> Option<Vec<u8>> {
        self.frame(0, |_| {}, fields)
    }

    /// A HEADERS frame with what `begin` writes, which has `more` bytes as they are counted, and `fields`.
    pub(crate) fn frame<'f>(
        &mut self,
        more: usize,
        begin: impl FnOnce(&mut Vec<u8>),
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
    ) -> Option<Vec<u8>> {
        let size: usize = fields
            .clone()
            .map(|field| field.name.len() + field.value.len() + ENTRY_OVERHEAD)
            .sum();
        if (size + more) as u64 > self.peer_header_size {
            return None;
        }
        let mut section = Vec::with_capacity(size.min(1 << 10));
        qpack::begin(&mut section);
        begin(&mut section);
        for field in fields {
            if !self.is_sent(&field) {
                continue;
            }
            let FieldRef {
                id,
                name,
                value,
                is_secret,
            } = field;
            qpack::field(&mut section, id, name, value, is_secret, &mut self.lower);
        }
        let mut out = Vec::with_capacity(section.len() + 9);
        varint::write(&mut out, HEADERS);
        varint::write(&mut out, section.len() as u64);
        out.extend_from_slice(&section);
        Some(out)
    }

    /// Whether a field is one of the message, and not of a connection over HTTP/1.1.
    fn is_sent(&self, field: &FieldRef<'_>) -> bool {
        match field.id {
            // It is `:authority`.
            FieldId::Host => !self.is_client,
            FieldId::Te => self.is_client && field.value.eq_ignore_ascii_case(b"trailers"),
            id => !CONNECTION_FIELDS.has(id),
        }
    }

    /// What goes before `length` bytes of content.
    pub fn data_head(length: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(9);
        varint::write(&mut out, DATA);
        varint::write(&mut out, length);
        out
    }
}
