// SPDX-License-Identifier: Apache-2.0
use super::{FieldId, FieldSet, folds_to};
use crate::syntax;
use std::fmt;
use std::ops::Range;

/// What an arena may hold. Heads are bounded by settings far below; this keeps offsets in 32 bits
/// whatever filters append.
pub(super) const ARENA_LIMIT: usize = 64 << 20;

/// Why a field was not taken. The fields are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The name is no token (RFC 9110 §5.1).
    Name,
    /// The value holds a control character other than HTAB (RFC 9110 §5.5).
    Value,
    /// The name belongs to framing, routing or the connection and is not for filters.
    Protected,
    /// The field is too large.
    Size,
}

impl FieldError {
    /// What is wrong, for a message or a log.
    pub fn text(self) -> &'static str {
        match self {
            Self::Name => "a field name that is no token",
            Self::Value => "a control character in a field value",
            Self::Protected => "this field is written by tidegate itself",
            Self::Size => "a field that is too large",
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for FieldError {}

/// A piece of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

impl Span {
    #[inline]
    pub(crate) fn of(self, arena: &[u8]) -> &[u8] {
        let start = self.start as usize;
        arena
            .get(start..start + self.length as usize)
            .unwrap_or_default()
    }

    /// From `start` to the arena's end.
    #[inline]
    pub(crate) fn tail(arena: &[u8], start: usize) -> Self {
        Self {
            start: start as u32,
            length: (arena.len() - start) as u32,
        }
    }
}

/// One field, as offsets into the arena: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    name: u32,
    value: Span,
    name_length: u16,
    pub(crate) id: FieldId,
    /// [`ODD`] and [`SECRET`].
    marks: u8,
}

/// The name holds something else than letters, digits and `-`, so it may fold onto another.
const ODD: u8 = 1;
/// Whoever sent it asked that no table of a compression may hold it.
const SECRET: u8 = 2;

impl Entry {
    #[inline]
    pub(crate) fn is_odd(self) -> bool {
        self.marks & ODD != 0
    }

    #[inline]
    pub(crate) fn name(self, arena: &[u8]) -> &[u8] {
        Span {
            start: self.name,
            length: u32::from(self.name_length),
        }
        .of(arena)
    }

    #[inline]
    pub(crate) fn value(self, arena: &[u8]) -> &[u8] {
        self.value.of(arena)
    }

    pub(crate) fn value_span(self) -> Span {
        self.value
    }

    /// Whether the field is called `name`, or by a name that CGI cannot tell from it.
    pub(crate) fn is_called(self, arena: &[u8], id: FieldId, name: &[u8]) -> bool {
        if id != FieldId::Other && self.id == id {
            return true;
        }
        if self.is_odd() || id == FieldId::Other {
            return folds_to(self.name(arena), name);
        }
        false
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// What the name is, if well known.
    pub id: FieldId,
    /// The name as it was written: a token, never empty.
    pub name: &'a [u8],
    /// The value without white space at its ends and without control characters but HTAB.
    pub value: &'a [u8],
    /// Whoever sent it asked that it is put into no compression table on its way: RFC 7541 §7.1.3.
    pub is_secret: bool,
}

/// The fields of a header or trailer section, in order.
///
/// Every name in it is a token and no value holds CR, LF, NUL or another control character but
/// HTAB: whoever writes them out cannot be made to write two lines.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub(crate) arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    present: FieldSet,
}

impl Fields {
    /// No fields, no memory.
    pub const fn new() -> Self {
        Self {
            arena: Vec::new(),
            entries: Vec::new(),
            present: FieldSet::of(&[]),
        }
    }

    /// How many fields there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All fields in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> + Clone {
        self.entries.iter().map(|&entry| self.field(entry))
    }

    /// Whether one of `ids` may be present: false is certain, true may be left from a removed field.
    #[inline]
    pub fn may_have(&self, ids: FieldSet) -> bool {
        self.present.meets(ids)
    }

    /// The value of the first field `id`.
    #[inline]
    pub fn get(&self, id: FieldId) -> Option<&[u8]> {
        self.get_all(id).next()
    }

    /// The values of all fields `id`, in order. None for [`FieldId::Other`].
    #[inline]
    pub fn get_all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> + Clone {
        let entries = if id != FieldId::Other && self.present.has(id) {
            &self.entries[..]
        } else {
            &[]
        };
        entries
            .iter()
            .filter(move |entry| entry.id == id)
            .map(|entry| entry.value(&self.arena))
    }

    /// How many fields are called `id`.
    #[inline]
    pub fn count(&self, id: FieldId) -> usize {
        self.get_all(id).count()
    }

    /// The value of the first field `name`, in any case of letters.
    pub fn get_name<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.get_all_name(name).next()
    }

    /// The values of all fields `name`, in any case of letters, in order.
    pub fn get_all_name<'a, 'n>(
        &'a self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let id = FieldId::recognise(name);
        self.entries
            .iter()
            .filter(move |entry| {
                entry.id == id
                    && (id != FieldId::Other || entry.name(&self.arena).eq_ignore_ascii_case(name))
            })
            .map(|entry| entry.value(&self.arena))
    }

    /// Adds a field at the end. White space around `value` is left out.
    ///
    /// # Errors
    /// [`FieldError`] when name or value may not stand in a message.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        let value = syntax::trim(value);
        if !syntax::is_token(name) {
            return Err(FieldError::Name);
        }
        self.add(FieldId::recognise(name), name, value)
    }

    /// Adds a field of a well-known name, in lower case, at the end: [`Fields::append`] for codecs
    /// whose tables tell the name. White space around `value` is left out.
    ///
    /// # Errors
    /// As [`Fields::append`]; [`FieldError::Name`] for [`FieldId::Other`].
    #[inline]
    pub fn append_id(&mut self, id: FieldId, value: &[u8]) -> Result<(), FieldError> {
        let value = syntax::trim(value);
        match id.name() {
            "" => Err(FieldError::Name),
            name => self.add(id, name.as_bytes(), value),
        }
    }

    /// Adds a field whose name is a token and whose value has no white space at its ends.
    #[inline]
    fn add(&mut self, id: FieldId, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        if !syntax::is_field_value(value) {
            return Err(FieldError::Value);
        }
        let is_long = name.len() > usize::from(u16::MAX);
        if is_long || self.arena.len() + name.len() + value.len() > ARENA_LIMIT {
            return Err(FieldError::Size);
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(value);
        let middle = start + name.len();
        self.push(id, start..middle, middle..middle + value.len())
    }

    /// Notes of the field added last that it came with the request to put it into no compression
    /// table ([`FieldRef::is_secret`]).
    #[inline]
    pub fn mark_last_secret(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.marks |= SECRET;
        }
    }

    /// Replaces all fields `name` by one, at the place of the first; adds it if there is none.
    ///
    /// A field whose name CGI cannot tell from `name` (`X_User` for `X-User`) counts as `name`, so
    /// that a client cannot send a second value beside the one that was set.
    ///
    /// # Errors
    /// As [`Fields::append`]; nothing was changed then.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        let before = self.entries.len();
        self.append(name, value)?;
        let id = FieldId::recognise(name);
        let arena = &self.arena;
        let first = self
            .entries
            .iter()
            .take(before)
            .position(|entry| entry.is_called(arena, id, name));
        if let Some(first) = first
            && let Some(last) = self.entries.pop()
        {
            let mut index = 0;
            self.entries.retain(|entry| {
                index += 1;
                index <= first || !entry.is_called(arena, id, name)
            });
            self.entries.insert(first, last);
        }
        Ok(())
    }

    /// Removes all fields `name`, and those whose name CGI cannot tell from it; returns whether
    /// there were any.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let id = FieldId::recognise(name);
        self.retain(|entry, arena| !entry.is_called(arena, id, name))
    }

    /// Removes all fields `id`; returns whether there were any.
    pub fn remove_id(&mut self, id: FieldId) -> bool {
        self.present.has(id) && self.retain(|entry, _| entry.id != id)
    }

    /// Removes all fields. Memory is kept.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = FieldSet::default();
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Gives every field `id` the value at `span` of the arena, which must have been judged.
    pub(crate) fn replace_value(&mut self, id: FieldId, span: Span) {
        for entry in self.entries.iter_mut().filter(|entry| entry.id == id) {
            entry.value = span;
        }
    }

    /// Keeps the entries for which `keep` holds; returns whether any went.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Entry, &[u8]) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&entry| keep(entry, &self.arena));
        self.entries.len() != before
    }

    /// Adds the field whose name and value lie at these places of the arena and have been judged.
    #[inline]
    pub(super) fn push(
        &mut self,
        id: FieldId,
        name: Range<usize>,
        value: Range<usize>,
    ) -> Result<(), FieldError> {
        let name_length = u16::try_from(name.len()).map_err(|_| FieldError::Size)?;
        let is_odd =
            id == FieldId::Other && is_odd(self.arena.get(name.clone()).unwrap_or_default());
        let marks = if is_odd { ODD } else { 0 };
        let value = Span {
            start: value.start as u32,
            length: value.len() as u32,
        };
        self.entries.push(Entry {
            name: name.start as u32,
            value,
            name_length,
            id,
            marks,
        });
        self.present.add(id);
        Ok(())
    }

    #[inline]
    fn field(&self, entry: Entry) -> FieldRef<'_> {
        FieldRef {
            id: entry.id,
            name: entry.name(&self.arena),
            value: entry.value(&self.arena),
            is_secret: entry.marks & SECRET != 0,
        }
    }
}

fn is_odd(name: &[u8]) -> bool {
    name.iter()
        .any(|&byte| !byte.is_ascii_alphanumeric() && byte != b'-')
}

impl PartialEq for Fields {
    /// Same names (as written), values and marks in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}
