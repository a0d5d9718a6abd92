// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint};
use tidegate_core::StableHash;

/// Bids per slot after which the few slots that nobody bid for stay empty: it does not happen.
const MOST_BIDS: u128 = 64;
/// How often it is looked whether each slot has a bid, per so many bids as there are slots.
const LOOKS: u128 = 4;
/// The index of no endpoint.
const NOBODY: u16 = u16::MAX;

/// The circle of all hashes in slots of equal size; a key belongs to the slot of its hash.
///
/// Each endpoint bids for slots in an order that its address alone decides, twice as fast with
/// twice the weight, and a slot belongs to the first that bids for it. So an endpoint that comes,
/// goes or changes its weight wins or loses slots of its own, by no more than its share changes,
/// and none moves between two others; points whose number follows a part of all weights can not
/// do that. The order of bids is that of weighted rendezvous hashing (Schindelhauer and Schomaker,
/// Weighted Distributed Hash Tables, 2005, the logarithmic method), drawn instead of computed for
/// each slot and endpoint: independent bids at a steady pace, of which the first comes after a
/// time that is distributed exponentially.
pub(crate) struct Ring {
    /// Indexes of the endpoints that bid first and second. The second gets the slot when the first
    /// is down, as it would if the first were removed; a slot without a second leaves its keys to
    /// the next one, since bids of light endpoints for the slots of heavy ones take long to wait for.
    slots: Box<[[u16; 2]]>,
}

/// An endpoint that bids for slots.
struct Bidder {
    index: u16,
    weight: u64,
    /// Of its address: what its order of slots is made from.
    hash: u64,
    /// Bids so far.
    bids: u64,
}

#[derive(Clone, Copy)]
struct Bid {
    /// The number of the bid per weight of the bidder.
    time: f64,
    index: u16,
}

impl Bid {
    const NONE: Self = Self {
        time: f64::INFINITY,
        index: NOBODY,
    };
}

impl Ring {
    /// The ring of all endpoints that have a weight, in `size` slots.
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], size: u32) -> Self {
        let mut bidders = bidders(endpoints, Endpoint::effective_weight);
        if bidders.is_empty() {
            bidders = self::bidders(endpoints, |endpoint| endpoint.weight.into());
        }
        let total: u128 = bidders.iter().map(|each| u128::from(each.weight)).sum();
        if total == 0 {
            return Self { slots: [].into() };
        }
        // Of two bids at the same time the first in this order counts, whatever the list's order.
        bidders.sort_unstable_by_key(|bidder| bidder.hash);
        let mut slots = vec![[Bid::NONE; 2]; size as usize];
        for look in 1..=MOST_BIDS * LOOKS {
            for bidder in &mut bidders {
                let until = look * u128::from(size) * u128::from(bidder.weight) / (LOOKS * total);
                bidder.bid(&mut slots, until as u64);
            }
            // All bids up to now are in, and those that come are later.
            if slots.iter().all(|[first, _]| first.index != NOBODY) {
                break;
            }
        }
        let slots = slots.iter().map(|bids| bids.map(|bid| bid.index));
        Self {
            slots: slots.collect(),
        }
    }

    /// The positions of candidates from the key's slot on, once around; endpoints come as often
    /// as they bid.
    #[inline]
    pub(crate) fn from<'a>(
        &'a self,
        candidates: &'a Candidates<'_>,
        key: u64,
    ) -> impl Iterator<Item = usize> + 'a {
        let first = slot(key, self.slots.len());
        let (before, after) = self.slots.split_at_checked(first).unwrap_or_default();
        let around = after.iter().chain(before).flatten();
        around.filter_map(|index| candidates.find(*index))
    }
}

impl Bidder {
    /// Bids until it has made `until` bids in all.
    fn bid(&mut self, slots: &mut [[Bid; 2]], until: u64) {
        let size = slots.len();
        let pace = 1.0 / self.weight as f64;
        while self.bids < until {
            self.bids += 1;
            let bid = Bid {
                time: self.bids as f64 * pace,
                index: self.index,
            };
            let hash = StableHash::mix(self.hash ^ self.bids);
            let Some([first, second]) = slots.get_mut(slot(hash, size)) else {
                continue;
            };
            if bid.time < first.time {
                if first.index != bid.index {
                    *second = *first;
                }
                *first = bid;
            } else if bid.time < second.time && first.index != bid.index {
                *second = bid;
            }
        }
    }
}

/// The slot of so many that `hash` lies in.
#[inline]
fn slot(hash: u64, slots: usize) -> usize {
    ((u128::from(hash) * slots as u128) >> 64) as usize
}

fn bidders(endpoints: &[Arc<Endpoint>], weight: impl Fn(&Endpoint) -> u64) -> Vec<Bidder> {
    let each = (0..=u16::MAX).zip(endpoints);
    each.filter(|(_, endpoint)| weight(endpoint) > 0)
        .map(|(index, endpoint)| Bidder {
            index,
            weight: weight(endpoint),
            hash: StableHash::of(endpoint.address.as_bytes()),
            bids: 0,
        })
        .collect()
}
