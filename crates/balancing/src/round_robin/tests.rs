// SPDX-License-Identifier: Apache-2.0
use super::RoundRobin;
use crate::testing::{all, assert_shares, count, endpoints};
use crate::{ROOMS, build};
use serde_json::value::RawValue;
use std::thread;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

fn room(settings: &str) -> Room {
    Room {
        kind: "round_robin".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    }
}

#[test]
fn equal_weights_rotate_exactly() {
    let endpoints = endpoints(&[3, 3, 3, 3]);
    let candidates = Candidates::new(&endpoints, &[0, 1, 3]);
    let state = RoundRobin.new_state();
    let mut draw = Draw::from_seed(1);
    let picks: Vec<_> = (0..7)
        .map(|_| {
            RoundRobin
                .pick(&*state, &candidates, None, &mut draw)
                .unwrap()
        })
        .collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn ten_thousand_picks_land_within_two_percent_of_the_weights() {
    for weights in [
        [1, 2, 3, 4],
        [1, 1, 1, 2],
        [1, 1, 1, 97],
        [100, 99, 98, 97],
        [7, 1, 7, 1],
    ] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let candidates = Candidates::new(&endpoints, &usable);
        assert_shares(
            &count(&RoundRobin, &candidates, 10_000),
            &RoundRobin.shares(&candidates),
        );
    }
}

#[test]
fn unequal_weights_are_spread_evenly_over_short_runs() {
    let endpoints = endpoints(&[1, 1, 2]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let state = RoundRobin.new_state();
    let mut draw = Draw::from_seed(1);
    let picks: Vec<_> = (0..400)
        .map(|_| {
            RoundRobin
                .pick(&*state, &candidates, None, &mut draw)
                .unwrap()
        })
        .collect();
    for run in picks.windows(20) {
        let heavy = run.iter().filter(|pick| **pick == 2).count();
        assert!((8..=12).contains(&heavy), "{run:?}");
    }
}

#[test]
fn threads_share_one_rotation() {
    let endpoints = endpoints(&[1, 1, 1, 1]);
    let usable = all(&endpoints);
    let state = RoundRobin.new_state();
    let run = || {
        let candidates = Candidates::new(&endpoints, &usable);
        let mut draw = Draw::from_seed(1);
        let mut counts = [0; 4];
        for _ in 0..2501 {
            counts[RoundRobin
                .pick(&*state, &candidates, None, &mut draw)
                .unwrap()] += 1;
        }
        counts
    };
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold([0; 4], |mut sum, counts| {
                sum.iter_mut()
                    .zip(counts)
                    .for_each(|(sum, count)| *sum += count);
                sum
            })
    });
    assert_eq!(counts, [2501; 4]);
}

#[test]
fn backends_rotate_on_their_own() {
    let endpoints = endpoints(&[1, 1]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let mut draw = Draw::from_seed(1);
    for state in [RoundRobin.new_state(), RoundRobin.new_state()] {
        assert_eq!(
            RoundRobin.pick(&*state, &candidates, None, &mut draw),
            Some(0)
        );
    }
}

#[test]
fn without_candidates_there_is_no_pick() {
    let candidates = Candidates::new(&[], &[]);
    let picked = RoundRobin.pick(
        &*RoundRobin.new_state(),
        &candidates,
        None,
        &mut Draw::from_seed(1),
    );
    assert_eq!(picked, None);
    assert_eq!(RoundRobin.shares(&candidates), Vec::<f64>::new());
}

#[test]
fn the_registry_builds_it_and_refuses_what_it_does_not_know() {
    assert!(ROOMS.contains(&"round_robin"));
    assert!(build(&room("{}")).is_ok());
    assert!(
        build(&room(r#"{"choices": 2}"#))
            .err()
            .unwrap()
            .contains("choices")
    );
    let unknown = Room {
        kind: "fastest".into(),
        ..room("{}")
    };
    assert!(build(&unknown).err().unwrap().contains("`fastest`"));
}
