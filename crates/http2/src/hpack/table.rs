// SPDX-License-Identifier: Apache-2.0
use super::Key;
use std::collections::VecDeque;

/// What an entry counts beside its bytes, RFC 7541 §4.1.
pub const ENTRY_OVERHEAD: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
    hash: u32,
    key: Key,
}

impl Entry {
    fn size(self) -> usize {
        self.name as usize + self.value as usize + ENTRY_OVERHEAD
    }
}

/// A dynamic table, RFC 7541 §2.3.2. Entry 0 is the newest.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Names and values in order of insertion. What was evicted is cut off when it is as much as
    /// what is left may be.
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// The size it may have. RFC 7541 §4.2.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
        self.evict(0);
        if most == 0 {
            self.bytes = Vec::new();
            self.entries = VecDeque::new();
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Key, name and value of the entry at `index`.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(Key, &[u8], &[u8])> {
        let entry = *self.entry(index)?;
        let (start, name) = (entry.start as usize, entry.name as usize);
        let text = self.bytes.get(start..start + name + entry.value as usize)?;
        let (name, value) = text.split_at_checked(name)?;
        Some((entry.key, name, value))
    }

    /// The index of the entry of `hash` that is `name` and `value`.
    #[inline]
    pub(super) fn find(&self, hash: u32, name: &[u8], value: &[u8]) -> Option<usize> {
        let newest = self.entries.len().checked_sub(1)?;
        let found = self.entries.iter().enumerate().find(|(place, entry)| {
            entry.hash == hash
                && self
                    .get(newest - place)
                    .is_some_and(|(_, its_name, its_value)| its_name == name && its_value == value)
        });
        found.map(|(place, _)| newest - place)
    }

    /// Inserts a field; one that is larger than the table empties it. RFC 7541 §4.4.
    pub(super) fn insert(&mut self, key: Key, name: &[u8], value: &[u8], hash: u32) {
        if !self.make_room(name.len() + value.len()) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.push(key, start, name.len(), value.len(), hash);
    }

    /// As [`Table::insert`], with the name of the entry at `index`, which may be evicted by it.
    pub(super) fn insert_with_name_of(&mut self, index: usize, value: &[u8]) {
        let Some(&Entry {
            start, name, key, ..
        }) = self.entry(index)
        else {
            return;
        };
        // The name is copied before its entry may go.
        let (start, length) = (start as usize, name as usize);
        let copy = self.bytes.len();
        self.bytes.extend_from_within(start..start + length);
        if !self.evict(length + value.len() + ENTRY_OVERHEAD) {
            self.bytes.clear();
            return;
        }
        self.bytes.extend_from_slice(value);
        self.push(key, copy, length, value.len(), 0);
        self.cut();
    }

    fn push(&mut self, key: Key, start: usize, name: usize, value: usize, hash: u32) {
        let entry = Entry {
            start: start as u32,
            name: name as u32,
            value: value as u32,
            hash,
            key,
        };
        self.size += entry.size();
        self.entries.push_back(entry);
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        let place = self.entries.len().checked_sub(index)?.checked_sub(1)?;
        self.entries.get(place)
    }

    fn make_room(&mut self, length: usize) -> bool {
        let fits = self.evict(length + ENTRY_OVERHEAD);
        self.cut();
        fits
    }

    /// Evicts until `more` fits; whether it does.
    fn evict(&mut self, more: usize) -> bool {
        while self.size + more > self.most {
            let Some(entry) = self.entries.pop_front() else {
                return more <= self.most;
            };
            self.size -= entry.size();
        }
        true
    }

    /// Gives the bytes of evicted entries back, when they are many.
    fn cut(&mut self) {
        let Some(first) = self.entries.front() else {
            self.bytes.clear();
            return;
        };
        let dead = first.start;
        if (dead as usize) < self.most.max(64) {
            return;
        }
        self.bytes.drain(..dead as usize);
        for entry in &mut self.entries {
            entry.start -= dead;
        }
    }
}
