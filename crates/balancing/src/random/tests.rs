// SPDX-License-Identifier: Apache-2.0
use super::Random;
use crate::build;
use crate::testing::{all, assert_shares, count, endpoints};
use serde_json::value::RawValue;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates};
use tidegate_core::Draw;

#[test]
fn endpoints_are_drawn_as_the_shares_say() {
    let endpoints = endpoints(&[1, 2, 3, 4]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    assert_shares(
        &count(&Random, &candidates, 200_000),
        &Random.shares(&candidates),
    );
}

#[test]
fn four_threads_draw_within_four_standard_errors() {
    let text = std::env::var("TIDEGATE_SEED").unwrap_or_else(|_| "20260101".into());
    let seed: u64 = text.parse().unwrap();
    println!("TIDEGATE_SEED={seed}");
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
        let endpoints = endpoints(&weights);
        let usable = all(&endpoints);
        let draws = |thread: u64| {
            let candidates = Candidates::new(&endpoints, &usable);
            let mut draw = Draw::from_seed(seed.wrapping_add(thread));
            let mut counts = [0u32; 4];
            for _ in 0..2_500 {
                counts[Random.pick(&(), &candidates, None, &mut draw).unwrap()] += 1;
            }
            counts
        };
        let all: Vec<[u32; 4]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|n| {
                    scope.spawn({
                        let draws = &draws;
                        move || draws(n)
                    })
                })
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let total: u32 = weights.iter().sum();
        for (index, weight) in weights.iter().enumerate() {
            let count: u32 = all.iter().map(|counts| counts[index]).sum();
            let share = f64::from(*weight) / f64::from(total);
            let error = (10_000.0 * share * (1.0 - share)).sqrt();
            let off = f64::from(count) - 10_000.0 * share;
            assert!(off.abs() < 4.0 * error, "seed {seed}: {all:?}");
        }
    }
}

#[test]
fn a_factor_changes_the_share() {
    let endpoints = endpoints(&[1, 1]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    assert!(endpoints[0].state.factor.set(3.0));
    assert_eq!(Random.shares(&candidates), [0.75, 0.25]);
    assert_shares(&count(&Random, &candidates, 100_000), &[0.75, 0.25]);
}

#[test]
fn without_candidates_there_is_no_pick() {
    let candidates = Candidates::new(&[], &[]);
    let mut draw = Draw::from_seed(1);
    let picked = Random.pick(&*Random.new_state(), &candidates, None, &mut draw);
    assert_eq!(picked, None);
    assert!(Random.shares(&candidates).is_empty());
}

#[test]
fn it_has_no_settings() {
    let room = |settings: &str| Room {
        kind: "random".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room("{}")).is_ok());
    let refused = build(&room(r#"{"by_weight": true}"#)).err().unwrap();
    assert!(refused.contains("by_weight"));
}
