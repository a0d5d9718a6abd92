// SPDX-License-Identifier: Apache-2.0
use super::{AffinityPlan, Session, opened, written};
use crate::decide::Usable;
use crate::snapshot::{BackendShared, EndpointList};
use hmac::{Hmac, KeyInit};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{Draw, Moment};

fn list(weights: &[u32]) -> Arc<EndpointList> {
    let shared = BackendShared::new("b", Moment::default(), Arc::default());
    let each = weights.iter().enumerate().map(|(index, weight)| {
        json!({"address": format!("192.0.2.{}:80", index + 1), "zone": null, "priority": 0,
               "weight": weight, "draining": false, "found_by": "configuration"})
    });
    let set = json!({"backend": "b", "sequence": 1, "endpoints": each.collect::<Vec<_>>()});
    shared.set_endpoints(&serde_json::from_value(set).unwrap(), Moment::default());
    shared.list.load_full()
}

fn cookie(nonce: u64) -> Session {
    Session::Cookie {
        nonce,
        seal: [0; 16],
    }
}

#[test]
fn a_value_is_read_as_it_was_written() {
    // RFC 4648 §10, by three bytes, and every digit.
    assert_eq!(written(b"foobar"), "Zm9vYmFy");
    let mut draw = Draw::from_seed(3);
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..24).map(|_| draw.bits() as u8).collect();
        let Some(Session::Cookie { nonce, seal }) = opened(written(&bytes).as_bytes()) else {
            panic!("{bytes:?}");
        };
        assert_eq!(nonce.to_be_bytes(), bytes[..8]);
        assert_eq!(seal, bytes[8..]);
    }
}

#[test]
fn what_we_did_not_write_is_no_session() {
    let good = written(&[7; 24]);
    assert!(opened(good.as_bytes()).is_some());
    for bad in [
        "",
        &good[1..],
        &format!("{good}A"),
        &good.replace(&good[3..4], "+"),
        &good.replace(&good[3..4], "="),
        "\"ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ\"",
        &"\u{fc}".repeat(16),
    ] {
        assert_eq!(opened(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_seal_depends_on_key_backend_and_address_alone() {
    let key = |text: &str| Hmac::new_from_slice(text.as_bytes()).unwrap();
    let first = AffinityPlan::seal(&key("one key of many"), "b", "192.0.2.1:80");
    assert_eq!(
        first,
        AffinityPlan::seal(&key("one key of many"), "b", "192.0.2.1:80")
    );
    for other in [
        AffinityPlan::seal(&key("another key"), "b", "192.0.2.1:80"),
        AffinityPlan::seal(&key("one key of many"), "c", "192.0.2.1:80"),
        AffinityPlan::seal(&key("one key of many"), "b", "192.0.2.1:81"),
        // No part can be taken for a piece of its neighbour.
        AffinityPlan::seal(&key("one key of many"), "b\u{0}192.0.2.1", ":80"),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn sessions_spread_by_weight() {
    let list = list(&[1, 2, 0, 5]);
    let usable: Usable = [0, 1, 3].into_iter().collect();
    let mut found: BTreeMap<u16, u32> = BTreeMap::new();
    for nonce in 0..80_000 {
        *found
            .entry(cookie(nonce).choose(&list, &usable).unwrap())
            .or_default() += 1;
    }
    for (index, expected) in [(0, 10_000.0), (1, 20_000.0), (3, 50_000.0)] {
        let count = f64::from(found[&index]);
        assert!(
            (count - expected).abs() < 5.0 * f64::sqrt(expected),
            "{index}: {count}"
        );
    }
}

#[test]
fn only_the_sessions_of_an_endpoint_that_goes_move() {
    let list = list(&[1; 8]);
    let all: Usable = (0..8).collect();
    let fewer: Usable = (0..8).filter(|index| *index != 3).collect();
    for nonce in 0..5_000 {
        let before = cookie(nonce).choose(&list, &all);
        let after = cookie(nonce).choose(&list, &fewer);
        assert!(before == after || before == Some(3), "{nonce}");
    }
}
