// SPDX-License-Identifier: Apache-2.0
use crate::Endpoint;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_core::Draw;

/// The endpoints a balancer may choose from: healthy, not excluded, not tried yet, weight above 0.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    endpoints: &'a [Arc<Endpoint>],
    usable: &'a [u16],
}

impl<'a> Candidates<'a> {
    /// `usable` are indexes into `endpoints`; those out of range are left out by [`Self::get`].
    pub fn new(endpoints: &'a [Arc<Endpoint>], usable: &'a [u16]) -> Self {
        Self { endpoints, usable }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.usable.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// The candidate at `position` in `0..len()`.
    #[inline]
    pub fn get(&self, position: usize) -> Option<&'a Endpoint> {
        let index = *self.usable.get(position)?;
        self.endpoints
            .get(usize::from(index))
            .map(|endpoint| &**endpoint)
    }

    /// All candidates with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a Endpoint)> + '_ {
        (0..self.len()).filter_map(|position| Some((position, self.get(position)?)))
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u64 {
        self.iter()
            .map(|(_, endpoint)| u64::from(endpoint.weight))
            .sum()
    }

    /// Whether all weights are equal.
    pub fn is_even(&self) -> bool {
        let first = self.get(0).map(|endpoint| endpoint.weight);
        self.iter()
            .all(|(_, endpoint)| Some(endpoint.weight) == first)
    }

    /// Requests in flight at `position` for the whole node.
    #[inline]
    pub fn in_flight(&self, position: usize) -> u32 {
        self.get(position).map_or(u32::MAX, |endpoint| {
            endpoint.state.in_flight.load(Ordering::Relaxed)
        })
    }
}

/// What a balancer remembers between picks, one per backend, shared by the threads and kept across
/// snapshots as long as the backend's name and the room's settings stay.
pub type BalancerState = Arc<dyn Any + Send + Sync>;

/// Picks the endpoint of a request.
pub trait Balancer: Send + Sync {
    /// A fresh memory for one backend.
    fn new_state(&self) -> BalancerState {
        Arc::new(())
    }

    /// The position in `candidates` that takes the request; `None` only when there are none.
    ///
    /// `state` is what [`Self::new_state`] made. `key` is the hash of what the backend hashes by.
    fn pick(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize>;

    /// The share of requests each candidate gets when all are equally busy: as long as
    /// `candidates`, summing to 1. What `explain` shows where the pick is not certain.
    fn shares(&self, candidates: &Candidates<'_>) -> Vec<f64>;
}
