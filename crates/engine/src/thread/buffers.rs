// SPDX-License-Identifier: Apache-2.0
use std::cell::RefCell;

/// Bytes of a buffer as it is taken.
pub(crate) const BUFFER: usize = 16 << 10;
/// Bytes of a buffer for a body that is known to be long: two of the most that the kernel makes one packet of, which
/// it cuts late or, between programs of one machine, never. IP counts a packet's bytes in 16 bits, and 45 segments
/// of an Ethernet with timestamps fit. A whole number of them leaves no packet of a few bytes behind each read, and
/// two take 64 KiB and its head at once, which one does not.
pub(crate) const LARGE: usize = 2 * 45 * 1448;
/// Buffers a thread keeps of each size.
const KEPT: usize = 128;

/// A window over bytes: filled at the end, taken from the start.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What is held.
    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// One that holds `bytes` and has no room for more.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self {
            start: 0,
            end: bytes.len(),
            bytes,
        }
    }

    /// One with room for `size` bytes.
    pub(crate) fn with_room(size: usize) -> Self {
        Self {
            bytes: vec![0; size],
            start: 0,
            end: 0,
        }
    }

    /// Bytes it can hold as it is.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that are taken for it.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops `count` bytes from the start.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room to read into: at least one byte as long as `limit` bytes are not held.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else if self.bytes.len() < limit {
                let size = (self.bytes.len() * 2).clamp(BUFFER, limit.max(BUFFER));
                self.bytes.resize(size, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// All of it, grown to `size`, for bytes that are looked at and not taken.
    pub(crate) fn whole_room(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
        &mut self.bytes
    }

    /// What is held, in a buffer that has no room for more.
    pub(crate) fn shrunk(&self) -> Self {
        Self::holding(self.data().to_vec())
    }

    /// Adds `bytes`, whatever room there is.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(bytes);
        self.end = self.bytes.len();
    }

    /// Drops all but the first `count` bytes.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// `count` bytes were read into [`Self::room`].
    #[inline]
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

/// Buffers that wait for their next use, so that an idle connection owns none.
#[derive(Default)]
pub(crate) struct Buffers {
    normal: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
    output: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    pub(crate) fn take(&self) -> Buffer {
        let bytes = self
            .normal
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; BUFFER]);
        Buffer {
            bytes,
            start: 0,
            end: 0,
        }
    }

    /// One that holds `data` already.
    pub(crate) fn take_with(&self, data: &[u8]) -> Buffer {
        let mut buffer = self.take();
        if let Some(room) = buffer.room(BUFFER).get_mut(..data.len()) {
            room.copy_from_slice(data);
            buffer.filled(data.len());
        } else {
            buffer.append(data);
        }
        buffer
    }

    pub(crate) fn take_large(&self) -> Buffer {
        let bytes = self
            .large
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; LARGE]);
        Buffer {
            bytes,
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn give(&self, buffer: Buffer) {
        let list = match buffer.bytes.len() {
            BUFFER => &self.normal,
            LARGE => &self.large,
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < KEPT {
            list.push(buffer.bytes);
        }
    }

    /// Drops all that waits.
    pub(crate) fn clear(&self) {
        for list in [&self.normal, &self.large, &self.output] {
            *list.borrow_mut() = Vec::new();
        }
    }

    /// An empty vector to write messages into.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        self.output
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(4096))
    }

    pub(crate) fn give_output(&self, mut output: Vec<u8>) {
        let mut list = self.output.borrow_mut();
        if (1..=LARGE).contains(&output.capacity()) && list.len() < KEPT {
            output.clear();
            list.push(output);
        }
    }
}
