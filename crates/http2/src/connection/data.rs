// SPDX-License-Identifier: Apache-2.0
use super::{Connection, Content, Step};
use crate::frame::{self, FrameHeader};
use crate::{ConnectionError, ErrorCode};
use tidegate_core::Moment;

/// Released content of which the peer is told, where a window was widened.
const STEP: u32 = 8 << 10;

impl Connection {
    /// The beginning of a DATA frame, RFC 9113 §6.1. The outer `None`: more input is needed.
    pub(super) fn data(
        &mut self,
        now: Moment,
        header: FrameHeader,
        rest: &[u8],
        at: &mut usize,
    ) -> Result<Option<Option<Step>>, ConnectionError> {
        let mut used = frame::HEADER;
        let (mut left, mut padding) = (header.length, 0);
        if header.has(frame::PADDED) {
            left = left
                .checked_sub(1)
                .ok_or(ConnectionError::size("a padded frame without padding"))?;
            let Some(&length) = rest.get(used) else {
                return Ok(None);
            };
            used += 1;
            padding = u32::from(length);
            left = left
                .checked_sub(padding)
                .ok_or(ConnectionError::protocol("more padding than payload"))?;
        }
        *at += used;
        let size = i64::from(header.length);
        if size > self.receive_window {
            return Err(ConnectionError::new(
                ErrorCode::FLOW_CONTROL_ERROR,
                "more content than the connection's window",
            ));
        }
        self.receive_window -= size;
        let ends = header.has(frame::END_STREAM);
        if left == 0 && !ends {
            self.glitch(now, 1)?;
        }
        // Padding and its length are of no use to anyone: the window takes them back at once.
        let idle = header.length - left;
        let mut step = None;
        self.content = Some(Content {
            stream: header.stream,
            left,
            padding,
            ends,
        });
        match self.streams.get_mut(header.stream) {
            None => {
                self.check_absent(header.stream)?;
                self.glitch(now, 1)?;
            }
            Some(stream) if stream.remote_ended => {
                step = self.stream_error(
                    now,
                    header.stream,
                    ErrorCode::STREAM_CLOSED,
                    "content behind the end",
                )?;
            }
            Some(stream) if !self.is_server && !stream.head_received => {
                step = self.stream_error(
                    now,
                    header.stream,
                    ErrorCode::PROTOCOL_ERROR,
                    "content before the head",
                )?;
            }
            Some(stream) if size > stream.receive_window => {
                step = self.stream_error(
                    now,
                    header.stream,
                    ErrorCode::FLOW_CONTROL_ERROR,
                    "more content than the window",
                )?;
            }
            Some(stream) => {
                stream.receive_window -= size;
                stream.held += idle;
                self.release(header.stream, idle as usize);
                return Ok(Some(step));
            }
        }
        self.release_connection(idle);
        Ok(Some(step))
    }

    /// What has arrived of a DATA frame's payload.
    pub(super) fn content(
        &mut self,
        now: Moment,
        mut content: Content,
        rest: &[u8],
        at: &mut usize,
    ) -> Result<Option<Step>, ConnectionError> {
        let id = content.stream;
        let taken = (content.left as usize).min(rest.len());
        let padding = (content.padding as usize).min(rest.len() - taken);
        let start = *at;
        *at += taken + padding;
        content.left -= taken as u32;
        content.padding -= padding as u32;
        let is_whole = content.left == 0 && content.padding == 0;
        let is_last = content.ends && content.left == 0;
        let had_content = taken > 0;
        self.content = (!is_whole).then_some(content);
        let Some(stream) = self.streams.get_mut(id) else {
            // It was reset: nobody waits for this.
            self.release_connection(taken as u32);
            return Ok(None);
        };
        if !had_content && (!is_last || stream.remote_ended) {
            return Ok(None);
        }
        stream.held += taken as u32;
        let mut fits = true;
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(taken as u64) {
                Some(left) => *expected = left,
                None => fits = false,
            }
            fits &= !is_last || *expected == 0;
        }
        if !fits {
            return self.stream_error(
                now,
                id,
                ErrorCode::PROTOCOL_ERROR,
                "content of another length than content-length",
            );
        }
        if is_last {
            stream.remote_ended = true;
            self.close_if_ended(id);
        }
        Ok(Some(Step::Data {
            stream: id,
            start,
            end: start + taken,
            ends: is_last,
        }))
    }

    /// Content of `stream` has been passed on: `count` bytes of the data that events brought. The
    /// windows open by as much, at the latest when half of them is used up.
    pub fn release(&mut self, stream: u32, count: usize) {
        let Some(found) = self.streams.get_mut(stream) else {
            // When the stream went its content was released.
            return;
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(found.held);
        found.held -= count;
        found.credit += count;
        // Of a window that was small at first no smaller steps are told than of another.
        let half = (self.window.saturating_add(found.widened) / 2).max(1);
        let is_due = found.credit >= half.min(STEP.max(self.window / 2)) && !found.remote_ended;
        if is_due {
            let credit = std::mem::take(&mut found.credit);
            found.receive_window += i64::from(credit);
            self.output
                .control(frame::WINDOW_UPDATE, 0, stream, &credit.to_be_bytes());
        }
        self.release_connection(count);
    }

    /// Lets the peer send `by` bytes more on `stream` than its window allows so far. For streams whose content
    /// is known to be passed on quickly: the window cannot be taken back.
    pub fn widen(&mut self, stream: u32, by: u32) {
        if let Some(found) = self.streams.get_mut(stream)
            && !found.remote_ended
            && found.receive_window + i64::from(by) <= frame::MAX_WINDOW
        {
            found.receive_window += i64::from(by);
            found.widened = found.widened.saturating_add(by);
            self.output
                .control(frame::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
        }
    }

    pub(super) fn release_connection(&mut self, count: u32) {
        self.credit += count;
        let window = self.settings.connection_window.max(frame::DEFAULT_WINDOW);
        if self.credit >= window / 2 {
            let credit = std::mem::take(&mut self.credit);
            self.receive_window += i64::from(credit);
            self.output
                .control(frame::WINDOW_UPDATE, 0, 0, &credit.to_be_bytes());
        }
    }
}
