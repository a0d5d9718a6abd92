// SPDX-License-Identifier: Apache-2.0
use crate::Malformed;
use crate::cursor::{Cursor, put_bytes};

/// Names and values in order: header fields, or parameters of a path.
///
/// Wire form: `u16 count | (u32 length | name | u32 length | value)*`. Checked once when it is
/// decoded, so that walking it later cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldList<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> FieldList<'a> {
    /// Reads a list off the front of a payload.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let count = cursor.u16()?;
        let before = cursor.rest();
        for _ in 0..count {
            cursor.bytes()?;
            cursor.bytes()?;
        }
        let used = before.len() - cursor.rest().len();
        Ok(Self {
            count,
            bytes: before.get(..used).unwrap_or_default(),
        })
    }

    /// A list that was read before from the same `bytes`.
    pub(crate) fn known(count: u16, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    pub(crate) fn parts(self) -> (u16, &'a [u8]) {
        (self.count, self.bytes)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Name and value of each, as the sender wrote them.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || Some((cursor.bytes().ok()?, cursor.bytes().ok()?)))
    }

    /// The first value under `name`, whatever its case.
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Appends a list; more than 65,535 entries are cut off, far beyond any limit on header fields.
pub(crate) fn put_fields<'f>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
) {
    let place = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut count: u16 = 0;
    for (name, value) in fields.take(usize::from(u16::MAX)) {
        put_bytes(out, name);
        put_bytes(out, value);
        count += 1;
    }
    if let Some(bytes) = out.get_mut(place..place + 2) {
        bytes.copy_from_slice(&count.to_be_bytes());
    }
}
