// SPDX-License-Identifier: Apache-2.0
//! Time of a request that shows an API key, in nanoseconds, the best of ten rounds:
//! `cargo bench -p tidegate-policies`.
#![allow(clippy::unwrap_used, clippy::panic)] // a broken benchmark should stop
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tidegate_config::PolicyUse;
use tidegate_contract::{Client, Exchange, Filter, Flow};
use tidegate_core::Clock;
use tidegate_policies::build;
use tidegate_request::{Fields, Options, Parts, Request, Scheme, Storage, Version};

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
    let used = PolicyUse {
        kind: "api_key".into(),
        settings: RawValue::from_string(settings.to_string()).unwrap(),
        name: None,
        when: None,
        shadow: false,
        continues: false,
        data: Default::default(),
    };
    build(&used).unwrap()
}

/// Nanoseconds for one request, of the best round.
fn best(policy: &dyn Filter, key: impl Fn(usize) -> String) -> u64 {
    let clock = Clock::system();
    let rounds = (0..ROUNDS).map(|_| {
        let mut exchanges: Vec<_> = (0..REQUESTS).map(|number| exchange(&key(number))).collect();
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

fn exchange(key: &str) -> Exchange {
    let mut storage = Storage::new();
    let mut fields = Fields::new();
    fields.append(b"Host", b"a.test").unwrap();
    fields.append(b"X-Api-Key", key.as_bytes()).unwrap();
    *storage.fields_mut() = fields;
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Exchange {
        request: Request::build(storage, parts, Options::default()).unwrap(),
        client: Client {
            address,
            peer: address,
            port: 1,
            is_trusted: false,
        },
        listener: Some("web".into()),
        tls: "",
        certificate: None,
        identity: None,
        route: "r".into(),
        parameters: vec![],
        request_id: String::new(),
        received: 0,
        body: None,
        left_out: Vec::new(),
        would_answer: Vec::new(),
        kept: vec![],
    }
}
