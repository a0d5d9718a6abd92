// SPDX-License-Identifier: Apache-2.0
use crate::weights;
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint};
use tidegate_core::StableHash;

/// Other slots that are looked at when the endpoint of a key's slot takes nothing.
const PROBES: u32 = 32;

/// The lookup table of Maglev (Eisenbud et al., Maglev: A Fast and Reliable Software Network Load
/// Balancer, NSDI 2016, §3.4): each endpoint claims slots in an order of its own, in turns, as
/// often as its weight says, until none is free.
pub(crate) struct MaglevTable {
    /// Indexes of endpoints.
    slots: Box<[u16]>,
}

/// An endpoint that claims slots.
struct Claim {
    index: u16,
    weight: u64,
    /// Grows by the weight in each round; the heaviest weight buys a slot.
    credit: u64,
    next: u64,
    skip: u64,
}

impl MaglevTable {
    /// The table of all endpoints that have a weight. `size` is a prime: only then does every
    /// endpoint's order come past every slot.
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], size: u64) -> Self {
        let mut claims = claims(endpoints, size, Endpoint::effective_weight);
        if claims.is_empty() {
            claims = self::claims(endpoints, size, |endpoint| endpoint.weight.into());
        }
        let heaviest = claims.iter().map(|claim| claim.weight).max().unwrap_or(0);
        let mut slots: Vec<Option<u16>> = vec![None; size as usize];
        let mut free = if claims.is_empty() { 0 } else { slots.len() };
        while free > 0 {
            for claim in &mut claims {
                claim.credit += claim.weight;
                if claim.credit < heaviest || free == 0 {
                    continue;
                }
                claim.credit -= heaviest;
                // There is a free slot, and the order comes past all.
                while let Some(slot) = slots.get_mut(claim.next as usize) {
                    claim.next = (claim.next + claim.skip) % size;
                    if slot.is_none() {
                        *slot = Some(claim.index);
                        free -= 1;
                        break;
                    }
                }
            }
        }
        Self {
            slots: slots.into_iter().flatten().collect(),
        }
    }

    /// The position of the candidate that takes `key`. Where its slot belongs to an endpoint that
    /// takes nothing, the key is hashed again: only the keys of that endpoint move, and to all
    /// others alike.
    #[inline]
    pub(crate) fn find(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        let mut point = key;
        for _ in 0..PROBES {
            let slot = point.checked_rem(self.slots.len() as u64)?;
            let position = self
                .slots
                .get(slot as usize)
                .and_then(|index| candidates.find(*index));
            if position.is_some() {
                return position;
            }
            point = StableHash::mix(point);
        }
        // Nearly all are out: the line of those that are left.
        weights::by_key(candidates, key)
    }
}

fn claims(endpoints: &[Arc<Endpoint>], size: u64, weight: impl Fn(&Endpoint) -> u64) -> Vec<Claim> {
    let each = (0..=u16::MAX).zip(endpoints);
    each.filter(|(_, endpoint)| weight(endpoint) > 0)
        .map(|(index, endpoint)| {
            let hash = StableHash::of(endpoint.address.as_bytes());
            Claim {
                index,
                weight: weight(endpoint),
                credit: 0,
                next: hash % size,
                skip: StableHash::mix(hash) % (size - 1) + 1,
            }
        })
        .collect()
}
