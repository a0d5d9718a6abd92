// SPDX-License-Identifier: Apache-2.0
//! What the rooms' tests share.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_contract::{Balancer, Candidates, Endpoint, EndpointState};
use tidegate_core::{Draw, StableHash};

/// Endpoints with these weights.
pub(crate) fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let each = weights.iter().enumerate();
    each.map(|(index, &weight)| {
        let address = format!("127.0.0.{index}:80");
        Arc::new(Endpoint {
            address,
            zone: None,
            priority: 0,
            weight,
            is_draining: false,
            source: String::new(),
            state: Arc::new(EndpointState::default()),
        })
    })
    .collect()
}

/// The endpoints' indexes: all usable.
pub(crate) fn all(endpoints: &[Arc<Endpoint>]) -> Vec<u16> {
    (0..endpoints.len() as u16).collect()
}

/// Sets how many requests an endpoint has in flight.
pub(crate) fn occupy(endpoint: &Endpoint, in_flight: u32) {
    endpoint.state.in_flight.store(in_flight, Ordering::Relaxed);
}

/// How often each candidate is picked in `picks` picks with one memory.
pub(crate) fn count(
    balancer: &dyn Balancer,
    candidates: &Candidates<'_>,
    picks: usize,
) -> Vec<usize> {
    let state = balancer.new_state();
    let mut draw = Draw::from_seed(1);
    let mut counts = vec![0; candidates.len()];
    for _ in 0..picks {
        counts[balancer.pick(&*state, candidates, None, &mut draw).unwrap()] += 1;
    }
    counts
}

/// Where each of the keys 0, 1, 2... goes, spread over all hashes.
pub(crate) fn homes(
    balancer: &dyn Balancer,
    state: &(dyn std::any::Any + Send + Sync),
    candidates: &Candidates<'_>,
    keys: u64,
) -> Vec<usize> {
    let mut draw = Draw::from_seed(1);
    (0..keys)
        .map(|key| {
            let key = StableHash::mix(key);
            let position = balancer
                .pick(state, candidates, Some(key), &mut draw)
                .unwrap();
            let index = candidates
                .endpoints()
                .iter()
                .position(|endpoint| std::ptr::eq(&**endpoint, candidates.get(position).unwrap()));
            index.unwrap()
        })
        .collect()
}

/// The part of keys that have another home.
pub(crate) fn moved(before: &[usize], after: &[usize]) -> f64 {
    let moved = before.iter().zip(after).filter(|(one, other)| one != other);
    moved.count() as f64 / before.len() as f64
}

/// How many keys each endpoint has.
pub(crate) fn tally(homes: &[usize], endpoints: usize) -> Vec<usize> {
    let each = 0..endpoints;
    each.map(|index| homes.iter().filter(|home| **home == index).count())
        .collect()
}

/// Asserts that counts are within 2 % of what the shares promise.
#[track_caller]
pub(crate) fn assert_shares(counts: &[usize], shares: &[f64]) {
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let picks: usize = counts.iter().sum();
    for (count, share) in counts.iter().zip(shares) {
        let wanted = share * picks as f64;
        assert!(
            (*count as f64 - wanted).abs() <= wanted * 0.02,
            "{counts:?} is not {shares:?}"
        );
    }
}
