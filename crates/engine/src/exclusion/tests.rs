// SPDX-License-Identifier: Apache-2.0
use super::{Tally, by_latency, by_rate, exclude};
use crate::tests::with_backend;
use serde_json::json;
use std::sync::atomic::Ordering;
use tidegate_config::{LatencyOutliers, Millis, RateOutliers};

const RATE: RateOutliers = RateOutliers {
    deviations_percent: 190,
    requests: 100,
    endpoints: 5,
};
const LATENCY: LatencyOutliers = LatencyOutliers {
    factor_percent: 300,
    requests: 100,
    endpoints: 3,
    least: Millis(5),
};

fn rated(all: &[(u64, u64)]) -> Vec<usize> {
    let tallies: Vec<Tally> = all
        .iter()
        .map(|(requests, failures)| Tally {
            requests: *requests,
            failures: *failures,
            ..Tally::default()
        })
        .collect();
    let found = by_rate(&tallies, &RATE).into_iter();
    found.map(|(index, _)| index).collect()
}

fn timed(all: &[(u64, u64)]) -> Vec<usize> {
    let tallies: Vec<Tally> = all
        .iter()
        .map(|(answers, mean_us)| Tally {
            answers: *answers,
            answers_us: answers * mean_us,
            ..Tally::default()
        })
        .collect();
    let found = by_latency(&tallies, &LATENCY).into_iter();
    found.map(|(index, _)| index).collect()
}

#[test]
fn one_that_fails_more_than_the_others_stands_out() {
    assert_eq!(
        rated(&[(200, 0), (200, 2), (200, 1), (200, 0), (200, 90)]),
        [4]
    );
}

#[test]
fn where_all_fail_alike_none_stands_out() {
    assert_eq!(rated(&[(200, 80); 6]), [0usize; 0]);
    assert_eq!(rated(&[(200, 200); 6]), [0usize; 0]);
}

#[test]
fn too_few_requests_or_endpoints_say_nothing() {
    assert_eq!(
        rated(&[(99, 99), (200, 0), (200, 0), (200, 0), (200, 0)]),
        [0usize; 0]
    );
    assert_eq!(
        rated(&[(200, 0), (200, 0), (200, 0), (200, 150)]),
        [0usize; 0]
    );
    assert_eq!(rated(&[]), [0usize; 0]);
}

#[test]
fn one_that_answers_much_later_stands_out() {
    assert_eq!(timed(&[(100, 10_000), (100, 12_000), (100, 36_001)]), [2]);
    assert_eq!(
        timed(&[(100, 10_000), (100, 12_000), (100, 36_000)]),
        [0usize; 0]
    );
    assert_eq!(
        timed(&[(100, 10_000), (100, 12_000), (99, 90_000)]),
        [0usize; 0]
    );
    assert_eq!(
        timed(&[(100, 100), (100, 100), (100, 4_999)]),
        [0usize; 0],
        "below `least`"
    );
}

#[test]
fn exclusions_in_a_row_get_longer_up_to_the_most_and_are_forgiven() {
    let settings = json!({"enabled": true, "failures": 1, "exclude_for": 1000,
                          "exclude_at_most": 3500, "max_excluded_percent": 50, "statuses": [],
                          "interval": 10_000, "success_rate": null, "latency": null});
    let addresses = ["192.0.2.1:80", "192.0.2.2:80"];
    let (clock, plan) = with_backend("passive_health", settings, &addresses);
    let list = plan.shared.list.load_full();
    let state = |index: usize| &*list.endpoints[index].state;
    let out = |index| exclude(&plan, &list, state(index), clock.now());
    for millis in [1000, 2000, 3000, 3500, 3500] {
        assert_eq!(out(0), Some(millis));
        assert_eq!(out(0), None, "it is out already");
        assert_eq!(out(1), None, "the last one stays");
        clock.advance(millis);
    }
    clock.advance(3000);
    assert_eq!(out(0), Some(3000), "three of five are forgiven");
    assert_eq!(state(0).excluded_total.load(Ordering::Relaxed), 6);
}
