// SPDX-License-Identifier: Apache-2.0
//! Time of one pick, in nanoseconds, the best of ten rounds, and of the first one, which makes the
//! table of those that have one: `cargo bench -p tidegate-balancing`.
#![allow(clippy::unwrap_used)] // a broken benchmark should stop
use serde_json::value::RawValue;
use std::hint::black_box;
use std::sync::Arc;
use tidegate_balancing::build;
use tidegate_config::Room;
use tidegate_contract::{Candidates, Endpoint, EndpointState};
use tidegate_core::{Clock, Draw, StableHash};

fn main() {
    for (kind, settings) in [
        ("round_robin", "{}"),
        ("least_request", r#"{"choices": 2}"#),
        ("random", "{}"),
        ("least_connections", "{}"),
        ("peak_ewma", r#"{"decay": 10000, "failure": 1000}"#),
        ("ip_hash", r#"{"ipv4_prefix": 32, "ipv6_prefix": 64}"#),
        ("maglev", r#"{"table_size": 65537}"#),
        (
            "ring_hash",
            r#"{"ring_size": 32768, "load_bound_percent": 125}"#,
        ),
    ] {
        for count in [2, 10, 100, 500] {
            let (even, _) = measure(kind, settings, &vec![1; count]);
            let (uneven, first) = measure(
                kind,
                settings,
                &(0..count)
                    .map(|index| 1 + index as u32 % 3)
                    .collect::<Vec<_>>(),
            );
            println!(
                "{kind:17} {count:4} endpoints: even {even:6.1} ns  uneven {uneven:6.1} ns  first {first:6} us"
            );
        }
    }
}

fn measure(kind: &str, settings: &str, weights: &[u32]) -> (f64, u64) {
    let room = Room {
        kind: kind.into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    let balancer = build(&room).unwrap();
    let endpoints: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(index, &weight)| {
            let state = Arc::new(EndpointState::default());
            Arc::new(Endpoint {
                address: format!("10.0.{}.{}:80", index / 256, index % 256),
                zone: None,
                priority: 0,
                weight,
                is_draining: false,
                source: String::new(),
                state,
            })
        })
        .collect();
    let usable: Vec<u16> = (0..endpoints.len() as u16).collect();
    let candidates = Candidates::new(&endpoints, &usable);
    let state = balancer.new_state();
    let mut draw = Draw::from_seed(1);
    let clock = Clock::system();
    let picks = 200_000u32;
    let mut best = u64::MAX;
    let mut first = u64::MAX;
    for _ in 0..5 {
        let state = balancer.new_state();
        let started = clock.now();
        black_box(balancer.pick(&*state, &candidates, Some(0), &mut draw));
        first = first.min(clock.now().micros_since(started));
    }
    for _ in 0..10 {
        let started = clock.now();
        for pick in 0..picks {
            // Counting costs next to nothing; balancers without a key ignore it.
            let key = Some(StableHash::mix(pick.into()));
            black_box(balancer.pick(&*state, black_box(&candidates), key, &mut draw));
        }
        best = best.min(clock.now().micros_since(started));
    }
    (best as f64 * 1000.0 / f64::from(picks), first)
}
