// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Ending};
use crate::frame::{self, FrameHeader};
use crate::streams::{Stream, Turn};
use crate::{ErrorCode, SendError};
use tidegate_request::{CONNECTION_FIELDS, FieldId, FieldRef};

/// What a DATA frame that is sent earns of the allowance for frames of no use: the peer answers it
/// by a WINDOW_UPDATE for the stream and one for the connection.
const DATA_EARNS: u32 = 2;

/// A request as it goes to a server.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// A token.
    pub method: &'a [u8],
    /// `http` or `https`. Of no account for a plain CONNECT.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a [u8],
    /// The path, from `/` on, or `*`. Of no account for a plain CONNECT.
    pub path: &'a [u8],
    /// The query without `?`.
    pub query: Option<&'a [u8]>,
    /// For an extended CONNECT, if the peer takes it ([`Connection::takes_protocol`]).
    pub protocol: Option<&'a [u8]>,
}

/// What [`Connection::send_data`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes, from the front.
    pub bytes: usize,
    /// The stream was ended: all was taken, and it was the last.
    pub ended: bool,
}

impl Connection {
    /// Sends a request; returns its stream.
    ///
    /// Of `fields`, those that concern a connection (RFC 9113 §8.2.2) and `host` are left out, but
    /// for `te: trailers`; names go in lower case. `ends`: no content follows.
    ///
    /// # Errors
    /// [`SendError::Ending`], [`SendError::NoStream`], [`SendError::TooLarge`],
    /// [`SendError::Full`] (there is no turn to wait for then: again when output was written), and
    /// [`SendError::Order`] on a server.
    pub fn send_request<'f>(
        &mut self,
        head: RequestHead<'_>,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
        ends: bool,
    ) -> Result<u32, SendError> {
        if self.is_server {
            return Err(SendError::Order);
        }
        if self.failed.is_some()
            || self.ending != Ending::No
            || self.peer_last.is_some()
            || self.next_own > 0x7fff_ffff
        {
            return Err(SendError::Ending);
        }
        if self.room() == 0 {
            return Err(SendError::NoStream);
        }
        let query = head.query.map_or(0, |query| query.len() + 1);
        let more = head.path.len() + query + head.authority.len() + head.method.len();
        self.check_size(more + 5 * 42, fields.clone())?;
        if !self.has_room_for_head() {
            return Err(SendError::Full);
        }
        let id = self.next_own;
        self.next_own += 2;
        let start = self.begin_head();
        let (encoder, out) = (&mut self.encoder, self.output.buffer());
        encoder.method(out, head.method);
        encoder.authority(out, head.authority);
        if head.method != b"CONNECT" || head.protocol.is_some() {
            encoder.scheme(out, head.scheme.as_bytes());
            encoder.path(out, head.path, head.query);
        }
        if let Some(protocol) = head.protocol {
            encoder.protocol(out, protocol);
        }
        self.encode(fields, true);
        self.end_head(start, id, ends);
        let mut stream = Stream::new(id, self.peer.window, self.window);
        stream.head_sent = true;
        stream.local_ended = ends;
        stream.is_head = head.method == b"HEAD";
        self.streams.open(stream);
        Ok(id)
    }

    /// Whether the output has room for a request's head: content that waits must not keep new requests
    /// from a connection, so it is twice that for content. For clients.
    pub fn has_room_for_head(&self) -> bool {
        self.output.len() < 2 * self.settings.output
    }

    /// Sends a response, or an interim one (1xx but 101), which does not end the stream. `fields` as
    /// for [`Connection::send_request`].
    ///
    /// Where the response is whole before the request is, the rest of the request is refused by
    /// [`Connection::reset`] with [`ErrorCode::NO_ERROR`] (RFC 9113 §8.1), or read on and released.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TooLarge`], [`SendError::Full`], [`SendError::Order`].
    pub fn send_response<'f>(
        &mut self,
        stream: u32,
        status: u16,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
        ends: bool,
    ) -> Result<(), SendError> {
        let is_final = status >= 200;
        let found = self.streams.get(stream).ok_or(SendError::Closed)?;
        if !self.is_server || found.head_sent || status == 101 || (ends && !is_final) {
            return Err(SendError::Order);
        }
        self.admit(stream, 42, fields.clone())?;
        let start = self.begin_head();
        self.encoder.status(self.output.buffer(), status);
        self.encode(fields, false);
        self.end_head(start, stream, ends);
        if let Some(found) = self.streams.get_mut(stream) {
            found.head_sent = is_final;
            found.local_ended = ends;
        }
        self.close_if_ended(stream);
        Ok(())
    }

    /// Sends trailers, which end the stream. `fields` as for [`Connection::send_request`].
    ///
    /// # Errors
    /// As for [`Connection::send_response`].
    pub fn send_trailers<'f>(
        &mut self,
        stream: u32,
        fields: impl Iterator<Item = FieldRef<'f>> + Clone,
    ) -> Result<(), SendError> {
        let found = self.streams.get(stream).ok_or(SendError::Closed)?;
        if !found.head_sent || found.local_ended {
            return Err(SendError::Order);
        }
        self.admit(stream, 0, fields.clone())?;
        let start = self.begin_head();
        self.encode(fields, false);
        self.end_head(start, stream, true);
        self.end_local(stream);
        Ok(())
    }

    /// Sends of `data` what both windows, the output and the other streams' turns allow, and ends
    /// the stream with it if it `is_last` and all is taken. For the rest the stream is in turn:
    /// [`Connection::next_writable`] names it.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::Order`].
    pub fn send_data(
        &mut self,
        stream: u32,
        data: &[u8],
        is_last: bool,
    ) -> Result<Taken, SendError> {
        if self.failed.is_some() {
            return Err(SendError::Closed);
        }
        let others_wait = self.streams.has_queue();
        let id = stream;
        let stream = self.streams.get_mut(id).ok_or(SendError::Closed)?;
        if !stream.head_sent || stream.local_ended {
            return Err(SendError::Order);
        }
        let mut taken = Taken {
            bytes: 0,
            ended: false,
        };
        if data.is_empty() && !is_last {
            return Ok(taken);
        }
        stream.waits_for_head = data.is_empty();
        let may_send =
            stream.turn == Turn::Granted || !(others_wait || stream.turn == Turn::Queued);
        while may_send && !taken.ended {
            let rest = data.get(taken.bytes..).unwrap_or_default();
            let room = self
                .settings
                .output
                .saturating_sub(self.output.len())
                .saturating_sub(frame::HEADER);
            let window = stream.send_window.min(self.send_window).max(0);
            let window = usize::try_from(window).unwrap_or(usize::MAX);
            let most = (self.peer.max_frame.min(frame::MIN_MAX_FRAME) as usize)
                .min(window)
                .min(room);
            let length = rest.len().min(most);
            if room == 0 || (length == 0 && !rest.is_empty()) {
                break;
            }
            let ends = is_last && length == rest.len();
            let header = FrameHeader {
                length: length as u32,
                kind: frame::DATA,
                flags: if ends { frame::END_STREAM } else { 0 },
                stream: id,
            };
            self.output
                .reserve(frame::HEADER + length, self.settings.output);
            let out = self.output.buffer();
            out.extend_from_slice(&header.bytes());
            out.extend_from_slice(rest.get(..length).unwrap_or_default());
            stream.send_window -= length as i64;
            self.send_window -= length as i64;
            self.glitches.earn(DATA_EARNS);
            taken.bytes += length;
            taken.ended = ends;
            if others_wait || taken.bytes == data.len() {
                break;
            }
        }
        if taken.ended {
            self.end_local(id);
        } else if taken.bytes == data.len() && !data.is_empty() {
            stream.turn = Turn::None;
        } else if stream.send_window <= 0 && !data.is_empty() {
            stream.turn = Turn::Stalled;
        } else {
            self.streams.enqueue(id);
        }
        Ok(taken)
    }

    /// Whether content of `stream` would be taken now, some of it at least. If not, the stream is in turn
    /// as if some had been offered: for who would rather not have it before.
    pub fn may_send(&mut self, stream: u32) -> bool {
        let id = stream;
        let others_wait = self.streams.has_queue();
        let has_room = self.output.len() + frame::HEADER < self.settings.output;
        let window = self.send_window;
        let Some(stream) = self.streams.get_mut(id) else {
            return true;
        };
        let is_in_turn =
            stream.turn == Turn::Granted || !(others_wait || stream.turn == Turn::Queued);
        if self.failed.is_some() || (is_in_turn && has_room && window > 0 && stream.send_window > 0)
        {
            return true;
        }
        stream.waits_for_head = false;
        if stream.send_window <= 0 {
            stream.turn = Turn::Stalled;
        } else {
            self.streams.enqueue(id);
        }
        false
    }

    /// The next stream whose turn it is to send: [`Connection::send_data`] or what was
    /// [`SendError::Full`]. To be asked after [`Connection::sent`] and [`Connection::receive`],
    /// until there is none.
    pub fn next_writable(&mut self) -> Option<u32> {
        if self.failed.is_some() || self.output.len() + frame::HEADER >= self.settings.output {
            return None;
        }
        self.streams.grant(self.send_window > 0)
    }

    /// Whether a head may be sent on `stream` now; puts the stream in turn if not.
    fn admit<'f>(
        &mut self,
        id: u32,
        more: usize,
        fields: impl Iterator<Item = FieldRef<'f>>,
    ) -> Result<(), SendError> {
        self.check_size(more, fields)?;
        let is_full = self.output.len() >= self.settings.output;
        if is_full {
            self.streams.enqueue(id);
        }
        if let Some(stream) = self.streams.get_mut(id) {
            stream.waits_for_head = is_full;
            if is_full {
                return Err(SendError::Full);
            }
            if stream.turn == Turn::Granted {
                stream.turn = Turn::None;
            }
        }
        Ok(())
    }

    /// Whether the peer takes a section of this size. RFC 9113 §6.5.2.
    fn check_size<'f>(
        &self,
        more: usize,
        fields: impl Iterator<Item = FieldRef<'f>>,
    ) -> Result<(), SendError> {
        if self.failed.is_some() {
            return Err(SendError::Closed);
        }
        if self.peer.header_size == u32::MAX {
            return Ok(());
        }
        let size: usize = fields
            .map(|field| field.name.len() + field.value.len() + crate::hpack::ENTRY_OVERHEAD)
            .sum();
        if size + more > self.peer.header_size as usize {
            return Err(SendError::TooLarge);
        }
        Ok(())
    }

    /// Room for the frame's header; returns where it stands.
    fn begin_head(&mut self) -> usize {
        let out = self.output.buffer();
        let start = out.len();
        out.extend_from_slice(&[0; frame::HEADER]);
        self.encoder.begin(out);
        start
    }

    fn encode<'f>(&mut self, fields: impl Iterator<Item = FieldRef<'f>>, is_request: bool) {
        let out = self.output.buffer();
        for FieldRef {
            id,
            name,
            value,
            is_secret,
        } in fields
        {
            if CONNECTION_FIELDS.has(id) {
                if id != FieldId::Te || !is_request || !value.eq_ignore_ascii_case(b"trailers") {
                    continue;
                }
            } else if id == FieldId::Host && is_request {
                continue;
            }
            self.encoder.field(out, id, name, value, is_secret);
        }
    }

    /// Writes the frame's header, and cuts what is too long into CONTINUATION frames.
    fn end_head(&mut self, start: usize, stream: u32, ends: bool) {
        let most = self.peer.max_frame.min(frame::MIN_MAX_FRAME) as usize;
        let out = self.output.buffer();
        let body = start + frame::HEADER;
        let length = out.len() - body;
        let end_stream = if ends { frame::END_STREAM } else { 0 };
        let mut header = FrameHeader {
            length: length.min(most) as u32,
            kind: frame::HEADERS,
            flags: end_stream | frame::END_HEADERS,
            stream,
        };
        let rest = if length > most {
            header.flags = end_stream;
            out.split_off(body + most)
        } else {
            Vec::new()
        };
        if let Some(place) = out.get_mut(start..body) {
            place.copy_from_slice(&header.bytes());
        }
        let mut pieces = rest.chunks(most).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let header = FrameHeader {
                length: piece.len() as u32,
                kind: frame::CONTINUATION,
                flags: if is_last { frame::END_HEADERS } else { 0 },
                stream,
            };
            out.extend_from_slice(&header.bytes());
            out.extend_from_slice(piece);
        }
        self.output.trim(self.settings.output + (8 << 10));
    }

    fn end_local(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.local_ended = true;
            stream.turn = Turn::None;
        }
        self.close_if_ended(id);
    }

    /// Cancels a request whose answer is of no more use, or a response that cannot go on.
    pub fn cancel(&mut self, stream: u32) {
        self.reset(stream, ErrorCode::CANCEL);
    }
}
