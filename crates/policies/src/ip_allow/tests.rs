// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, refused};
use tidegate_contract::{Flow, Phases};
use tidegate_core::ErrorKind;

const KIND: &str = "ip_allow";

/// The refusal of a client with this address, if it is refused.
fn refusal(settings: &str, address: &str) -> Option<(u16, ErrorKind)> {
    let filter = filter(KIND, settings).unwrap();
    let mut exchange = exchange(&[("Host", "a.test")]);
    exchange.client.address = address.parse().unwrap();
    match filter.request(&mut exchange, 0) {
        Flow::Respond(answer) => answer.error.map(|(kind, _)| (answer.status, kind)),
        _ => None,
    }
}

#[test]
fn only_who_is_named_comes_in() {
    let settings =
        r#"{"addresses": ["10.0.0.0/8", "2001:db8::1"], "file": "192.0.2.7\n198.51.100.0/24\n"}"#;
    for address in [
        "10.9.9.9",
        "::ffff:10.1.1.1",
        "2001:db8::1",
        "192.0.2.7",
        "198.51.100.255",
    ] {
        assert_eq!(refusal(settings, address), None, "{address}");
    }
    for address in [
        "11.0.0.0",
        "2001:db8::2",
        "192.0.2.8",
        "::ffff:11.1.1.1",
        "::",
    ] {
        let denied = Some((403, ErrorKind::HttpRequestDenied));
        assert_eq!(refusal(settings, address), denied, "{address}");
    }
}

#[test]
fn it_takes_part_in_the_request_phase_and_depends_on_nothing_else() {
    let filter = filter(KIND, r#"{"addresses": ["::/0"], "file": null}"#).unwrap();
    let phases = Phases {
        request: true,
        ..Phases::default()
    };
    assert_eq!(filter.phases(), phases);
    assert!(filter.is_pure());
}

#[test]
fn what_is_no_network_is_refused() {
    for settings in [
        r#"{"addresses": ["10.0.0.1/8"], "file": null}"#,
        r#"{"addresses": [], "file": "192.0.2.1\n10.0.0.1/8"}"#,
    ] {
        assert!(refused(KIND, settings).contains("write `10.0.0.0/8`"));
    }
}
