// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::ring::Ring;
use crate::by_key::KeyTable;
use crate::weights;
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint};

/// Sends each key to the next endpoint on a ring that has room within the load bound.
#[derive(Clone, Copy, Debug)]
pub struct RingHash {
    size: u32,
    load_bound_percent: Option<u16>,
}

impl RingHash {
    /// The balancer as the settings say.
    ///
    /// # Errors
    /// A setting is out of bounds.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let (size, bound) = (settings.ring_size, settings.load_bound_percent);
        if !(16..=1_048_576).contains(&size) {
            return Err(format!(
                "ring_hash: `ring_size` is {size}; write a number from 16 to 1048576"
            ));
        }
        if let Some(bound) = bound.filter(|bound| !(101..=10_000).contains(bound)) {
            return Err(format!(
                "ring_hash: `load_bound_percent` is {bound}; write a number from 101 to 10000"
            ));
        }
        Ok(Self {
            size,
            load_bound_percent: bound,
        })
    }
}

/// The most that an endpoint may have in flight: `percent` of its share of all, this request
/// included, rounded up.
///
/// Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018, with weights.
#[derive(Clone, Copy)]
struct Bound {
    percent: u64,
    load: u64,
    weight: u64,
}

impl Bound {
    fn new(candidates: &Candidates<'_>, percent: u16) -> Self {
        let loads = (0..candidates.len()).map(|position| u64::from(candidates.in_flight(position)));
        Self {
            percent: percent.into(),
            load: loads.sum::<u64>() + 1,
            weight: weights::total(candidates),
        }
    }

    /// Whether the candidate may take one more.
    fn has_room(self, candidates: &Candidates<'_>, position: usize) -> bool {
        let Some(endpoint) = candidates.get(position) else {
            return false;
        };
        let in_flight = u128::from(candidates.in_flight(position));
        let share = u128::from(self.percent * self.load) * u128::from(weights::of(endpoint));
        // in_flight + 1 <= ceil(share / all) is in_flight < share / all.
        in_flight * u128::from(100 * self.weight) < share
    }
}

impl KeyTable for RingHash {
    type Table = Ring;

    fn make(&self, endpoints: &[Arc<Endpoint>]) -> Ring {
        Ring::new(endpoints, self.size)
    }

    fn find(&self, ring: &Ring, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        let mut around = ring.from(candidates, key);
        let Some(first) = around.next() else {
            // Only endpoints are left that should take nothing, and are not on the ring.
            return weights::by_key(candidates, key);
        };
        let Some(percent) = self.load_bound_percent else {
            return Some(first);
        };
        let bound = Bound::new(candidates, percent);
        if bound.has_room(candidates, first) {
            return Some(first);
        }
        // Without one that has room, which threads can bring about together, the key stays at home.
        let next = around.find(|position| bound.has_room(candidates, *position));
        Some(next.unwrap_or(first))
    }
}
