// SPDX-License-Identifier: Apache-2.0
use super::huffman::{self, HuffmanError};
use super::static_table::STATIC;
use super::table::{ENTRY_OVERHEAD, Table};
use super::{CompressionError, Key, integer};

/// How a block ended that is proper HPACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every field was handed over.
    Whole,
    /// The fields are larger than allowed: those from the one that passed the limit on were read
    /// for the sake of the table, and dropped.
    TooLarge,
}

/// Takes one decoded field: key, name, value, and whether it came as never indexed.
pub trait Sink {
    /// Names that are a [`Key::Field`] of a well-known field are in lower case.
    fn field(&mut self, key: Key, name: &[u8], value: &[u8], is_secret: bool);
}

/// Reads header blocks. One for each connection: the blocks of all its streams change one table.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// What the peer may set the table's size to.
    limit: usize,
    /// The limit fell below the table's size: the next block must begin with an update.
    awaits_update: bool,
    /// Room for a name and for a value that come Huffman-coded.
    names: Vec<u8>,
    values: Vec<u8>,
}

/// The table's size before any setting, RFC 9113 §6.5.2.
pub(crate) const DEFAULT_TABLE: usize = 4096;

impl Decoder {
    /// The peer may use a table of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            table: Table::new(DEFAULT_TABLE),
            limit: limit.max(DEFAULT_TABLE),
            awaits_update: false,
            names: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The peer has acknowledged `limit`.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.awaits_update = self.table.most() > limit;
    }

    /// Bytes of memory held.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory() + self.names.capacity() + self.values.capacity()
    }

    /// Gives back the room for strings where it has grown beyond `most` bytes.
    pub(crate) fn shrink(&mut self, most: usize) {
        for room in [&mut self.names, &mut self.values] {
            if room.capacity() > most {
                *room = Vec::new();
            }
        }
    }

    /// Reads a whole header block. Its fields may have up to `most` bytes, counted as RFC 7541 §4.1
    /// counts them: name, value and 32 bytes each.
    ///
    /// # Errors
    /// What is no HPACK. The table is of no use after.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        sink: &mut impl Sink,
    ) -> Result<Outcome, CompressionError> {
        let mut at = 0;
        self.updates(block, &mut at)?;
        let mut left = most;
        let mut outcome = Outcome::Whole;
        let room = most.max(self.table.most());
        while let Some(&first) = block.get(at) {
            let size = if first & 0x80 != 0 {
                let index = integer::read(block, &mut at, 7)?;
                let (key, name, value) = named(&self.table, index)?;
                let size = name.len() + value.len() + ENTRY_OVERHEAD;
                if size <= left && outcome == Outcome::Whole {
                    sink.field(key, name, value, false);
                }
                size
            } else if first & 0xe0 == 0x20 {
                return Err(CompressionError("a table size update behind a field"));
            } else {
                let left = if outcome == Outcome::Whole { left } else { 0 };
                self.literal(block, &mut at, first, (left, room), sink)?
            };
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => outcome = Outcome::TooLarge,
            }
        }
        Ok(outcome)
    }

    /// The table size updates a block may begin with. RFC 7541 §4.2, §6.3.
    fn updates(&mut self, block: &[u8], at: &mut usize) -> Result<(), CompressionError> {
        while let Some(&first) = block.get(*at)
            && first & 0xe0 == 0x20
        {
            let most = integer::read(block, at, 5)?;
            if most > self.limit {
                return Err(CompressionError("a table larger than allowed"));
            }
            self.table.set_most(most);
            self.awaits_update = false;
        }
        if self.awaits_update && !block.is_empty() {
            return Err(CompressionError("no table size update after the setting"));
        }
        Ok(())
    }

    /// A literal field, RFC 7541 §6.2; returns its size. It goes to the sink if that is at most
    /// `left`; a string longer than `room` is not read at all.
    fn literal(
        &mut self,
        block: &[u8],
        at: &mut usize,
        first: u8,
        (left, room): (usize, usize),
        sink: &mut impl Sink,
    ) -> Result<usize, CompressionError> {
        let is_indexed = first & 0x40 != 0;
        let is_secret = !is_indexed && first & 0x10 != 0;
        let index = integer::read(block, at, if is_indexed { 6 } else { 4 })?;
        if index == 0 {
            let name = string(block, at, &mut self.names, room)?;
            let value = string(block, at, &mut self.values, room)?;
            let (Some(name), Some(value)) = (name, value) else {
                return Ok(self.too_long(is_indexed));
            };
            let key = key_of(name);
            let size = name.len() + value.len() + ENTRY_OVERHEAD;
            if size <= left {
                sink.field(key, name, value, is_secret);
            }
            if is_indexed {
                self.table.insert(key, name, value, 0);
            }
            return Ok(size);
        }
        let Some(value) = string(block, at, &mut self.values, room)? else {
            named(&self.table, index)?;
            return Ok(self.too_long(is_indexed));
        };
        let (key, name, _) = named(&self.table, index)?;
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        if size <= left {
            sink.field(key, name, value, is_secret);
        }
        if is_indexed {
            match STATIC.get(index - 1) {
                Some((name, _, key)) => self.table.insert(*key, name.as_bytes(), value, 0),
                None => self
                    .table
                    .insert_with_name_of(index - 1 - STATIC.len(), value),
            }
        }
        Ok(size)
    }

    /// A field larger than the whole section may be, and than the table: it empties the table.
    fn too_long(&mut self, is_indexed: bool) -> usize {
        if is_indexed {
            let most = self.table.most();
            self.table.set_most(0);
            self.table.set_most(most);
        }
        usize::MAX
    }
}

/// The field at `index` of both tables, RFC 7541 §2.3.3.
#[inline]
fn named(table: &Table, index: usize) -> Result<(Key, &[u8], &[u8]), CompressionError> {
    let bad = CompressionError("an index outside the tables");
    let index = index.checked_sub(1).ok_or(bad)?;
    if let Some((name, value, key)) = STATIC.get(index) {
        return Ok((*key, name.as_bytes(), value.as_bytes()));
    }
    table.get(index - STATIC.len()).ok_or(bad)
}

/// The key of a name as it came. A well-known name in upper case is none: the key promises lower case.
#[inline]
pub fn key_of(name: &[u8]) -> Key {
    match Key::of(name) {
        Key::Field(id) if id.name().as_bytes() != name => {
            Key::Field(tidegate_request::FieldId::Other)
        }
        key => key,
    }
}

/// Reads a string, RFC 7541 §5.2; `None` when it is Huffman-coded and longer than `room`.
#[inline]
fn string<'a>(
    block: &'a [u8],
    at: &mut usize,
    scratch: &'a mut Vec<u8>,
    room: usize,
) -> Result<Option<&'a [u8]>, CompressionError> {
    let first = *block.get(*at).ok_or(integer::TRUNCATED)?;
    let length = integer::read(block, at, 7)?;
    let text = block.get(*at..*at + length).ok_or(integer::TRUNCATED)?;
    *at += length;
    if first & 0x80 == 0 {
        return Ok(Some(text));
    }
    // The shortest code has five bits.
    let needed = (length * 8 / 5).min(room);
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    let out = scratch.get_mut(..needed).unwrap_or_default();
    match huffman::decode(text, out) {
        Ok(decoded) => Ok(scratch.get(..decoded)),
        Err(HuffmanError::TooLong) => Ok(None),
        Err(HuffmanError::Invalid) => Err(CompressionError("a malformed Huffman string")),
    }
}
