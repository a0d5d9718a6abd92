// SPDX-License-Identifier: Apache-2.0
//! The decision functions, over snapshots built from JSON as control sends it.
use crate::decide::{self, NoEndpoint};
use crate::downstream::map_back;
use crate::snapshot::{BackendPlan, EndpointList, Problem, Registry, Snapshot};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_config::{Delta, EndpointSet, SCHEMA};
use tidegate_contract::Health;
use tidegate_core::{Clock, Draw};
use tidegate_http::{HeadLimits, parse_request, parse_response};
use tidegate_request::{FieldId, Method, Options, Request, Response, Scheme};
use tidegate_routing::Ends;

const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 8 << 10,
};

fn settings(trusted: &[&str]) -> Value {
    json!({"name": "tidegate", "threads": 1, "trusted_proxies": trusted,
           "graceful_stop": 30_000, "access_log": null, "redact_query": [], "redact_fields": [], "memory": null, "zone": null})
}

fn listener() -> Value {
    json!({"address": "127.0.0.1", "port": 80, "protocol": "http", "proxy_status": false,
           "merge_slashes": true, "policies": [], "named_only": false, "error_pages": [],
           "limits": {"header_size": 32_768, "header_fields": 100, "target_size": 8192,
                      "body_size": 1000, "streams": 100, "connections": 10, "connections_per_address": 10,
                      "connection_rate": null, "connection_burst": 1},
           "clients": {"allow": [], "deny": []},
           "timeouts": {"first_bytes": 1000, "handshake": 1000, "header": 1000, "body_stall": 1000, "body_rate": 240, "send_stall": 1000,
                        "idle": 1000}})
}

fn backend(limit: u32) -> Value {
    json!({"protocol": "http", "balancing": {"kind": "round_robin", "settings": {}},
           "health_check": null, "policies": [], "host": "keep", "pass_server": false, "http2": false,
           "hash": [{"kind": "client", "name": ""}], "slow_start": null, "load_report": null,
           "passive_health": {"enabled": true, "failures": 2, "exclude_for": 1000,
                              "max_excluded_percent": 50, "exclude_at_most": 300_000,
                              "statuses": [], "interval": 10_000, "success_rate": null,
                              "latency": null},
           "timeouts": {"connect": 1000, "pending": 1000, "first_byte": 1000, "stall": 1000},
           "adaptive_concurrency": null,
           "limits": {"requests": null, "total_requests": null, "total_connections": null,
                      "connections": limit, "pending": 10, "header_size": 32_768, "header_fields": 100},
           "pool": {"idle": 10, "idle_time": 4000, "unsafe_idle_time": 1000},
           "affinity": null,
           "zones": {"prefer": "local", "spill_at": null},
           "failover": {"overprovisioning_percent": 140, "panic_percent": 1},
           "retry_budget": {"percent": 20, "floor_per_second": 1}, "start_wait": null})
}

fn route(path: &str, rewrite: Value) -> Value {
    json!({"listeners": [], "hosts": [], "policies": [],
           "match": {"path": {"kind": if path.contains('{') { "template" } else { "prefix" }, "value": path},
                     "methods": [], "headers": [], "query": [], "cookies": [], "clients": [], "local_addresses": []},
           "to": {"type": "forward", "backends": [{"backend": "b", "weight": 1}]},
           "rewrite": rewrite,
           "timeouts": {"request": null, "first_byte": null, "upgraded_idle": 1000, "upgraded_life": null},
           "retries": {"attempts": 1, "methods": ["GET"], "statuses": [], "grpc_statuses": []}, "body_size": null,
           "buffer_request": null, "mirror": null, "websocket": null, "web": null, "media_types": [], "clients": {"allow": [], "deny": []}, "error_pages": [], "maintenance": null})
}

fn delta(base: u64, number: u64, set: Vec<(&str, &str, Value)>) -> Delta {
    let set: Vec<Value> = set
        .into_iter()
        .map(|(kind, name, value)| {
            json!({"kind": kind, "name": name, "hash": value.to_string(), "value": value})
        })
        .collect();
    let whole = json!({"schema": SCHEMA, "base": base, "number": number, "set": set,
                       "secrets": [], "remove": [], "endpoints": []});
    // From text, as on the wire: raw values keep their own.
    serde_json::from_str(&whole.to_string()).unwrap()
}

fn shop(rewrite: Value, path: &str, trusted: &[&str]) -> Delta {
    delta(
        0,
        1,
        vec![
            ("gateway", "gateway", settings(trusted)),
            ("listener", "web", listener()),
            ("backend", "b", backend(2)),
            ("route", "r", route(path, rewrite)),
            ("route_order", "routes", json!({"names": ["r"], "l4": []})),
        ],
    )
}

fn request(head: &str) -> Request {
    let options = Options {
        merge_slashes: true,
        is_trusted: true,
        is_proxy: false,
    };
    parse_request(
        head.as_bytes(),
        Default::default(),
        &LIMITS,
        Scheme::Http,
        options,
    )
    .unwrap()
}

fn rewritten(path: &str, rewrite: Value, target: &str) -> (String, Option<decide::Mapping>) {
    let registry = Registry::new(Clock::fake(), 1);
    let snapshot = Snapshot::apply(None, &shop(rewrite, path, &[]), &registry).unwrap();
    let mut request = request(&format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    let ends = Ends {
        client: IpAddr::from([127, 0, 0, 1]),
        local: None,
    };
    let routed = decide::route(&snapshot, 0, &request, ends).unwrap();
    let mapping = decide::rewrite(&routed, &mut request).unwrap();
    (request.path().to_owned(), mapping)
}

#[test]
fn a_prefix_is_replaced_segment_by_segment() {
    let to = |prefix: &str| json!({"prefix": prefix, "path": null, "host": null});
    for (target, prefix, expected) in [
        ("/app", "/", "/"),
        ("/app/", "/", "/"),
        ("/app/x/y", "/", "/x/y"),
        ("/app", "/inner", "/inner"),
        ("/app/", "/inner", "/inner/"),
        ("/app/x", "/inner/", "/inner/x"),
    ] {
        assert_eq!(
            rewritten("/app", to(prefix), target).0,
            expected,
            "{target} by {prefix}"
        );
    }
    assert_eq!(rewritten("/", to("/inner"), "/x").0, "/inner/x");
}

#[test]
fn a_template_fills_the_new_path() {
    let rewrite = json!({"prefix": null, "path": "/by-id/{id}", "host": null});
    assert_eq!(
        rewritten("/users/{id}", rewrite, "/users/42").0,
        "/by-id/42"
    );
}

fn mapped(header: &str, path: &str, rewrite: Value) -> Response {
    let (_, mapping) = rewritten(path, rewrite, "/app/x");
    let request = request("GET /x HTTP/1.1\r\nHost: shop.test:8080\r\n\r\n");
    let head = format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n{header}\r\n\r\n");
    let parsed = parse_response(head.as_bytes(), Default::default(), &LIMITS, Method::Get);
    let mut response = parsed.unwrap();
    map_back(
        &mut response,
        &request,
        mapping.as_ref(),
        &EndpointList::default(),
    );
    response
}

#[test]
fn what_an_endpoint_says_of_itself_is_mapped_back() {
    let rewrite = json!({"prefix": "/inner", "path": null, "host": "inner.test"});
    let location = |value: &str| {
        let response = mapped(&format!("Location: {value}"), "/app", rewrite.clone());
        String::from_utf8(response.fields().get(FieldId::Location).unwrap().to_vec()).unwrap()
    };
    assert_eq!(location("/inner/login?a=1"), "/app/login?a=1");
    assert_eq!(location("/inner"), "/app");
    assert_eq!(location("/innermost"), "/innermost");
    assert_eq!(
        location("http://inner.test/inner/x"),
        "http://shop.test:8080/app/x"
    );
    assert_eq!(
        location("https://elsewhere.test/inner/x"),
        "https://elsewhere.test/inner/x"
    );
    assert_eq!(location("//inner.test/inner"), "//shop.test:8080/app");
    // Said by an application that knows its prefix.
    assert_eq!(location("/app/inner/x"), "/app/inner/x");
    let cookies = mapped(
        "Set-Cookie: a=b; Path=/inner; HttpOnly\r\nSet-Cookie: c=d; path=/; Domain=inner.test",
        "/app",
        rewrite,
    );
    let values: Vec<_> = cookies.fields().get_all(FieldId::SetCookie).collect();
    assert_eq!(
        values,
        [
            &b"a=b; Path=/app; HttpOnly"[..],
            b"c=d; path=/; Domain=shop.test"
        ]
    );
}

#[test]
fn trusted_proxies_are_read_as_the_models_read_them() {
    let applied = |trusted| {
        let registry = Registry::new(Clock::system(), 1);
        let problems = Snapshot::apply(None, &shop(Value::Null, "/", &[trusted]), &registry).err();
        problems.map(|problems| problems[0].message.clone())
    };
    assert_eq!(applied("10.0.0.0/8"), None);
    for (trusted, says) in [
        ("::ffff:10.0.0.0/104", "write `10.0.0.0/8`"),
        ("::ffff:10.0.0.1", "write `10.0.0.1/32`"),
        ("10.0.0.1/8", "write `10.0.0.0/8`"),
        ("x", "is no network"),
    ] {
        let said = applied(trusted).unwrap_or_default();
        assert!(said.contains(says), "{trusted}: {said}");
    }
}

#[test]
fn the_client_is_the_nearest_address_that_is_not_a_trusted_proxys() {
    let registry = Registry::new(Clock::fake(), 1);
    let delta = shop(Value::Null, "/", &["10.0.0.0/8"]);
    let snapshot = Snapshot::apply(None, &delta, &registry).unwrap();
    let client = |peer: &str, chain: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {chain}\r\n\r\n");
        let peer: IpAddr = peer.parse().unwrap();
        let is_trusted = snapshot.settings.is_trusted(peer);
        decide::client(&snapshot.settings, peer, 1, is_trusted, &request(&head))
            .address
            .to_string()
    };
    assert_eq!(client("192.0.2.1", "203.0.113.9"), "192.0.2.1");
    assert_eq!(client("10.0.0.1", "203.0.113.9"), "203.0.113.9");
    assert_eq!(
        client("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2"),
        "203.0.113.9"
    );
    assert_eq!(client("10.0.0.1", "203.0.113.9, nonsense"), "10.0.0.1");
    assert_eq!(client("10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
    assert_eq!(client("10.0.0.1", "::ffff:203.0.113.9"), "203.0.113.9");
}

fn with_endpoints(addresses: &[&str]) -> (Clock, Arc<BackendPlan>) {
    with_backend("slow_start", Value::Null, addresses)
}

/// A backend of these endpoints, one setting of which is another.
pub(crate) fn with_backend(
    setting: &str,
    value: Value,
    addresses: &[&str],
) -> (Clock, Arc<BackendPlan>) {
    let clock = Clock::fake();
    let registry = Registry::new(clock.clone(), 1);
    let mut delta = shop(Value::Null, "/", &[]);
    for resource in delta.set.iter_mut().filter(|one| one.name == "b") {
        let mut config: Value = serde_json::from_str(resource.value.get()).unwrap();
        config[setting] = value.clone();
        resource.value = serde_json::value::to_raw_value(&config).unwrap();
    }
    let snapshot = Snapshot::apply(None, &delta, &registry).unwrap();
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"address": address, "zone": null, "priority": 0, "weight": 1, "draining": false, "found_by": "configuration"}))
        .collect();
    let set = json!({"backend": "b", "sequence": 1, "endpoints": endpoints});
    let set: EndpointSet = serde_json::from_value(set).unwrap();
    let plan = snapshot.backends.get("b").unwrap().clone();
    let take = || plan.shared.set_endpoints(&set, clock.now());
    assert!(take());
    assert!(!take(), "the same number is stale");
    (clock, plan)
}

#[test]
fn sick_endpoints_are_passed_over_until_none_is_well() {
    let (clock, plan) = with_endpoints(&["127.0.0.1:1", "127.0.0.1:2"]);
    let list = plan.shared.list.load_full();
    let usable =
        |tried: &[u16]| decide::usable(&plan, &list, clock.now(), tried).map(|u| u.to_vec());
    assert_eq!(usable(&[]), Ok(vec![0, 1]));
    list.endpoints[0].state.set_health(Health::Down);
    assert_eq!(usable(&[]), Ok(vec![1]));
    list.endpoints[1]
        .state
        .excluded_until
        .store(500, Ordering::Relaxed);
    assert_eq!(
        usable(&[]),
        Ok(vec![0, 1]),
        "all are tried when none is well"
    );
    assert_eq!(
        usable(&[0]),
        Err(NoEndpoint::Nothing),
        "but only by a first try"
    );
    clock.advance(600);
    assert_eq!(usable(&[]), Ok(vec![1]), "an exclusion ends by itself");
}

#[test]
fn a_full_endpoint_waits_for_room() {
    let (clock, plan) = with_endpoints(&["127.0.0.1:1"]);
    let list = plan.shared.list.load_full();
    list.endpoints[0]
        .state
        .in_flight
        .store(2, Ordering::Relaxed);
    let picked = decide::endpoint(
        &plan,
        &list,
        clock.now(),
        &[],
        &decide::Key::default(),
        &mut Draw::from_seed(1),
    );
    assert_eq!(picked, Err(NoEndpoint::NoRoom));
}

#[test]
fn retries_stay_within_their_budget() {
    let (clock, plan) = with_endpoints(&["127.0.0.1:1"]);
    let list = plan.shared.list.load_full();
    let requests = &list.endpoints[0].state.requests;
    // As on the live path, a retry is itself a request.
    let spend = || {
        let is_allowed = plan.shared.spend_retry(clock.now(), 20, 1);
        requests.fetch_add(u64::from(is_allowed), Ordering::Relaxed);
        is_allowed
    };
    let spent = |most: usize| (0..most).filter(|_| spend()).count();
    assert_eq!(spent(50), 10, "the floor: one a second over ten seconds");
    clock.advance(10_001);
    plan.shared.note_requests(clock.now());
    let list = plan.shared.list.load_full();
    assert!(spend());
    list.endpoints[0]
        .state
        .requests
        .fetch_add(1000, Ordering::Relaxed);
    assert_eq!(
        spent(500),
        199,
        "a fifth of a thousand requests, less the one spent"
    );
}

#[test]
fn a_delta_that_does_not_fit_changes_nothing() {
    let registry = Registry::new(Clock::fake(), 1);
    let first = Snapshot::apply(None, &shop(Value::Null, "/", &[]), &registry).unwrap();
    let places = |delta: &Delta| -> Vec<String> {
        match Snapshot::apply(Some(&first), delta, &registry) {
            Ok(_) => Vec::new(),
            Err(problems) => problems
                .into_iter()
                .map(|Problem { place, .. }| place)
                .collect(),
        }
    };
    assert_eq!(places(&delta(7, 8, vec![])), ["base"]);
    assert_eq!(places(&delta(1, 1, vec![])), ["number"]);
    let mut other = delta(1, 2, vec![]);
    other.schema = SCHEMA + 1;
    assert_eq!(places(&other), ["schema"]);
    let mut dangling = route("/x", Value::Null);
    dangling["to"]["backends"][0]["backend"] = json!("gone");
    let mut unknown = backend(1);
    unknown["surprise"] = json!(1);
    let both = delta(
        1,
        2,
        vec![("route", "r", dangling), ("backend", "b", unknown)],
    );
    let told = places(&both);
    assert!(
        told.len() >= 2 && told.iter().any(|place| place.contains("Backend b")),
        "{told:?}"
    );
    assert!(places(&delta(1, 2, vec![])).is_empty());
}

#[test]
fn what_did_not_change_is_the_same_object_afterwards() {
    let registry = Registry::new(Clock::fake(), 1);
    let first = Snapshot::apply(None, &shop(Value::Null, "/", &[]), &registry).unwrap();
    let change = delta(1, 2, vec![("route", "r", route("/other", Value::Null))]);
    let second = Snapshot::apply(Some(&first), &change, &registry).unwrap();
    assert!(Arc::ptr_eq(&first.listeners[0], &second.listeners[0]));
    assert!(Arc::ptr_eq(
        first.backends.get("b").unwrap(),
        second.backends.get("b").unwrap()
    ));
    assert!(!Arc::ptr_eq(&first.routes[0], &second.routes[0]));
    assert!(
        Arc::ptr_eq(&first.routes[0].stats, &second.routes[0].stats),
        "counters go on"
    );
}

#[test]
fn a_changed_backend_keeps_its_endpoints_and_their_state() {
    let registry = Registry::new(Clock::fake(), 1);
    let first = Snapshot::apply(None, &shop(Value::Null, "/", &[]), &registry).unwrap();
    let second = Snapshot::apply(
        Some(&first),
        &delta(1, 2, vec![("backend", "b", backend(9))]),
        &registry,
    );
    let (old, new) = (first.backends.get("b").unwrap().clone(), second.unwrap());
    let new = new.backends.get("b").unwrap();
    assert!(Arc::ptr_eq(&old.shared, &new.shared) && new.config.limits.connections == 9);
    assert!(
        Arc::ptr_eq(&old.balancer_state, &new.balancer_state),
        "round robin goes on"
    );
}
