// SPDX-License-Identifier: Apache-2.0
use super::find::Entry;
use super::plan::FilesPlan;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_core::Moment;

/// Milliseconds after which what was not asked for meanwhile begins to be forgotten.
const ROUND_MS: u64 = 10_000;

struct Kept {
    entry: Arc<Entry>,
    looked: Moment,
}

type Names = HashMap<Box<str>, Kept, foldhash::fast::RandomState>;

/// What one thread remembers of a folder's names, in two halves: what is asked for moves to the young
/// one, and when that is full or old, the old one is forgotten. So a flood of names that nobody asks for
/// twice costs those that are asked for little.
#[derive(Default)]
pub(crate) struct Store {
    young: Names,
    old: Names,
    /// Bytes of the young half.
    memory: u64,
    began: Option<Moment>,
}

impl Store {
    /// What a path stood for, and when that was looked at.
    pub(crate) fn get(
        &mut self,
        path: &str,
        plan: &FilesPlan,
        now: Moment,
    ) -> Option<(Arc<Entry>, Moment)> {
        if let Some(kept) = self.young.get(path) {
            return Some((kept.entry.clone(), kept.looked));
        }
        let (name, kept) = self.old.remove_entry(path)?;
        let found = (kept.entry.clone(), kept.looked);
        self.insert(name, kept, plan, now);
        Some(found)
    }

    /// Remembers what a path stands for.
    pub(crate) fn put(&mut self, path: &str, entry: Arc<Entry>, plan: &FilesPlan, now: Moment) {
        self.insert(path.into(), Kept { entry, looked: now }, plan, now);
    }

    fn insert(&mut self, name: Box<str>, kept: Kept, plan: &FilesPlan, now: Moment) {
        self.began.get_or_insert(now);
        self.memory += kept.entry.memory() + name.len() as u64;
        if let Some(before) = self.young.insert(name, kept) {
            self.memory = self.memory.saturating_sub(before.entry.memory());
        }
        let limits = &plan.settings.cache;
        if self.young.len() > limits.entries as usize / 2 || self.memory > limits.memory.0 / 2 {
            self.turn(now);
        }
    }

    /// Forgets the old half; the young one becomes it.
    fn turn(&mut self, now: Moment) {
        self.old = std::mem::take(&mut self.young);
        self.memory = 0;
        self.began = Some(now);
    }

    /// Forgets what was not asked for for a while; whether anything is left.
    pub(crate) fn sweep(&mut self, now: Moment) -> bool {
        if self
            .began
            .is_some_and(|began| now >= began.after_millis(ROUND_MS))
        {
            self.turn(now);
        }
        !(self.young.is_empty() && self.old.is_empty())
    }
}
