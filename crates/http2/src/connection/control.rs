// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Ending, Step};
use crate::frame::{self, FrameHeader};
use crate::streams::Turn;
use crate::{ConnectionError, ErrorCode};
use tidegate_core::Moment;

/// What our PINGs say: behind the warning of an end, and for [`Connection::ping`].
const GOODBYE: &[u8; 8] = b"goodbye.";
const PROBE: &[u8; 8] = b"alive?!.";

/// SETTINGS behind the first cost more than other frames: each goes through all streams.
const SETTINGS_COST: u32 = 10;

const TOO_LARGE: ConnectionError =
    ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, "a window above 2^31-1");

impl Connection {
    /// SETTINGS, RFC 9113 §6.5.
    pub(super) fn settings(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        if header.has(frame::ACK) {
            if !payload.is_empty() {
                return Err(ConnectionError::size("an acknowledgement with a payload"));
            }
            return self.acknowledged(now).map(|()| None);
        }
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(ConnectionError::size(
                "SETTINGS of a size that is no multiple of 6",
            ));
        }
        if self.has_settings {
            self.glitch(now, SETTINGS_COST)?;
        }
        self.has_settings = true;
        let before = self.peer.window;
        for &[a, b, c, d, e, f] in entries {
            self.setting(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))?;
        }
        self.move_windows(before)?;
        self.output.control(frame::SETTINGS, frame::ACK, 0, &[]);
        Ok((!self.is_server).then_some(Step::Settings))
    }

    fn setting(&mut self, name: u16, value: u32) -> Result<(), ConnectionError> {
        match name {
            frame::HEADER_TABLE_SIZE => self.encoder.set_most(value as usize),
            frame::ENABLE_PUSH if value > 1 || (value == 1 && !self.is_server) => {
                return Err(ConnectionError::protocol("ENABLE_PUSH other than allowed"));
            }
            frame::MAX_CONCURRENT_STREAMS => self.peer.concurrent_streams = value,
            frame::INITIAL_WINDOW_SIZE => {
                if i64::from(value) > frame::MAX_WINDOW {
                    return Err(TOO_LARGE);
                }
                self.peer.window = value;
            }
            frame::MAX_FRAME_SIZE => {
                if !(frame::MIN_MAX_FRAME..1 << 24).contains(&value) {
                    return Err(ConnectionError::protocol("MAX_FRAME_SIZE out of range"));
                }
                self.peer.max_frame = value;
            }
            frame::MAX_HEADER_LIST_SIZE => self.peer.header_size = value,
            frame::ENABLE_CONNECT_PROTOCOL => {
                if value > 1 || (value == 0 && self.peer.connect_protocol) {
                    return Err(ConnectionError::protocol(
                        "ENABLE_CONNECT_PROTOCOL taken back",
                    ));
                }
                self.peer.connect_protocol = value == 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// Windows of streams follow INITIAL_WINDOW_SIZE, also below zero. RFC 9113 §6.9.2.
    fn move_windows(&mut self, before: u32) -> Result<(), ConnectionError> {
        let by = i64::from(self.peer.window) - i64::from(before);
        if by == 0 {
            return Ok(());
        }
        let mut opened = Vec::new();
        for stream in self.streams.iter_mut() {
            stream.send_window += by;
            if stream.send_window > frame::MAX_WINDOW {
                return Err(TOO_LARGE);
            }
            if stream.turn == Turn::Stalled && stream.send_window > 0 {
                opened.push(stream.id);
            }
        }
        for id in opened {
            self.streams.enqueue(id);
        }
        Ok(())
    }

    /// Ours are in force from now on.
    fn acknowledged(&mut self, now: Moment) -> Result<(), ConnectionError> {
        if self.is_acknowledged {
            return self.glitch(now, 1);
        }
        self.is_acknowledged = true;
        let by = i64::from(self.settings.stream_window) - i64::from(self.window);
        self.window = self.settings.stream_window;
        for stream in self.streams.iter_mut() {
            stream.receive_window += by;
        }
        // What was released and not told, since it was little of the old window, may be all that
        // the peer waits for in the new one.
        let streams: Vec<u32> = self.streams.iter().map(|stream| stream.id).collect();
        for id in streams {
            self.release(id, 0);
        }
        self.decoder.set_limit(self.settings.decoder_table as usize);
        Ok(())
    }

    /// PING, RFC 9113 §6.7.
    pub(super) fn pinged(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        if payload.len() != 8 {
            return Err(ConnectionError::size("PING of another size than 8"));
        }
        if !header.has(frame::ACK) {
            self.glitch(now, 1)?;
            self.output.control(frame::PING, frame::ACK, 0, payload);
            return Ok(None);
        }
        if payload == GOODBYE && self.ending == Ending::Warned {
            self.tell_end();
            return Ok(None);
        }
        if payload == PROBE && self.pings > 0 {
            self.pings -= 1;
            return Ok(Some(Step::Pong));
        }
        self.glitch(now, 1).map(|()| None)
    }

    /// Asks the peer for a sign of life: [`crate::Event::Pong`]. RFC 9113 §6.7.
    pub fn ping(&mut self) {
        if self.pings < u8::MAX {
            self.pings += 1;
            self.output.control(frame::PING, 0, 0, PROBE);
        }
    }

    /// Begins an orderly end: the peer is asked to begin no more streams, those it began until it
    /// knew are taken, and once it has answered it is told which was the last. RFC 9113 §6.8.
    ///
    /// The connection may be closed when [`Connection::is_drained`]. A peer that does not answer
    /// gets [`Connection::goaway`].
    pub fn shut_down(&mut self) {
        if self.ending == Ending::No && self.failed.is_none() {
            self.ending = Ending::Warned;
            self.say_goaway(0x7fff_ffff, ErrorCode::NO_ERROR);
            self.output.control(frame::PING, 0, 0, GOODBYE);
        }
    }

    /// Tells the peer at once that no stream beyond those that it has begun is taken.
    pub fn goaway(&mut self, code: ErrorCode) {
        if self.failed.is_none() {
            let last = self.last_taken();
            self.ending = Ending::Told(last);
            self.say_goaway(last, code);
        }
    }

    fn tell_end(&mut self) {
        self.ending = Ending::Told(self.last_peer);
        self.say_goaway(self.last_peer, ErrorCode::NO_ERROR);
    }

    /// Whether the end was told, or the peer told its own, and no stream is left.
    pub fn is_drained(&self) -> bool {
        let is_ending = matches!(self.ending, Ending::Told(_)) || self.peer_last.is_some();
        is_ending && self.streams.len() == 0 && self.refused.is_empty()
    }

    /// GOAWAY, RFC 9113 §6.8.
    pub(super) fn goaway_by_peer(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        let (Some(last), Some(code)) = (
            frame::number(payload),
            payload.get(4..).and_then(frame::number),
        ) else {
            return Err(ConnectionError::size("GOAWAY shorter than 8"));
        };
        self.glitch(now, 1)?;
        // It may only be lowered; what was given up stays so.
        let last = (last & 0x7fff_ffff).min(self.peer_last.unwrap_or(u32::MAX));
        self.peer_last = Some(last);
        if !self.is_server {
            let left_out: Vec<u32> = self
                .streams
                .iter()
                .map(|stream| stream.id)
                .filter(|&id| id > last)
                .collect();
            for id in left_out {
                self.remove(id);
                self.streams.note_reset(id);
                self.refused.push_back(id);
            }
        }
        Ok(Some(Step::GoAway {
            last_stream: last,
            code: ErrorCode(code),
        }))
    }

    /// WINDOW_UPDATE, RFC 9113 §6.9.
    pub(super) fn window_update(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        let &[a, b, c, d] = payload else {
            return Err(ConnectionError::size(
                "WINDOW_UPDATE of another size than 4",
            ));
        };
        let more = i64::from(u32::from_be_bytes([a & 0x7f, b, c, d]));
        self.glitch(now, 1)?;
        let id = header.stream;
        if id == 0 {
            if more == 0 {
                return Err(ConnectionError::protocol("WINDOW_UPDATE by nothing"));
            }
            self.send_window += more;
            return if self.send_window > frame::MAX_WINDOW {
                Err(TOO_LARGE)
            } else {
                Ok(None)
            };
        }
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if more == 0 {
            let code = ErrorCode::PROTOCOL_ERROR;
            return self.stream_error(now, id, code, "WINDOW_UPDATE by nothing");
        }
        stream.send_window += more;
        if stream.send_window > frame::MAX_WINDOW {
            let code = ErrorCode::FLOW_CONTROL_ERROR;
            return self.stream_error(now, id, code, "a window above 2^31-1");
        }
        if stream.turn == Turn::Stalled && stream.send_window > 0 {
            self.streams.enqueue(id);
        }
        Ok(None)
    }

    /// PRIORITY, RFC 9113 §6.3: of no account but for its form.
    pub(super) fn priority(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        // Errors of the connection where the RFC asks for the stream's: the stream may be idle, and
        // nobody is to make us send resets.
        if header.stream == 0 {
            return Err(ConnectionError::protocol("PRIORITY without stream"));
        }
        if payload.len() != 5 {
            return Err(ConnectionError::size("PRIORITY of another size than 5"));
        }
        if frame::number(payload).is_some_and(|other| other & 0x7fff_ffff == header.stream) {
            return Err(ConnectionError::protocol("a stream that depends on itself"));
        }
        self.glitch(now, 1).map(|()| None)
    }
}
