// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Step};
use crate::frame::{self, FrameHeader};
use crate::{ConnectionError, ErrorCode, Event, Received};
use tidegate_core::Moment;

impl Connection {
    /// Reads from `input`, the bytes that arrived and were not consumed before, up to the next
    /// event. `now` is for limits over time.
    ///
    /// To be called again with the rest until there is no event. A frame other than DATA is read
    /// when all of it is there, so `input` must be able to grow to 16,393 bytes.
    ///
    /// # Errors
    /// The peer broke the protocol or passed a limit. The output ends with GOAWAY and is to be
    /// written before the connection is closed; further calls return the same error.
    pub fn receive<'a>(
        &'a mut self,
        now: Moment,
        input: &'a [u8],
    ) -> Result<Received<'a>, ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut at = 0;
        match self.read(now, input, &mut at) {
            Ok(step) => Ok(Received {
                consumed: at,
                event: step.and_then(|step| self.event(step, input)),
            }),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn read(
        &mut self,
        now: Moment,
        input: &[u8],
        at: &mut usize,
    ) -> Result<Option<Step>, ConnectionError> {
        if let Some(stream) = self.refused.pop_front() {
            return Ok(Some(Step::Reset {
                stream,
                code: ErrorCode::REFUSED_STREAM,
                by_peer: true,
                detail: "",
            }));
        }
        if !self.has_preface && !self.read_preface(input, at)? {
            return Ok(None);
        }
        loop {
            let rest = input.get(*at..).unwrap_or_default();
            if let Some(content) = self.content {
                let before = *at;
                let step = self.content(now, content, rest, at)?;
                if step.is_some() {
                    return Ok(step);
                }
                if self.content.is_some() && *at == before {
                    return Ok(None);
                }
                continue;
            }
            let Some(header) = FrameHeader::read(rest) else {
                return Ok(None);
            };
            self.check(header)?;
            if header.kind == frame::DATA {
                let Some(step) = self.data(now, header, rest, at)? else {
                    return Ok(None);
                };
                if step.is_some() {
                    return Ok(step);
                }
                continue;
            }
            let end = frame::HEADER + header.length as usize;
            let Some(payload) = rest.get(frame::HEADER..end) else {
                return Ok(None);
            };
            *at += end;
            let step = self.frame(now, header, payload)?;
            if self.output.control_len() > self.settings.control {
                return Err(ConnectionError::calm("answers to control frames pile up"));
            }
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// The client's preface, RFC 9113 §3.4; whether all of it has come.
    fn read_preface(&mut self, input: &[u8], at: &mut usize) -> Result<bool, ConnectionError> {
        let length = input.len().min(frame::PREFACE.len());
        if input.get(..length) != frame::PREFACE.get(..length) {
            return Err(ConnectionError::protocol("no HTTP/2 preface"));
        }
        self.has_preface = length == frame::PREFACE.len();
        if self.has_preface {
            *at = length;
        }
        Ok(self.has_preface)
    }

    /// What can be said against a frame by its header.
    #[inline]
    fn check(&self, header: FrameHeader) -> Result<(), ConnectionError> {
        if header.length > frame::MIN_MAX_FRAME {
            return Err(ConnectionError::size("a frame larger than allowed"));
        }
        if !self.has_settings && (header.kind != frame::SETTINGS || header.has(frame::ACK)) {
            return Err(ConnectionError::protocol("no SETTINGS behind the preface"));
        }
        if let Some(pending) = self.pending
            && (header.kind != frame::CONTINUATION || header.stream != pending.stream)
        {
            return Err(ConnectionError::protocol("a frame within a header block"));
        }
        Ok(())
    }

    fn frame(
        &mut self,
        now: Moment,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Step>, ConnectionError> {
        match header.kind {
            frame::HEADERS => self.headers(now, header, payload),
            frame::CONTINUATION => self.continuation(now, header, payload),
            frame::RST_STREAM => self.reset_by_peer(now, header, payload),
            frame::SETTINGS => self.settings(now, header, payload),
            frame::PING => self.pinged(now, header, payload),
            frame::GOAWAY => self.goaway_by_peer(now, header, payload),
            frame::WINDOW_UPDATE => self.window_update(now, header, payload),
            frame::PRIORITY => self.priority(now, header, payload),
            frame::PUSH_PROMISE => Err(ConnectionError::protocol("PUSH_PROMISE")),
            _ => self.glitch(now, 1).map(|()| None),
        }
    }

    /// Counts a frame of no use.
    #[inline]
    pub(super) fn glitch(&mut self, now: Moment, count: u32) -> Result<(), ConnectionError> {
        if self.glitches.spend(now, count) {
            Ok(())
        } else {
            Err(ConnectionError::calm("too many frames of no use"))
        }
    }

    fn event<'a>(&'a mut self, step: Step, input: &'a [u8]) -> Option<Event<'a>> {
        Some(match step {
            Step::Request { stream, ends } => {
                let (pseudo, storage) = self.head.request();
                Event::Request {
                    stream,
                    pseudo,
                    storage,
                    ends,
                }
            }
            Step::Response { stream, ends } => Event::Response {
                stream,
                status: self.head.status(),
                storage: &mut self.head.storage,
                ends,
            },
            Step::Refused {
                stream,
                kind,
                is_head,
                ends,
            } => Event::Refused {
                stream,
                kind,
                is_head,
                ends,
            },
            Step::Data {
                stream,
                start,
                end,
                ends,
            } => Event::Data {
                stream,
                data: input.get(start..end)?,
                ends,
            },
            Step::Trailers { stream } => Event::Trailers {
                stream,
                storage: &mut self.head.storage,
            },
            Step::Reset {
                stream,
                code,
                by_peer,
                detail,
            } => Event::Reset {
                stream,
                code,
                by_peer,
                detail,
            },
            Step::GoAway { last_stream, code } => Event::GoAway { last_stream, code },
            Step::Settings => Event::Settings,
            Step::Pong => Event::Pong,
        })
    }
}
