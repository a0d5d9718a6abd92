// SPDX-License-Identifier: Apache-2.0
use crate::frame::FrameHeader;

/// Bytes that wait to be written, and how many of them answer control frames.
///
/// Those are counted in two spans of the output, an old and a new one: when the old one is written,
/// the new one takes its place. So the count never lags behind by more than what waits.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// Of `bytes`, written already.
    start: usize,
    /// All bytes ever written.
    written: u64,
    old: usize,
    new: usize,
    /// Where in all bytes the old span ends.
    old_end: u64,
}

impl Output {
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The first `count` bytes of it have been written.
    pub(crate) fn sent(&mut self, count: usize) {
        let count = count.min(self.len());
        self.start += count;
        self.written += count as u64;
        if self.written >= self.old_end {
            self.old = self.new;
            self.new = 0;
            self.old_end = self.written + self.len() as u64;
        }
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
            (self.old, self.new) = (0, 0);
        }
    }

    /// Where to append frames that are no answers to control frames.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        // What was written is cut off when it is most of the memory.
        if self.start > 0 && self.start >= self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Appends a control frame.
    pub(crate) fn control(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let header = FrameHeader {
            length: payload.len() as u32,
            kind,
            flags,
            stream,
        };
        if self.old + self.new == 0 {
            self.old_end = self.written + self.len() as u64;
        }
        let buffer = self.buffer();
        buffer.extend_from_slice(&header.bytes());
        buffer.extend_from_slice(payload);
        self.new += crate::frame::HEADER + payload.len();
    }

    /// Bytes of control frames that wait.
    #[inline]
    pub(crate) fn control_len(&self) -> usize {
        self.old + self.new
    }

    /// Makes room for `count` bytes, in steps that double but do not pass `most` bytes in all: the
    /// vector's own would take up to twice what is ever used.
    #[inline]
    pub(crate) fn reserve(&mut self, count: usize, most: usize) {
        let buffer = self.buffer();
        let needed = buffer.len() + count;
        if needed > buffer.capacity() {
            let target = needed.max((buffer.capacity() * 2).min(most));
            buffer.reserve_exact(target - buffer.len());
        }
    }

    /// Gives back what a head made the vector grow by beyond `most` bytes.
    #[inline]
    pub(crate) fn trim(&mut self, most: usize) {
        if self.bytes.capacity() > most {
            self.bytes.shrink_to(most);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives memory back, beyond `most` bytes, if nothing waits.
    pub(crate) fn shrink(&mut self, most: usize) {
        if self.bytes.is_empty() && self.bytes.capacity() > most {
            self.bytes = Vec::new();
        }
    }
}
