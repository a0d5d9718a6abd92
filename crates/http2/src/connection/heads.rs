// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Ending, Pending, Step, unpadded};
use crate::frame::{self, FrameHeader};
use crate::head::{Problem, Section};
use crate::hpack::Outcome;
use crate::streams::Stream;
use crate::{ConnectionError, ErrorCode};
use tidegate_core::{ErrorKind, Moment};

/// What a head earns of the allowance for frames of no use.
const HEAD_EARNS: u32 = 5;
/// As how many frames of no use a head counts that is larger than allowed.
const TOO_LARGE: u32 = 8;

impl Connection {
    /// HEADERS, RFC 9113 §6.2. Priority in it is of no account (§5.3.2), but for its form.
    pub(super) fn headers(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        let id = header.stream;
        let mut block = unpadded(header, payload)?;
        if header.has(frame::WITH_PRIORITY) {
            let priority;
            (priority, block) = block
                .split_at_checked(5)
                .ok_or(ConnectionError::size("HEADERS too short for its priority"))?;
            if frame::number(priority).is_some_and(|other| other & 0x7fff_ffff == id) {
                return Err(ConnectionError::protocol("a stream that depends on itself"));
            }
        }
        let is_new = self.is_server && id % 2 == 1 && id > self.last_peer;
        if is_new {
            self.last_peer = id;
        } else if self.streams.get(id).is_none() {
            self.check_absent(id)?;
        }
        let pending = Pending {
            stream: id,
            ends: header.has(frame::END_STREAM),
            is_new,
            frames: 0,
        };
        if block.len() > self.settings.header_block {
            return Err(ConnectionError::calm("a header block larger than allowed"));
        }
        if header.has(frame::END_HEADERS) {
            return self.section(now, pending, block);
        }
        self.block.clear();
        self.block.extend_from_slice(block);
        self.pending = Some(pending);
        Ok(None)
    }

    /// CONTINUATION, RFC 9113 §6.10.
    pub(super) fn continuation(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        let Some(mut pending) = self.pending else {
            return Err(ConnectionError::protocol("CONTINUATION without HEADERS"));
        };
        self.glitch(now, 1)?;
        pending.frames += 1;
        if pending.frames > self.settings.continuations {
            return Err(ConnectionError::calm("too many CONTINUATION frames"));
        }
        if self.block.len() + payload.len() > self.settings.header_block {
            return Err(ConnectionError::calm("a header block larger than allowed"));
        }
        self.block.reserve_exact(payload.len());
        self.block.extend_from_slice(payload);
        if !header.has(frame::END_HEADERS) {
            self.pending = Some(pending);
            return Ok(None);
        }
        self.pending = None;
        let block = std::mem::take(&mut self.block);
        let step = self.section(now, pending, &block);
        if block.capacity() <= super::KEPT {
            self.block = block;
        }
        step
    }

    /// A whole header block. It is decoded also when nobody wants it: the table must stay the peer's.
    fn section(
        &mut self,
        now: Moment,
        pending: Pending,
        block: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        let section = match self.streams.get(pending.stream) {
            None if pending.is_new => Section::Request,
            Some(stream) if !self.is_server && !stream.head_received => Section::Response,
            _ => Section::Trailers,
        };
        self.head.begin(section);
        let outcome = self
            .decoder
            .decode(block, self.settings.header_size as usize, &mut self.head)
            .map_err(|error| ConnectionError::new(ErrorCode::COMPRESSION_ERROR, error.0))?;
        self.decoder.shrink(super::KEPT);
        self.glitches.earn(HEAD_EARNS);
        let judged = match outcome {
            Outcome::Whole => self.head.finish(self.settings.connect_protocol),
            Outcome::TooLarge => Err(Problem::TooMany),
        };
        match section {
            Section::Request => self.request(now, pending, judged),
            Section::Response => self.response(now, pending, judged),
            Section::Trailers if self.streams.get(pending.stream).is_some() => {
                self.trailers(now, pending, judged)
            }
            Section::Trailers => self.glitch(now, HEAD_EARNS + 1).map(|()| None),
        }
    }

    fn request(
        &mut self,
        now: Moment,
        Pending {
            stream: id, ends, ..
        }: Pending,
        judged: Result<(), Problem>,
    ) -> Result<Option<Step>, ConnectionError> {
        if matches!(self.ending, Ending::Told(last) if id > last) {
            // The peer did not know yet; it sends it again elsewhere.
            self.glitch(now, HEAD_EARNS + 1)?;
            return Ok(None);
        }
        if self.streams.len() >= self.settings.concurrent_streams as usize {
            if self.is_acknowledged {
                self.provoked(now)?;
            } else {
                self.glitch(now, HEAD_EARNS + 1)?;
            }
            self.refuse(id, ErrorCode::REFUSED_STREAM);
            return Ok(None);
        }
        let expected = self.head.content_length();
        let malformed = match judged {
            Err(Problem::Malformed(detail)) => Some(detail),
            Ok(()) if ends && expected.is_some_and(|length| length > 0) => {
                Some("no content where content-length announces it")
            }
            Err(Problem::TooMany) | Ok(()) => None,
        };
        if let Some(detail) = malformed {
            self.provoked(now)?;
            let code = ErrorCode::PROTOCOL_ERROR;
            self.refuse(id, code);
            return Ok(Some(Step::Reset {
                stream: id,
                code,
                by_peer: false,
                detail,
            }));
        }
        if judged.is_err() {
            // It is answered, but costs as much as many that are not refused.
            self.glitch(now, HEAD_EARNS + TOO_LARGE)?;
        }
        let mut stream = Stream::new(id, self.peer.window, self.window);
        stream.head_received = true;
        stream.remote_ended = ends;
        let is_head = self.head.method_is(b"HEAD");
        stream.is_head = is_head;
        stream.expected = expected;
        self.streams.open(stream);
        Ok(Some(match judged {
            Ok(()) => Step::Request { stream: id, ends },
            Err(_) => Step::Refused {
                stream: id,
                kind: ErrorKind::RequestHeaderSize,
                is_head,
                ends,
            },
        }))
    }

    fn response(
        &mut self,
        now: Moment,
        Pending {
            stream: id, ends, ..
        }: Pending,
        judged: Result<(), Problem>,
    ) -> Result<Option<Step>, ConnectionError> {
        if let Err(problem) = judged {
            return self.section_error(now, id, problem);
        }
        let status = self.head.status();
        let length = self.head.content_length();
        let most = self.settings.informational;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if status < 200 {
            if ends || status == 101 {
                let problem = Problem::Malformed("an interim response that ends, or 101");
                return self.section_error(now, id, problem);
            }
            if stream.informational >= most {
                return self.section_error(now, id, Problem::TooMany);
            }
            stream.informational += 1;
            return Ok(Some(Step::Response { stream: id, ends }));
        }
        let has_content = !stream.is_head && status != 204 && status != 304;
        let expected = if has_content { length } else { Some(0) };
        if ends && expected.is_some_and(|length| length > 0) {
            let problem = Problem::Malformed("no content where content-length announces it");
            return self.section_error(now, id, problem);
        }
        stream.head_received = true;
        stream.remote_ended = ends;
        stream.expected = expected;
        if ends {
            self.close_if_ended(id);
        }
        Ok(Some(Step::Response { stream: id, ends }))
    }

    fn trailers(
        &mut self,
        now: Moment,
        Pending {
            stream: id, ends, ..
        }: Pending,
        judged: Result<(), Problem>,
    ) -> Result<Option<Step>, ConnectionError> {
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if stream.remote_ended {
            return self.stream_error(now, id, ErrorCode::STREAM_CLOSED, "HEADERS behind the end");
        }
        let is_short = stream.expected.is_some_and(|left| left > 0);
        let problem = match judged {
            Err(problem) => Some(problem),
            Ok(()) if !ends => Some(Problem::Malformed("a second head that is no trailers")),
            Ok(()) if is_short => Some(Problem::Malformed("content shorter than content-length")),
            Ok(()) => None,
        };
        if let Some(problem) = problem {
            return self.section_error(now, id, problem);
        }
        stream.remote_ended = true;
        self.close_if_ended(id);
        Ok(Some(Step::Trailers { stream: id }))
    }

    fn section_error(
        &mut self,
        now: Moment,
        id: u32,
        problem: Problem,
    ) -> Result<Option<Step>, ConnectionError> {
        match problem {
            Problem::Malformed(detail) => {
                self.stream_error(now, id, ErrorCode::PROTOCOL_ERROR, detail)
            }
            Problem::TooMany => self.stream_error(
                now,
                id,
                ErrorCode::ENHANCE_YOUR_CALM,
                "more or larger fields, or more interim responses, than allowed",
            ),
        }
    }
}
