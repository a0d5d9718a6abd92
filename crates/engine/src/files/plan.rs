// SPDX-License-Identifier: Apache-2.0
use super::store::Store;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_config::{ContentCoding, FileCache, Symlinks, Target};
use tidegate_core::Padded;

/// A folder as the engine serves it.
pub(crate) struct FilesPlan {
    /// An absolute path. It is opened anew whenever a name is looked at, so that a link that is put
    /// in place of another one is noticed.
    pub(crate) root: String,
    pub(crate) index: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) fallback: Option<String>,
    pub(crate) listing: bool,
    pub(crate) hidden: bool,
    pub(crate) symlinks: Symlinks,
    pub(crate) precompressed: Vec<ContentCoding>,
    pub(crate) types: Vec<(String, String)>,
    pub(crate) charset: String,
    pub(crate) cache_control: Vec<(String, String)>,
    pub(crate) ranges: usize,
    pub(crate) cache: FileCache,
    /// One for each thread: the locks are there for the compiler and never waited for.
    stores: Box<[Padded<Mutex<Store>>]>,
}

impl FilesPlan {
    /// `None` for another kind of target.
    pub(crate) fn build(target: Target, threads: usize) -> Option<Self> {
        let Target::Files {
            root,
            index,
            suffixes,
            fallback,
            listing,
            hidden,
            symlinks,
            precompressed,
            types,
            charset,
            cache_control,
            ranges,
            cache,
        } = target
        else {
            return None;
        };
        Some(Self {
            root,
            index,
            suffixes,
            fallback,
            listing,
            hidden,
            symlinks,
            precompressed,
            types,
            charset,
            cache_control,
            ranges: usize::from(ranges),
            cache,
            stores: (0..threads).map(|_| Padded::default()).collect(),
        })
    }

    /// What a thread remembers; `None` for a thread that there is not.
    pub(crate) fn store(&self, thread: usize) -> Option<MutexGuard<'_, Store>> {
        let store = self.stores.get(thread)?;
        Some(store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a file of this size is kept in memory.
    pub(crate) fn is_small(&self, length: u64) -> bool {
        length <= self.cache.file_size.0.min(self.cache.memory.0 / 2)
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
