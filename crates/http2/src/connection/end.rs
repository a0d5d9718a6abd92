// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Ending, Step};
use crate::frame::{self, FrameHeader};
use crate::{ConnectionError, ErrorCode};
use tidegate_core::Moment;

impl Connection {
    /// Closes `stream`: nobody wants it any more. What the peer still sends on it is ignored.
    pub fn reset(&mut self, stream: u32, code: ErrorCode) {
        if self.streams.get(stream).is_some() {
            self.refuse(stream, code);
            self.remove(stream);
        }
    }

    /// RST_STREAM from the peer, RFC 9113 §6.4.
    pub(super) fn reset_by_peer(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        let id = header.stream;
        if payload.len() != 4 {
            return Err(ConnectionError::size("RST_STREAM of another size than 4"));
        }
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("RST_STREAM on an idle stream"));
        }
        if !self.remove(id) {
            return self.glitch(now, 1).map(|()| None);
        }
        // Work was begun for the stream: a client that resets what it opens makes us work for free.
        if self.is_server && !self.client_resets.spend(now, 1) {
            return Err(ConnectionError::calm(
                "too many streams reset by the client",
            ));
        }
        Ok(Some(Step::Reset {
            stream: id,
            code: ErrorCode(frame::number(payload).unwrap_or_default()),
            by_peer: true,
            detail: "",
        }))
    }

    /// Resets a stream of the table because of what the peer sent. RFC 9113 §5.4.2.
    pub(super) fn stream_error(
        &mut self,
        now: Moment,
        id: u32,
        code: ErrorCode,
        detail: &'static str,
    ) -> Result<Option<Step>, ConnectionError> {
        self.provoked(now)?;
        self.reset(id, code);
        Ok(Some(Step::Reset {
            stream: id,
            code,
            by_peer: false,
            detail,
        }))
    }

    /// Counts a reset that the peer's error makes us send.
    pub(super) fn provoked(&mut self, now: Moment) -> Result<(), ConnectionError> {
        if self.provoked_resets.spend(now, 1) {
            Ok(())
        } else {
            Err(ConnectionError::calm("too many errors on streams"))
        }
    }

    /// Says RST_STREAM, for a stream of the table or one that never came into it.
    pub(super) fn refuse(&mut self, id: u32, code: ErrorCode) {
        self.output
            .control(frame::RST_STREAM, 0, id, &code.0.to_be_bytes());
        self.streams.note_reset(id);
    }

    /// Forgets a stream; whether it was there. What the caller holds of it opens the connection's
    /// window again: nobody will release it.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.remove(id) else {
            return false;
        };
        self.release_connection(stream.held);
        true
    }

    pub(super) fn close_if_ended(&mut self, id: u32) {
        if self
            .streams
            .get(id)
            .is_some_and(|stream| stream.remote_ended && stream.local_ended)
        {
            self.remove(id);
            self.client_resets.earn(1);
        }
    }

    /// Whether nobody has begun `id`. RFC 9113 §5.1.1.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.is_server, id % 2 == 1) {
            (true, true) => id > self.last_peer,
            (false, true) => id >= self.next_own,
            // Servers begin no streams: there is no push. 0 is none either.
            (_, false) => true,
        }
    }

    /// Judges a frame on a stream that is not in the table: fine if it may be on its way since
    /// before the peer knew that we closed the stream.
    pub(super) fn check_absent(&self, id: u32) -> Result<(), ConnectionError> {
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("a frame on an idle stream"));
        }
        let is_late = matches!(self.ending, Ending::Told(last) if self.is_server && id > last);
        if is_late || self.streams.was_reset(id) {
            return Ok(());
        }
        Err(ConnectionError::new(
            ErrorCode::STREAM_CLOSED,
            "a frame on a closed stream",
        ))
    }
}
