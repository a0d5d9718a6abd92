// SPDX-License-Identifier: Apache-2.0
use super::{RingHash, Settings};
use crate::build;
use crate::by_key::ByKey;
use crate::testing::{all, endpoints, homes, moved, occupy, tally};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates, Endpoint};
use tidegate_core::{Draw, StableHash};

const KEYS: u64 = 100_000;

fn ring(load_bound_percent: Option<u16>) -> ByKey<RingHash> {
    let settings = Settings {
        ring_size: 32_768,
        load_bound_percent,
    };
    ByKey(RingHash::new(&settings).unwrap())
}

fn homes_of(endpoints: &[Arc<Endpoint>], usable: &[u16]) -> Vec<usize> {
    let balancer = ring(None);
    let state = balancer.new_state();
    homes(
        &balancer,
        &*state,
        &Candidates::new(endpoints, usable),
        KEYS,
    )
}

/// The share of each weight.
fn shares(weights: &[u32]) -> Vec<f64> {
    let total: u32 = weights.iter().sum();
    let each = weights.iter();
    each.map(|weight| f64::from(*weight) / f64::from(total))
        .collect()
}

const WEIGHTS: [&[u32]; 5] = [
    &[1, 1, 1, 1],
    &[1, 2, 5, 10],
    &[100, 200, 500, 1000],
    &[3, 1, 4, 1, 5, 9, 2, 6],
    &[1; 50],
];

#[test]
fn keys_are_spread_by_weight() {
    for weights in WEIGHTS {
        let endpoints = endpoints(weights);
        let counts = tally(&homes_of(&endpoints, &all(&endpoints)), weights.len());
        for (count, share) in counts.iter().zip(shares(weights)) {
            // Slots fall as coins do, and keys into them as well: four standard errors of both.
            let spread = 4.0 * (share * (1.0 / 32_768.0 + 1.0 / KEYS as f64)).sqrt();
            let found = *count as f64 / KEYS as f64;
            assert!((found - share).abs() < spread, "{weights:?} {counts:?}");
        }
    }
}

#[test]
fn when_an_endpoint_goes_or_comes_back_only_its_own_keys_move() {
    for weights in WEIGHTS {
        let endpoints = endpoints(weights);
        let usable = all(&endpoints);
        let before = homes_of(&endpoints, &usable);
        let shares = shares(weights);
        for (gone, share) in shares.iter().enumerate().take(4) {
            let mut left = endpoints.clone();
            let _ = left.remove(gone);
            let removed: Vec<usize> = homes_of(&left, &all(&left))
                .into_iter()
                .map(|home| home + usize::from(home >= gone))
                .collect();
            let mut up = usable.clone();
            let _ = up.remove(gone);
            let down = homes_of(&endpoints, &up);
            for after in [&removed, &down] {
                for (before, after) in before.iter().zip(after) {
                    assert!(before == after || *before == gone);
                }
                let moved = moved(&before, after);
                assert!((moved - share).abs() < 0.01, "{weights:?} {moved}");
            }
            // Down or removed, its keys go to the same; not all do where weights are far apart.
            assert!(self::moved(&removed, &down) < 0.2 * share);
        }
    }
}

#[test]
fn a_weight_that_changes_moves_only_what_its_endpoint_wins_or_loses() {
    for (weights, changed, weight) in [
        (&[1, 2, 5, 10][..], 1, 3),
        (&[1, 2, 5, 10], 3, 5),
        (&[1, 2, 5, 10], 0, 1000),
        (&[1, 1, 1, 1], 2, 2),
        (&[100, 200, 500, 1000], 3, 900),
    ] {
        let before = homes_of(&endpoints(weights), &[0, 1, 2, 3]);
        let mut others = weights.to_vec();
        others[changed] = weight;
        let after = homes_of(&endpoints(&others), &[0, 1, 2, 3]);
        let is_more = weight > weights[changed];
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || changed == if is_more { *after } else { *before });
        }
        let due = (shares(&others)[changed] - shares(weights)[changed]).abs();
        let moved = moved(&before, &after);
        assert!((moved - due).abs() < 0.01, "{weights:?} {moved} {due}");
    }
}

#[test]
fn a_slow_start_takes_keys_step_by_step_and_gives_none_back() {
    let endpoints = endpoints(&[1, 2, 5, 10]);
    let mut before = homes_of(&endpoints, &[0, 1, 2, 3]);
    let first = before.clone();
    endpoints[2].state.factor.set(0.1);
    before = homes_of(&endpoints, &[0, 1, 2, 3]);
    for factor in [0.2, 0.35, 0.5, 0.7, 0.9, 1.0] {
        endpoints[2].state.factor.set(factor);
        let after = homes_of(&endpoints, &[0, 1, 2, 3]);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *after == 2);
        }
        before = after;
    }
    assert_eq!(before, first);
}

#[test]
fn the_order_in_which_endpoints_are_listed_changes_nothing() {
    let endpoints = endpoints(&[1, 2, 5, 10]);
    let mut turned = endpoints.clone();
    turned.reverse();
    let usable = all(&endpoints);
    let ours = homes_of(&endpoints, &usable);
    let theirs = homes_of(&turned, &usable);
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(*ours, 3 - theirs);
    }
}

#[test]
fn a_key_whose_endpoint_is_full_goes_on_and_comes_back() {
    let endpoints = endpoints(&[1, 1, 1, 1]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let (bound, free) = (ring(Some(125)), ring(None));
    let state = bound.new_state();
    let home = bound.certain(&*state, &candidates, 7).unwrap();
    occupy(&endpoints[home], 1);
    // Of two requests, 1.25 times a quarter rounded up is one.
    let next = bound.certain(&*state, &candidates, 7).unwrap();
    assert_ne!(next, home);
    assert_eq!(free.certain(&*free.new_state(), &candidates, 7), Some(home));
    for endpoint in &endpoints {
        occupy(endpoint, 1);
    }
    assert_eq!(bound.certain(&*state, &candidates, 7), Some(home));
}

#[test]
fn a_request_without_a_key_is_drawn_by_weight() {
    let endpoints = endpoints(&[1, 3]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let counts = crate::testing::count(&ring(Some(125)), &candidates, 100_000);
    crate::testing::assert_shares(&counts, &ring(Some(125)).shares(&candidates));
}

#[test]
fn endpoints_that_are_not_on_the_ring_take_all_where_they_are_alone() {
    let endpoints = endpoints(&[1, 1, 1]);
    endpoints[0].state.factor.set(0.0);
    endpoints[1].state.factor.set(0.0);
    let state = ring(None).new_state();
    let left = Candidates::new(&endpoints, &[0, 1]);
    let counts = tally(&homes(&ring(None), &*state, &left, 1000), 3);
    assert!(counts[0] > 400 && counts[1] > 400, "{counts:?}");
    let nobody = Candidates::new(&[], &[]);
    assert_eq!(
        ring(None).certain(&*ring(None).new_state(), &nobody, 7),
        None
    );
}

#[test]
fn settings_are_checked() {
    let room = |settings: &str| Room {
        kind: "ring_hash".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    for (settings, says) in [
        (
            r#"{"ring_size": 15, "load_bound_percent": null}"#,
            "16 to 1048576",
        ),
        (
            r#"{"ring_size": 1048577, "load_bound_percent": null}"#,
            "16 to 1048576",
        ),
        (
            r#"{"ring_size": 16, "load_bound_percent": 100}"#,
            "101 to 10000",
        ),
        (r#"{"load_bound_percent": 125}"#, "ring_size"),
    ] {
        assert!(build(&room(settings)).err().unwrap().contains(says));
    }
    assert!(build(&room(r#"{"ring_size": 16, "load_bound_percent": null}"#)).is_ok());
}

proptest! {
    /// However keys come and requests end, nobody has more than the bound of its share.
    #[test]
    fn no_load_exceeds_the_bound(
        weights in prop::collection::vec(1u32..6, 1..8),
        percent in 101u16..300,
        steps in prop::collection::vec((any::<u64>(), any::<bool>()), 1..300),
    ) {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        let balancer = ring(Some(percent));
        let state = balancer.new_state();
        let mut under_way: Vec<usize> = Vec::new();
        let total: u32 = weights.iter().sum();
        for (number, ends) in steps {
            if ends && !under_way.is_empty() {
                let gone = under_way.swap_remove((number % under_way.len() as u64) as usize);
                endpoints[gone].state.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            // Few keys, so that they are popular.
            let key = StableHash::mix(number % 3);
            let mut draw = Draw::from_seed(1);
            let taken = balancer.pick(&*state, &candidates, Some(key), &mut draw).unwrap();
            under_way.push(taken);
            let load = 1 + endpoints[taken].state.in_flight.fetch_add(1, Ordering::Relaxed);
            let share = under_way.len() as f64 * f64::from(weights[taken]) / f64::from(total);
            prop_assert!(f64::from(load) <= (share * f64::from(percent) / 100.0 - 1e-9).ceil());
        }
    }
}
