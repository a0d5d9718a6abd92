// SPDX-License-Identifier: Apache-2.0
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use tidegate_contract::Candidates;

/// A table made from a backend's endpoints and their weights, for one version of them.
struct Made<T> {
    version: u64,
    table: T,
}

/// The newest table of a backend, shared by the threads.
///
/// A pick reads it without a lock. The first pick that sees other endpoints or weights makes the
/// next one; threads that see them at the same time each make the same.
pub(crate) struct Prepared<T>(ArcSwapOption<Made<T>>);

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Self(ArcSwapOption::empty())
    }
}

impl<T> Prepared<T> {
    /// Asks the table for these candidates, made by `make` if there is none for their version.
    #[inline]
    pub(crate) fn ask<R>(
        &self,
        candidates: &Candidates<'_>,
        make: impl FnOnce() -> T,
        question: impl FnOnce(&T) -> R,
    ) -> R {
        let current = self.0.load();
        if let Some(made) = &*current
            && made.version == candidates.version()
        {
            return question(&made.table);
        }
        let made = Arc::new(Made {
            version: candidates.version(),
            table: make(),
        });
        // A pick that still holds the endpoints before keeps its table to itself.
        if current
            .as_ref()
            .is_none_or(|old| old.version < made.version)
        {
            self.0.store(Some(made.clone()));
        }
        question(&made.table)
    }
}
