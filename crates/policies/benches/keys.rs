// SPDX-License-Identifier: Apache-2.0
//! Time of a request that shows an API key, in nanoseconds, the best of ten rounds:
//! `cargo bench -p tidegate-policies`.
#![allow(clippy::unwrap_used, clippy::panic)] // a broken benchmark should stop
use serde_json::json;
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::sync::Arc;
use tidegate_contract::{Filter, Flow};
use tidegate_core::Clock;
use tidegate_policies::build;

#[allow(dead_code)] // what the rooms' tests need besides
#[path = "../src/testing.rs"]
mod testing;

const ROUNDS: usize = 10;
const REQUESTS: usize = 20_000;

fn main() {
    for count in [1, 1_000, 100_000] {
        let policy = policy(count);
        let known = best(&*policy, |number| format!("key-{}", number * 7_919 % count));
        let unknown = best(&*policy, |number| format!("other-{number}"));
        let mistyped = best(&*policy, |number| format!("tg_{number:038}"));
        println!(
            "api_key {count:7} keys: known {known:5} ns  unknown {unknown:5} ns  mistyped {mistyped:5} ns"
        );
    }
}

fn policy(count: usize) -> Arc<dyn Filter> {
    let owners: Vec<_> = (0..count)
        .map(|number| {
            let digest = Sha256::digest(format!("key-{number}"));
            let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"subject": format!("owner-{number}"), "roles": ["reader"], "scopes": [],
                   "claims": [["plan", "gold"]], "disabled": false,
                   "keys": [{"hash": format!("sha256:{digits}"), "expires": null}]})
        })
        .collect();
    let settings = json!({"header": "x-api-key", "authorization": null, "query": null, "prefix": "tg",
                          "forward": false, "owners": owners});
    testing::filter("api_key", &settings.to_string()).unwrap()
}

/// Nanoseconds for one request, of the best round.
fn best(policy: &dyn Filter, key: impl Fn(usize) -> String) -> u64 {
    let clock = Clock::system();
    let rounds = (0..ROUNDS).map(|_| {
        let mut exchanges: Vec<_> = (0..REQUESTS)
            .map(|number| testing::exchange(&[("Host", "a.test"), ("X-Api-Key", &key(number))]))
            .collect();
        let begun = clock.now();
        for exchange in &mut exchanges {
            match policy.request(exchange, 0) {
                Flow::Continue => {}
                Flow::Respond(answer) => drop(black_box(answer)),
                Flow::Wait(_) => panic!("it asks nobody"),
            }
        }
        clock.now().micros_since(begun) * 1_000 / REQUESTS as u64
    });
    rounds.min().unwrap()
}
