// SPDX-License-Identifier: Apache-2.0
use super::{LeastRequest, Settings};
use crate::build;
use crate::testing::{all, assert_shares, count, endpoints, occupy};
use proptest::prelude::*;
use serde_json::value::RawValue;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

fn least_request(choices: u8) -> LeastRequest {
    LeastRequest::new(&Settings { choices }).unwrap()
}

fn pick(balancer: LeastRequest, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
    balancer.pick(&*balancer.new_state(), candidates, None, draw)
}

#[test]
fn of_two_endpoints_the_less_busy_one_is_always_taken() {
    let endpoints = endpoints(&[1, 1]);
    let usable = all(&endpoints);
    occupy(&endpoints[0], 1);
    assert_eq!(
        count(
            &least_request(2),
            &Candidates::new(&endpoints, &usable),
            1000
        ),
        [0, 1000]
    );
}

#[test]
fn the_busiest_endpoint_is_never_taken_because_draws_are_distinct() {
    let endpoints = endpoints(&[1, 1, 1]);
    let usable = all(&endpoints);
    occupy(&endpoints[1], 5);
    let counts = count(
        &least_request(2),
        &Candidates::new(&endpoints, &usable),
        3000,
    );
    assert_eq!(counts[1], 0);
}

#[test]
fn busy_is_in_flight_per_weight() {
    let endpoints = endpoints(&[1, 4]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    occupy(&endpoints[0], 1);
    occupy(&endpoints[1], 3);
    assert_eq!(count(&least_request(2), &candidates, 500), [0, 500]);
    occupy(&endpoints[1], 5);
    assert_eq!(count(&least_request(2), &candidates, 500), [500, 0]);
}

#[test]
fn equally_busy_endpoints_are_taken_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4], [1, 1, 1, 7]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        let balancer = least_request(3);
        assert_shares(
            &count(&balancer, &candidates, 200_000),
            &balancer.shares(&candidates),
        );
    }
}

#[test]
fn fewer_candidates_than_choices_are_all_compared() {
    let endpoints = endpoints(&[1, 1, 1]);
    occupy(&endpoints[2], 1);
    let mut draw = Draw::from_seed(1);
    for usable in [&[2][..], &[2, 0], &[0, 2]] {
        let candidates = Candidates::new(&endpoints, usable);
        let position = pick(least_request(8), &candidates, &mut draw).unwrap();
        assert_eq!(usable[position] == 2, usable.len() == 1);
    }
    assert_eq!(
        pick(
            least_request(2),
            &Candidates::new(&endpoints, &[]),
            &mut draw
        ),
        None
    );
}

#[test]
fn loads_and_weights_at_their_limits_do_not_overflow() {
    let endpoints = endpoints(&[u32::MAX, u32::MAX, 1]);
    let usable = all(&endpoints);
    occupy(&endpoints[0], u32::MAX);
    occupy(&endpoints[2], u32::MAX);
    let counts = count(
        &least_request(3),
        &Candidates::new(&endpoints, &usable),
        200,
    );
    assert_eq!(counts, [0, 200, 0]);
}

#[test]
fn settings_are_checked() {
    let room = |settings: &str| Room {
        kind: "least_request".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room(r#"{"choices": 2}"#)).is_ok() && build(&room(r#"{"choices": 8}"#)).is_ok());
    for settings in [r#"{"choices": 1}"#, r#"{"choices": 9}"#] {
        assert!(
            build(&room(settings))
                .err()
                .unwrap()
                .contains("from 2 to 8")
        );
    }
    assert!(build(&room("{}")).err().unwrap().contains("choices"));
}

proptest! {
    /// With as many choices as candidates the draw is without influence but for ties.
    #[test]
    fn comparing_all_takes_one_of_the_least_busy(
        given in prop::collection::vec((1u32..6, 0u32..20), 1..9),
        seed: u64,
    ) {
        let weights: Vec<u32> = given.iter().map(|(weight, _)| *weight).collect();
        let endpoints = endpoints(&weights);
        for (endpoint, (_, in_flight)) in endpoints.iter().zip(&given) {
            occupy(endpoint, *in_flight);
        }
        let usable = all(&endpoints);
        let position = pick(least_request(8), &Candidates::new(&endpoints, &usable), &mut Draw::from_seed(seed));
        let load = |(weight, in_flight): (u32, u32)| f64::from(in_flight) / f64::from(weight);
        let least = given.iter().map(|one| load(*one)).fold(f64::MAX, f64::min);
        prop_assert!((load(given[position.unwrap()]) - least).abs() < 1e-9);
    }

    /// The oracle: draw by drawing from a list and striking out, compare by dividing.
    #[test]
    fn picks_are_those_of_the_plain_algorithm(
        given in prop::collection::vec((1u32..6, 0u32..5), 1..12),
        choices in 2u8..=8,
        seed: u64,
    ) {
        let weights: Vec<u32> = given.iter().map(|(weight, _)| *weight).collect();
        let endpoints = endpoints(&weights);
        for (endpoint, (_, in_flight)) in endpoints.iter().zip(&given) {
            occupy(endpoint, *in_flight);
        }
        let mut draw = Draw::from_seed(seed);
        let mut line: Vec<usize> = (0..given.len()).flat_map(|at| vec![at; given[at].0 as usize]).collect();
        let mut drawn = vec![];
        while drawn.len() < usize::from(choices) && !line.is_empty() {
            let one = line[draw.below(line.len() as u64) as usize];
            line.retain(|other| *other != one);
            drawn.push(one);
        }
        let load = |at: usize| f64::from(given[at].1) / f64::from(given[at].0);
        let wanted = drawn.iter().copied().reduce(|best, one| if load(one) < load(best) - 1e-9 { one } else { best });
        let usable = all(&endpoints);
        let picked = pick(least_request(choices), &Candidates::new(&endpoints, &usable), &mut Draw::from_seed(seed));
        prop_assert_eq!(picked, wanted);
    }
}
