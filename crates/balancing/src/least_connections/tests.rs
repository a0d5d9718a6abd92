// SPDX-License-Identifier: Apache-2.0
use super::LeastConnections;
use crate::build;
use crate::testing::{all, assert_shares, count, endpoints, occupy};
use proptest::prelude::*;
use serde_json::value::RawValue;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

fn picks(weights: &[u32], in_flight: &[u32], count: usize) -> Vec<usize> {
    let endpoints = endpoints(weights);
    for (endpoint, in_flight) in endpoints.iter().zip(in_flight) {
        occupy(endpoint, *in_flight);
    }
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let state = LeastConnections.new_state();
    let mut draw = Draw::from_seed(1);
    let pick = || LeastConnections.pick(&*state, &candidates, None, &mut draw);
    std::iter::repeat_with(pick).take(count).flatten().collect()
}

#[test]
fn the_one_least_busy_endpoint_is_always_taken() {
    assert_eq!(picks(&[1, 1, 1, 1], &[3, 2, 1, 2], 3), [2, 2, 2]);
    assert_eq!(picks(&[1, 4], &[1, 3], 2), [1, 1], "3 per 4 is less than 1");
    assert_eq!(picks(&[1, 4], &[1, 5], 2), [0, 0]);
}

#[test]
fn those_that_are_as_busy_take_turns() {
    assert_eq!(picks(&[1, 1, 1], &[0, 0, 0], 6), [0, 1, 2, 0, 1, 2]);
    assert_eq!(picks(&[2, 2, 2], &[1, 2, 1], 4), [0, 2, 0, 2]);
}

#[test]
fn idle_endpoints_are_taken_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4], [1, 1, 1, 97]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        assert_shares(
            &count(&LeastConnections, &candidates, 10_000),
            &LeastConnections.shares(&candidates),
        );
    }
}

#[test]
fn loads_and_weights_at_their_limits_do_not_overflow() {
    let most = u32::MAX;
    assert_eq!(picks(&[most, most, 1], &[most, 0, most], 2), [1, 1]);
}

#[test]
fn without_candidates_there_is_no_pick() {
    assert!(picks(&[], &[], 1).is_empty());
}

#[test]
fn it_has_no_settings() {
    let room = |settings: &str| Room {
        kind: "least_connections".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room("{}")).is_ok());
    let refused = build(&room(r#"{"choices": 2}"#)).err().unwrap();
    assert!(refused.contains("choices"));
}

proptest! {
    #[test]
    fn nobody_is_less_busy_than_who_is_taken(
        given in prop::collection::vec((1u32..6, 0u32..20), 1..9),
    ) {
        let (weights, in_flight): (Vec<u32>, Vec<u32>) = given.iter().copied().unzip();
        let load = |at: usize| f64::from(in_flight[at]) / f64::from(weights[at]);
        let least = (0..given.len()).map(load).fold(f64::MAX, f64::min);
        for taken in picks(&weights, &in_flight, 20) {
            prop_assert!((load(taken) - least).abs() < 1e-9);
        }
    }
}
