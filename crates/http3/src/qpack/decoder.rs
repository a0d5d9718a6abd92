// SPDX-License-Identifier: Apache-2.0
use super::static_table;
use tidegate_http2::sections::{CompressionError, ENTRY_OVERHEAD, Sink, huffman, integer, key_of};

/// How a section ended that is proper QPACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every field was handed over.
    Whole,
    /// The fields are larger than allowed: what comes from the one on that passed the limit is dropped.
    TooLarge,
}

const TRUNCATED: CompressionError = CompressionError("a section that ends within a field");
const DYNAMIC: CompressionError =
    CompressionError("an entry of a dynamic table, which was not offered");

/// Reads field sections. Its memory is room for strings that come Huffman-coded.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    names: Vec<u8>,
    values: Vec<u8>,
}

impl Decoder {
    /// Bytes of memory held.
    pub(crate) fn memory(&self) -> usize {
        self.names.capacity() + self.values.capacity()
    }

    /// Gives back the room for strings where it has grown beyond `most` bytes.
    pub(crate) fn shrink(&mut self, most: usize) {
        for room in [&mut self.names, &mut self.values] {
            if room.capacity() > most {
                *room = Vec::new();
            }
        }
    }

    /// Reads a whole encoded field section, RFC 9204 §4.5. Its fields may have up to `most` bytes: name,
    /// value and 32 each.
    ///
    /// # Errors
    /// What is no QPACK, or needs a dynamic table.
    pub(crate) fn decode(
        &mut self,
        section: &[u8],
        most: usize,
        sink: &mut impl Sink,
    ) -> Result<Outcome, CompressionError> {
        let mut at = 0;
        prefix(section, &mut at)?;
        let mut left = most;
        while let Some(&first) = section.get(at) {
            let Some(size) = self.line(section, &mut at, first, left, sink)? else {
                return Ok(Outcome::TooLarge);
            };
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Ok(Outcome::TooLarge),
            }
        }
        Ok(Outcome::Whole)
    }

    /// One field line; its size, `None` when it has a string longer than `left`.
    fn line(
        &mut self,
        section: &[u8],
        at: &mut usize,
        first: u8,
        left: usize,
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, CompressionError> {
        let outside = CompressionError("an index outside the static table");
        if first & 0x80 != 0 {
            // §4.5.2, indexed.
            if first & 0x40 == 0 {
                return Err(DYNAMIC);
            }
            let index = integer::read(section, at, 6)?;
            let (key, name, value) = static_table::at(index).ok_or(outside)?;
            let size = name.len() + value.len() + ENTRY_OVERHEAD;
            if size <= left {
                sink.field(key, name, value, false);
            }
            return Ok(Some(size));
        }
        if first & 0x40 != 0 {
            // §4.5.4, a name by its index.
            if first & 0x10 == 0 {
                return Err(DYNAMIC);
            }
            let index = integer::read(section, at, 4)?;
            let (key, name, _) = static_table::at(index).ok_or(outside)?;
            let Some(value) = string(section, at, 7, &mut self.values, left)? else {
                return Ok(None);
            };
            let size = name.len() + value.len() + ENTRY_OVERHEAD;
            if size <= left {
                sink.field(key, name, value, first & 0x20 != 0);
            }
            return Ok(Some(size));
        }
        if first & 0x20 == 0 {
            // §4.5.3 and §4.5.5, behind the base.
            return Err(DYNAMIC);
        }
        // §4.5.6, a literal name.
        let Some(name) = string(section, at, 3, &mut self.names, left)? else {
            return Ok(None);
        };
        let Some(value) = string(section, at, 7, &mut self.values, left)? else {
            return Ok(None);
        };
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        if size <= left {
            sink.field(key_of(name), name, value, first & 0x10 != 0);
        }
        Ok(Some(size))
    }
}

/// The prefix of a section that refers to nothing, §4.5.1.
fn prefix(section: &[u8], at: &mut usize) -> Result<(), CompressionError> {
    if integer::read(section, at, 8)? != 0 {
        return Err(DYNAMIC);
    }
    let is_negative = section.get(*at).ok_or(TRUNCATED)? & 0x80 != 0;
    integer::read(section, at, 7)?;
    match is_negative {
        true => Err(CompressionError("a base below zero")),
        false => Ok(()),
    }
}

/// Reads a string whose length has a prefix of `bits` bits, the bit above says that it is Huffman-coded
/// (§4.1.2); `None` when it is longer than `room`.
fn string<'a>(
    section: &'a [u8],
    at: &mut usize,
    bits: u32,
    scratch: &'a mut Vec<u8>,
    room: usize,
) -> Result<Option<&'a [u8]>, CompressionError> {
    let first = *section.get(*at).ok_or(TRUNCATED)?;
    let length = integer::read(section, at, bits)?;
    let text = section.get(*at..*at + length).ok_or(TRUNCATED)?;
    *at += length;
    if first & 1 << bits == 0 {
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
        Err(huffman::HuffmanError::TooLong) => Ok(None),
        Err(huffman::HuffmanError::Invalid) => Err(CompressionError("a malformed Huffman string")),
    }
}
