// SPDX-License-Identifier: Apache-2.0
use super::{RingHash, Settings};
use crate::build;
use crate::by_key::ByKey;
use crate::testing::{all, endpoints, homes, moved, occupy, tally};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::sync::atomic::Ordering;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::{Draw, Moment, StableHash};

const KEYS: u64 = 100_000;

fn ring(load_bound_percent: Option<u16>) -> ByKey<RingHash> {
    let settings = Settings {
        points: 512,
        load_bound_percent,
    };
    ByKey(RingHash::new(&settings).unwrap())
}

#[test]
fn keys_are_spread_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        let state = ring(None).new_state();
        let counts = tally(&homes(&ring(None), &*state, &candidates, KEYS), 4);
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let share = KEYS as f64 * f64::from(weight) / f64::from(total);
            assert!((*count as f64) < 1.25 * share, "{counts:?}");
            assert!((*count as f64) > 0.75 * share, "{counts:?}");
        }
    }
}

#[test]
fn when_an_endpoint_goes_only_its_own_keys_move() {
    let endpoints = endpoints(&[1, 1, 1, 1, 1]);
    let usable = all(&endpoints);
    let state = ring(None).new_state();
    let whole = Candidates::new(&endpoints, &usable).at(Moment(0), 1);
    let before = homes(&ring(None), &*state, &whole, KEYS);
    let down = Candidates::new(&endpoints, &usable[..4]).at(Moment(0), 1);
    let removed = Candidates::new(&endpoints[..4], &usable[..4]).at(Moment(0), 2);
    for rest in [down, removed] {
        let after = homes(&ring(None), &*state, &rest, KEYS);
        assert!(moved(&before, &after) < 0.25);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 4);
        }
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
        (r#"{"points": 0, "load_bound_percent": null}"#, "1 to 10000"),
        (
            r#"{"points": 10001, "load_bound_percent": null}"#,
            "1 to 10000",
        ),
        (
            r#"{"points": 1, "load_bound_percent": 100}"#,
            "101 to 10000",
        ),
        (r#"{"load_bound_percent": 125}"#, "points"),
    ] {
        assert!(build(&room(settings)).err().unwrap().contains(says));
    }
    assert!(build(&room(r#"{"points": 1, "load_bound_percent": null}"#)).is_ok());
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
