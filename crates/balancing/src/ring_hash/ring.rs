// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use tidegate_contract::{Candidates, Endpoint};
use tidegate_core::StableHash;

/// Points of a whole ring, however many endpoints there are.
const MOST: u64 = 1 << 17;

/// Points on the circle of all hashes; a key belongs to the next point after it.
///
/// Karger et al., Consistent Hashing and Random Trees, 1997.
pub(crate) struct Ring {
    /// Hashes and indexes of endpoints, by hash.
    points: Box<[(u64, u16)]>,
}

impl Ring {
    /// The ring of all endpoints that have a weight: an endpoint of average weight gets
    /// `points_each` points, others more or less as their weights say, at least one.
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], points_each: u32) -> Self {
        let mut points = points(endpoints, points_each, Endpoint::effective_weight);
        if points.is_empty() {
            points = self::points(endpoints, points_each, |endpoint| endpoint.weight.into());
        }
        points.sort_unstable();
        Self {
            points: points.into(),
        }
    }

    /// The positions of candidates from the key's point on, once around; endpoints come as often
    /// as they have points.
    #[inline]
    pub(crate) fn from<'a>(
        &'a self,
        candidates: &'a Candidates<'_>,
        key: u64,
    ) -> impl Iterator<Item = usize> + 'a {
        let first = self.points.partition_point(|(hash, _)| *hash < key);
        let (before, after) = self.points.split_at(first);
        let around = after.iter().chain(before);
        around.filter_map(|(_, index)| candidates.find(*index))
    }
}

fn points(
    endpoints: &[Arc<Endpoint>],
    points_each: u32,
    weight: impl Fn(&Endpoint) -> u64,
) -> Vec<(u64, u16)> {
    let each = || (0..=u16::MAX).zip(endpoints);
    let total: u64 = each().map(|(_, endpoint)| weight(endpoint)).sum();
    let count = each().filter(|(_, endpoint)| weight(endpoint) > 0).count() as u64;
    let all = (count * u64::from(points_each)).min(MOST);
    let mut points = Vec::with_capacity(all as usize + endpoints.len());
    for (index, endpoint) in each().filter(|(_, endpoint)| weight(endpoint) > 0) {
        let exact = u128::from(all) * u128::from(weight(endpoint)) / u128::from(total.max(1));
        let first = StableHash::of(endpoint.address.as_bytes());
        let hashes = (0..(exact as u64).max(1)).map(|number| StableHash::mix(first ^ number));
        points.extend(hashes.map(|hash| (hash, index)));
    }
    points
}
