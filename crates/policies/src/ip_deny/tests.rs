// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, refused};
use tidegate_contract::Flow;

const KIND: &str = "ip_deny";

/// Whether a client with this address is kept out.
fn is_out(settings: &str, address: &str) -> bool {
    let filter = filter(KIND, settings).unwrap();
    let mut exchange = exchange(&[("Host", "a.test")]);
    exchange.client.address = address.parse().unwrap();
    match filter.request(&mut exchange, 0) {
        Flow::Respond(answer) => answer.status == 403 && answer.error.is_some(),
        _ => false,
    }
}

#[test]
fn who_is_named_is_kept_out_and_nobody_else() {
    let settings = r#"{"addresses": ["10.0.0.0/8"], "file": "2001:db8::/32\n192.0.2.7"}"#;
    for address in ["10.9.9.9", "::ffff:10.1.1.1", "2001:db8::1", "192.0.2.7"] {
        assert!(is_out(settings, address), "{address}");
    }
    for address in ["11.0.0.0", "2001:db9::1", "192.0.2.8", "::ffff:11.1.1.1"] {
        assert!(!is_out(settings, address), "{address}");
    }
}

#[test]
fn an_empty_list_keeps_nobody_out() {
    assert!(!is_out(r#"{"addresses": [], "file": ""}"#, "10.9.9.9"));
}

#[test]
fn what_is_no_network_is_refused() {
    let error = refused(KIND, r#"{"addresses": ["everybody"], "file": null}"#);
    assert!(error.contains("`everybody` is no network"), "{error}");
}
