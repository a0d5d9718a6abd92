// SPDX-License-Identifier: Apache-2.0
use crate::prepared::Prepared;
use crate::weights;
use std::any::Any;
use std::sync::Arc;
use tidegate_contract::{Balancer, BalancerState, Candidates, Endpoint, KeyOf};
use tidegate_core::Draw;

/// What a room says that chooses by key: which key, and the table in which it is looked up.
pub(crate) trait KeyTable: Send + Sync {
    /// Made from all endpoints of a backend and their weights, usable or not.
    type Table: Send + Sync + 'static;

    /// What the key is made from.
    fn key_of(&self) -> KeyOf {
        KeyOf::Hash
    }

    /// The table of these endpoints: made again when they or their weights are others.
    fn make(&self, endpoints: &[Arc<Endpoint>]) -> Self::Table;

    /// The position of the candidate that takes `key`; `None` only when there are none.
    fn find(&self, table: &Self::Table, candidates: &Candidates<'_>, key: u64) -> Option<usize>;
}

/// Sends each key where its table says; a request without a key is drawn by weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByKey<T>(pub(crate) T);

impl<T: KeyTable> Balancer for ByKey<T> {
    fn new_state(&self) -> BalancerState {
        Arc::new(Prepared::<T::Table>::default())
    }

    fn key_of(&self) -> KeyOf {
        self.0.key_of()
    }

    fn pick(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize> {
        let Some(key) = key else {
            return weights::drawn(candidates, draw);
        };
        self.certain(state, candidates, key)
    }

    fn certain(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: u64,
    ) -> Option<usize> {
        let make = || self.0.make(candidates.endpoints());
        state
            .downcast_ref::<Prepared<T::Table>>()?
            .ask(candidates, make, |table| {
                self.0.find(table, candidates, key)
            })
    }
}
