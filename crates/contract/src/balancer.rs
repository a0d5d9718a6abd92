// SPDX-License-Identifier: Apache-2.0
use crate::Endpoint;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_core::{Draw, Moment};

/// The endpoints a balancer may choose from: healthy, not excluded, not tried yet, weight above 0.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    endpoints: &'a [Arc<Endpoint>],
    usable: &'a [u16],
    version: u64,
    now: Moment,
}

impl<'a> Candidates<'a> {
    /// `usable` are indexes into `endpoints`, rising; those out of range are left out by
    /// [`Self::get`].
    pub fn new(endpoints: &'a [Arc<Endpoint>], usable: &'a [u16]) -> Self {
        Self {
            endpoints,
            usable,
            version: 0,
            now: Moment::default(),
        }
    }

    /// The same at `now`, where `version` is another number whenever the endpoints or their
    /// effective weights are others.
    #[must_use]
    pub fn at(self, now: Moment, version: u64) -> Self {
        Self {
            version,
            now,
            ..self
        }
    }

    /// When the pick is made.
    #[inline]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Another number whenever [`Self::endpoints`] or their effective weights are others.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All endpoints of the backend, usable or not: what a table is made from.
    #[inline]
    pub fn endpoints(&self) -> &'a [Arc<Endpoint>] {
        self.endpoints
    }

    /// The position of the endpoint with this index in [`Self::endpoints`], if it is usable.
    #[inline]
    pub fn find(&self, index: u16) -> Option<usize> {
        self.usable.binary_search(&index).ok()
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

    /// Whether all effective weights are equal.
    pub fn is_even(&self) -> bool {
        let first = self.get(0).map(Endpoint::effective_weight);
        self.iter()
            .all(|(_, endpoint)| Some(endpoint.effective_weight()) == first)
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

/// What the `key` of a pick is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// There is no key.
    Nothing,
    /// What the backend's `hash` says.
    Hash,
    /// The client's network: so many leading bits of its address.
    Client {
        /// Of an IPv4 address, 0 to 32.
        ipv4: u8,
        /// Of an IPv6 address, 0 to 128.
        ipv6: u8,
    },
}

/// Picks the endpoint of a request.
pub trait Balancer: Send + Sync {
    /// A fresh memory for one backend.
    fn new_state(&self) -> BalancerState {
        Arc::new(())
    }

    /// What the key of a pick is made from. Asked once, when the snapshot is built.
    fn key_of(&self) -> KeyOf {
        KeyOf::Nothing
    }

    /// Whether [`Self::observe`] wants to be told. Asked once, when the snapshot is built.
    fn observes(&self) -> bool {
        false
    }

    /// `endpoint` answered, or failed, `latency_us` microseconds after it was sent a request.
    fn observe(&self, endpoint: &Endpoint, latency_us: u64, is_failure: bool, now: Moment) {
        let _ = (endpoint, latency_us, is_failure, now);
    }

    /// The position in `candidates` that takes the request; `None` only when there are none.
    ///
    /// `state` is what [`Self::new_state`] made. `key` is the hash of what [`Self::key_of`] says;
    /// `None` where the request has nothing of it.
    fn pick(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: Option<u64>,
        draw: &mut Draw,
    ) -> Option<usize>;

    /// The position that [`Self::pick`] takes for sure as things stand, because the key decides.
    fn certain(
        &self,
        state: &(dyn Any + Send + Sync),
        candidates: &Candidates<'_>,
        key: u64,
    ) -> Option<usize> {
        let _ = (state, candidates, key);
        None
    }

    /// The share of requests each candidate gets when all are equally busy: as long as
    /// `candidates`, summing to 1. What `explain` shows where the pick is not certain.
    ///
    /// As the effective weights are, where 0 counts as 1, unless a balancer says otherwise.
    fn shares(&self, candidates: &Candidates<'_>) -> Vec<f64> {
        let weight = |endpoint: &Endpoint| endpoint.effective_weight().max(1) as f64;
        let total: f64 = candidates.iter().map(|(_, each)| weight(each)).sum();
        candidates
            .iter()
            .map(|(_, each)| weight(each) / total)
            .collect()
    }
}
