// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, listed, refused};
use tidegate_contract::{Flow, Phases};
use tidegate_request::Fields;

const KIND: &str = "request_headers";

/// The fields of a request with `before` that has gone through the policy, without Host.
fn changed(settings: &str, before: &[(&str, &str)]) -> Vec<(String, String)> {
    let filter = filter(KIND, settings).unwrap();
    let mut exchange = exchange(&[&[("Host", "a.test")], before].concat());
    assert!(matches!(filter.request(&mut exchange, 0), Flow::Continue));
    let fields: &Fields = exchange.request.fields();
    listed(fields)
        .into_iter()
        .filter(|(name, _)| name != "Host")
        .collect()
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

#[test]
fn fields_are_removed_then_set_then_added() {
    let settings = r#"{
        "remove": ["x-gone", "x-both"],
        "set": [["x-tier", "gold"], ["x-both", "1"]],
        "add": [["x-tag", "b"], ["x-both", "2"]]
    }"#;
    let before = [
        ("X-Gone", "1"),
        ("X-Tier", "free"),
        ("x-tag", "a"),
        ("X-TIER", "none"),
        ("X-Both", "0"),
    ];
    let after = [
        ("x-tier", "gold"),
        ("x-tag", "a"),
        ("x-both", "1"),
        ("x-tag", "b"),
        ("x-both", "2"),
    ];
    assert_eq!(changed(settings, &before), owned(&after));
}

#[test]
fn a_spelling_that_cgi_cannot_tell_apart_goes_with_the_field() {
    let settings = r#"{"remove": ["x-gone"], "set": [["x-user", "1"]], "add": []}"#;
    assert_eq!(
        changed(settings, &[("X_Gone", "1"), ("X_User", "admin")]),
        owned(&[("x-user", "1")])
    );
}

#[test]
fn it_takes_part_in_the_request_phase_only() {
    let filter = filter(KIND, r#"{"remove": ["a"], "set": [], "add": []}"#).unwrap();
    assert_eq!(
        filter.phases(),
        Phases {
            request: true,
            response: false,
            ..Phases::default()
        }
    );
    assert!(filter.is_pure());
}

#[test]
fn fields_that_tidegate_writes_are_refused() {
    for name in [
        "host",
        "Content-Length",
        "content_length",
        "connection",
        "te",
        "via",
        "X-Forwarded-For",
        "x-request-id",
    ] {
        for settings in [
            format!(r#"{{"remove": ["{name}"], "set": [], "add": []}}"#),
            format!(r#"{{"remove": [], "set": [["{name}", "1"]], "add": []}}"#),
            format!(r#"{{"remove": [], "set": [], "add": [["{name}", "1"]]}}"#),
        ] {
            let error = refused(KIND, &settings);
            assert!(
                error.contains(&format!("`{name}` is written by tidegate itself")),
                "{error}"
            );
        }
    }
}

#[test]
fn names_and_values_that_would_break_the_message_are_refused() {
    assert!(
        refused(KIND, r#"{"remove": ["a b"], "set": [], "add": []}"#).contains("no field name")
    );
    assert!(refused(KIND, r#"{"remove": [""], "set": [], "add": []}"#).contains("no field name"));
    let split = r#"{"remove": [], "set": [["a", "b\r\nc: d"]], "add": []}"#;
    assert!(refused(KIND, split).contains("control character"));
    assert!(refused(KIND, r#"{"remove": []}"#).contains("set"));
}
