// SPDX-License-Identifier: Apache-2.0
use super::{Maglev, Settings};
use crate::build;
use crate::by_key::ByKey;
use crate::testing::{all, assert_shares, count, endpoints, homes, moved, tally};
use serde_json::value::RawValue;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates, KeyOf};
use tidegate_core::Moment;

const KEYS: u64 = 100_000;

fn maglev() -> ByKey<Maglev> {
    ByKey(Maglev::new(&Settings { table_size: 65_537 }).unwrap())
}

#[test]
fn keys_are_spread_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4], [5, 1, 1, 1000]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        let state = maglev().new_state();
        let counts = tally(&homes(&maglev(), &*state, &candidates, KEYS), 4);
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let share = KEYS as f64 * f64::from(weight) / f64::from(total);
            // Four standard errors of keys, and a slot.
            let spread = 4.0 * share.sqrt() + KEYS as f64 / 65_537.0;
            assert!((*count as f64 - share).abs() < spread, "{counts:?}");
        }
    }
}

#[test]
fn of_an_endpoint_that_goes_down_only_its_own_keys_move_and_to_all_others() {
    let endpoints = endpoints(&[1, 1, 1, 1, 1]);
    let state = maglev().new_state();
    let usable = all(&endpoints);
    let before = homes(
        &maglev(),
        &*state,
        &Candidates::new(&endpoints, &usable),
        KEYS,
    );
    let left = [0, 1, 3, 4];
    let after = homes(
        &maglev(),
        &*state,
        &Candidates::new(&endpoints, &left),
        KEYS,
    );
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 2);
    }
    let new = tally(&after, 5);
    let old = tally(&before, 5);
    for index in left.map(usize::from) {
        let gained = new[index] - old[index];
        assert!((4500..5500).contains(&gained), "{old:?} {new:?}");
    }
}

/// The homes of keys when the endpoints with weight 0 are not there.
fn homes_by(weights: &[u32]) -> Vec<usize> {
    let there: Vec<_> = endpoints(weights)
        .into_iter()
        .filter(|endpoint| endpoint.weight > 0)
        .collect();
    let usable = all(&there);
    let state = maglev().new_state();
    let positions: Vec<usize> = (0..weights.len())
        .filter(|index| weights[*index] > 0)
        .collect();
    let homes = homes(&maglev(), &*state, &Candidates::new(&there, &usable), KEYS);
    homes.into_iter().map(|home| positions[home]).collect()
}

#[test]
fn when_an_endpoint_goes_comes_or_weighs_something_else_few_other_keys_move() {
    for (before, after) in [
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 0]),
        ([1, 2, 5, 10, 4], [1, 2, 5, 10, 0]),
        ([1, 2, 5, 10, 4], [1, 2, 5, 0, 4]),
        ([1, 2, 5, 10, 4], [0, 2, 5, 10, 4]),
        ([1, 2, 5, 10, 4], [1, 2, 7, 10, 4]),
        ([1, 2, 5, 10, 4], [1, 2, 5, 9, 4]),
        ([1, 2, 5, 10, 4], [1, 2, 5, 20, 4]),
    ] {
        let share = |weights: [u32; 5], index: usize| {
            f64::from(weights[index]) / f64::from(weights.iter().sum::<u32>())
        };
        let index = (0..5)
            .find(|index| before[*index] != after[*index])
            .unwrap();
        let due = (share(before, index) - share(after, index)).abs();
        let there = moved(&homes_by(&before), &homes_by(&after));
        let back = moved(&homes_by(&after), &homes_by(&before));
        assert!((there - back).abs() < 1e-9);
        assert!(
            (due - 0.01..due + 0.05).contains(&there),
            "{after:?} {due} {there}"
        );
    }
}

#[test]
fn a_weight_that_changes_is_seen_at_the_next_version() {
    let endpoints = endpoints(&[1, 1]);
    let usable = all(&endpoints);
    let state = maglev().new_state();
    let at = |version| Candidates::new(&endpoints, &usable).at(Moment(0), version);
    let before = homes(&maglev(), &*state, &at(1), 10_000);
    endpoints[0].state.factor.set(0.1);
    assert_eq!(homes(&maglev(), &*state, &at(1), 10_000), before);
    let after = homes(&maglev(), &*state, &at(2), 10_000);
    assert!(tally(&after, 2)[0] < 1_200);
    assert!(moved(&before, &after) < 0.5);
}

#[test]
fn a_request_without_a_key_is_drawn_by_weight() {
    let endpoints = endpoints(&[1, 3]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    assert_eq!(maglev().key_of(), KeyOf::Hash);
    assert_shares(
        &count(&maglev(), &candidates, 100_000),
        &maglev().shares(&candidates),
    );
}

#[test]
fn endpoints_that_should_take_nothing_take_all_where_they_are_alone() {
    let endpoints = endpoints(&[1, 1, 1]);
    endpoints[0].state.factor.set(0.0);
    endpoints[1].state.factor.set(0.0);
    let state = maglev().new_state();
    let left = Candidates::new(&endpoints, &[0, 1]);
    let counts = tally(&homes(&maglev(), &*state, &left, 1000), 3);
    assert!(counts[0] > 400 && counts[1] > 400, "{counts:?}");
}

#[test]
fn without_candidates_there_is_no_pick() {
    let candidates = Candidates::new(&[], &[]);
    let state = maglev().new_state();
    assert_eq!(maglev().certain(&*state, &candidates, 7), None);
}

#[test]
fn settings_are_checked() {
    let room = |settings: &str| Room {
        kind: "maglev".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room(r#"{"table_size": 101}"#)).is_ok());
    for size in [0, 97, 102, 65_536, 5_000_021] {
        let settings = format!(r#"{{"table_size": {size}}}"#);
        let refused = build(&room(&settings)).err().unwrap();
        assert!(refused.contains("prime from 101"), "{refused}");
    }
    assert!(build(&room("{}")).err().unwrap().contains("table_size"));
}
