// SPDX-License-Identifier: Apache-2.0
//! Time of one lookup and of one update among 10,000 routes.
//!
//! `cargo bench -p tidegate-routing`: prints the best of several rounds in nanoseconds (lookups)
//! and microseconds (updates).
#![allow(clippy::unwrap_used)] // a broken benchmark should stop
#[path = "../src/tests/fixture.rs"]
mod fixture;

use fixture::route;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tidegate_config::{PathKind, Route};
use tidegate_core::Clock;
use tidegate_request::{Options, Parts, Request, Scheme, Storage, Version};
use tidegate_routing::{CompiledRoute, Ends, RouteTable};

const ROUTES: usize = 10_000;
const CLIENT: Ends = Ends {
    client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    local: None,
};

fn main() {
    let clock = Clock::system();
    let one_host = |_| vec!["api.example.test".into()];
    let own_host = |index: usize| vec![format!("host{index}.example.test")];
    let no_host = |_| vec![];
    let path = |index: usize| format!("/area{}/service{index}", index % 50);
    let flat = |index: usize| format!("/service{index}");
    let shape = |index: usize| format!("/area{}/service{index}/{{id}}", index % 50);
    let root = |_| "/".to_owned();
    run(
        &clock,
        "exact, one host",
        &routes(PathKind::Exact, path, one_host),
        "/area49/service9999",
    );
    run(
        &clock,
        "prefix, one host",
        &routes(PathKind::Prefix, path, one_host),
        "/area49/service9999/items/7",
    );
    run(
        &clock,
        "prefix, one level",
        &routes(PathKind::Prefix, flat, one_host),
        "/service9999/items/7",
    );
    run(
        &clock,
        "prefix, any host",
        &routes(PathKind::Prefix, path, no_host),
        "/area49/service9999/items/7",
    );
    run(
        &clock,
        "template, one host",
        &routes(PathKind::Template, shape, one_host),
        "/area49/service9999/7",
    );
    run(
        &clock,
        "10,000 hosts",
        &routes(PathKind::Prefix, root, own_host),
        "/area49/service9999/items/7",
    );
}

fn run(clock: &Clock, name: &str, routes: &[Route], target: &str) {
    let started = clock.now();
    let mut compiled = compile(routes);
    let compiling = clock.now().micros_since(started);
    let started = clock.now();
    let table = RouteTable::build(&compiled, &["web"]);
    let building = clock.now().micros_since(started);

    let host = routes[ROUTES - 1]
        .hosts
        .first()
        .map_or("api.example.test", String::as_str);
    let request = get(host, target);
    assert_eq!(table.find(0, &request, CLIENT).unwrap().route, ROUTES - 1);
    let hit = best(clock, || {
        table.find(0, black_box(&request), CLIENT).is_some()
    });
    let nothing = get(host, "/area49/nothing/here");
    let miss = best(clock, || {
        table.find(0, black_box(&nothing), CLIENT).is_some()
    });

    let changed = compile(&routes[ROUTES / 2..=ROUTES / 2]).remove(0);
    let original = std::mem::replace(&mut compiled[ROUTES / 2], Arc::clone(&changed));
    let mut current = table;
    let mut update = u64::MAX;
    for round in 0..20 {
        compiled[ROUTES / 2] = Arc::clone(if round % 2 == 0 { &changed } else { &original });
        let started = clock.now();
        current = current.update(&compiled); // the old table is dropped within
        update = update.min(clock.now().micros_since(started));
    }
    println!(
        "{name:20} hit {hit:6.1} ns  miss {miss:6.1} ns  one change {update:6} µs  build {building:6} µs  compile {compiling:6} µs"
    );
}

/// Nanoseconds a call takes, the best of ten rounds.
fn best(clock: &Clock, mut call: impl FnMut() -> bool) -> f64 {
    let calls = 200_000u32;
    let mut best = u64::MAX;
    for _ in 0..10 {
        let started = clock.now();
        for _ in 0..calls {
            black_box(call());
        }
        best = best.min(clock.now().micros_since(started));
    }
    best as f64 * 1000.0 / f64::from(calls)
}

fn compile(routes: &[Route]) -> Vec<Arc<CompiledRoute>> {
    let each = routes.iter().enumerate();
    each.map(|(index, route)| CompiledRoute::compile(&format!("r{index}"), route).unwrap())
        .collect()
}

fn routes(
    kind: PathKind,
    path: impl Fn(usize) -> String,
    hosts: impl Fn(usize) -> Vec<String>,
) -> Vec<Route> {
    (0..ROUTES)
        .map(|index| Route {
            hosts: hosts(index),
            ..route(kind, &path(index))
        })
        .collect()
}

fn get(host: &str, target: &str) -> Request {
    let mut storage = Storage::new();
    storage
        .fields_mut()
        .append(b"host", host.as_bytes())
        .unwrap();
    let parts = Parts {
        method: b"GET",
        target: target.as_bytes(),
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    Request::build(storage, parts, Options::default()).unwrap()
}
