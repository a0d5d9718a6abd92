// SPDX-License-Identifier: Apache-2.0
use super::{PeakEwma, Settings};
use crate::build;
use crate::testing::{all, assert_shares, count, endpoints, occupy};
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_config::{Millis, Room};
use tidegate_contract::{Balancer, Candidates, Endpoint};
use tidegate_core::{Draw, Moment};

const START: Moment = Moment(1_000_000);

fn peak_ewma() -> PeakEwma {
    let settings = Settings {
        decay: Millis(10_000),
        failure: Millis(1_000),
    };
    PeakEwma::new(&settings).unwrap()
}

/// How often each is taken of `picks`.
fn taken(endpoints: &[Arc<Endpoint>], now: Moment, picks: usize) -> Vec<usize> {
    let usable = all(endpoints);
    let candidates = Candidates::new(endpoints, &usable).at(now, 1);
    count(&peak_ewma(), &candidates, picks)
}

fn answer(endpoint: &Endpoint, micros: u64, now: Moment) {
    peak_ewma().observe(endpoint, micros, false, now);
}

fn latency(endpoint: &Endpoint) -> f64 {
    endpoint.state.latency.get().unwrap().0
}

#[test]
fn endpoints_that_are_alike_are_taken_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable).at(START, 1);
        let shares = peak_ewma().shares(&candidates);
        assert_shares(&taken(&endpoints, START, 200_000), &shares);
        for (number, endpoint) in (0..).zip(&endpoints) {
            answer(endpoint, 1000 + number * 50, START);
        }
        assert_shares(&taken(&endpoints, START, 200_000), &shares);
    }
}

#[test]
fn a_light_one_is_taken_for_a_heavy_one_only_if_it_is_faster_by_as_much() {
    let endpoints = endpoints(&[1, 10]);
    answer(&endpoints[0], 1000, START);
    answer(&endpoints[1], 5000, START);
    let light = taken(&endpoints, START, 110_000)[0];
    assert!((9_500..10_500).contains(&light), "{light}: its share");
    answer(&endpoints[1], 20_000, START);
    assert_eq!(taken(&endpoints, START, 100), [100, 0], "the other stalls");
    answer(&endpoints[0], 40_000, START);
    assert_eq!(taken(&endpoints, START, 100), [0, 100], "clearly slower");
}

#[test]
fn the_clearly_faster_of_two_is_taken() {
    let endpoints = endpoints(&[1, 1]);
    answer(&endpoints[0], 2000, START);
    answer(&endpoints[1], 1000, START);
    assert_eq!(taken(&endpoints, START, 100), [0, 100]);
    occupy(&endpoints[1], 2);
    assert_eq!(taken(&endpoints, START, 100), [100, 0], "3 ms against 2 ms");
}

#[test]
fn what_is_in_flight_counts_per_weight() {
    let endpoints = endpoints(&[1, 3]);
    for endpoint in &endpoints {
        answer(endpoint, 1000, START);
    }
    occupy(&endpoints[0], 1);
    occupy(&endpoints[1], 1);
    assert_eq!(taken(&endpoints, START, 100), [0, 100]);
}

#[test]
fn a_peak_counts_at_once_and_is_forgotten_slowly() {
    let endpoints = endpoints(&[1]);
    let one = &endpoints[0];
    answer(one, 1000, START);
    answer(one, 9000, START.after_millis(1));
    assert!((latency(one) - 9000.0).abs() < 1e-6);
    answer(one, 1000, START.after_millis(10_001));
    // One time constant: 1/e of the peak is left.
    let wanted = 1000.0 + 8000.0 * (-1.0f64).exp();
    assert!((latency(one) - wanted).abs() < 1.0, "{}", latency(one));
}

#[test]
fn one_that_was_slow_is_tried_again_in_time() {
    let endpoints = endpoints(&[1, 1]);
    answer(&endpoints[0], 100_000, START);
    let later = START.after_millis(60_000);
    answer(&endpoints[1], 1000, later);
    assert_eq!(taken(&endpoints, START, 100)[0], 0);
    assert!(taken(&endpoints, later, 100)[0] > 90);
}

#[test]
fn one_never_heard_of_is_tried_by_one_request() {
    let endpoints = endpoints(&[1, 1]);
    answer(&endpoints[1], 1000, START);
    assert_eq!(taken(&endpoints, START, 100), [100, 0]);
    occupy(&endpoints[0], 1);
    assert_eq!(taken(&endpoints, START, 100), [0, 100]);
}

#[test]
fn a_quick_failure_does_not_look_fast() {
    let endpoints = endpoints(&[1, 1]);
    peak_ewma().observe(&endpoints[0], 10, true, START);
    answer(&endpoints[1], 50_000, START);
    assert_eq!(taken(&endpoints, START, 100), [0, 100]);
}

#[test]
fn the_only_candidate_is_taken_and_without_one_there_is_no_pick() {
    assert_eq!(taken(&endpoints(&[1]), START, 3), [3]);
    let nobody = Candidates::new(&[], &[]);
    let mut draw = Draw::from_seed(1);
    assert_eq!(peak_ewma().pick(&(), &nobody, None, &mut draw), None);
}

#[test]
fn settings_are_checked() {
    let room = |settings: &str| Room {
        kind: "peak_ewma".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room(r#"{"decay": 1, "failure": 0}"#)).is_ok());
    let refused = build(&room(r#"{"decay": 0, "failure": 0}"#)).err().unwrap();
    assert!(refused.contains("above 0"));
    assert!(build(&room("{}")).err().unwrap().contains("decay"));
}
