// SPDX-License-Identifier: Apache-2.0
use super::store::Store;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_config::{ContentCoding, Files};
use tidegate_core::Padded;

/// A folder as the engine serves it.
pub(crate) struct FilesPlan {
    /// Its `root` is an absolute path. It is opened anew whenever a name is looked at, so that a
    /// link that is put in place of another one is noticed.
    pub(crate) settings: Files,
    /// One for each thread: the locks are there for the compiler and never waited for.
    stores: Box<[Padded<Mutex<Store>>]>,
}

impl FilesPlan {
    pub(crate) fn new(settings: Files, threads: usize) -> Self {
        Self {
            settings,
            stores: (0..threads).map(|_| Padded::default()).collect(),
        }
    }

    /// What a thread remembers; `None` for a thread that there is not.
    pub(crate) fn store(&self, thread: usize) -> Option<MutexGuard<'_, Store>> {
        let store = self.stores.get(thread)?;
        Some(store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a file of this size is kept in memory.
    pub(crate) fn is_small(&self, length: u64) -> bool {
        let cache = &self.settings.cache;
        length <= cache.file_size.0.min(cache.memory.0 / 2)
    }
}

/// The end of the name of a file in a coding, and the coding's own name.
pub(crate) fn names_of(coding: ContentCoding) -> (&'static str, &'static str) {
    match coding {
        ContentCoding::Zstd => (".zst", "zstd"),
        ContentCoding::Br => (".br", "br"),
        ContentCoding::Gzip => (".gz", "gzip"),
    }
}
