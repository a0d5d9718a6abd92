// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, fields, filter, listed, refused};
use tidegate_contract::{Flow, Phases};
use tidegate_request::{Method, Response};

const KIND: &str = "response_headers";

/// The fields of a response with `before` that has gone through the policy.
fn changed(settings: &str, before: &[(&str, &str)]) -> Vec<(String, String)> {
    let filter = filter(KIND, settings).unwrap();
    let mut response = Response::local(200, fields(before), 0, Method::Get);
    let mut exchange = exchange(&[("Host", "a.test")]);
    assert!(matches!(
        filter.response(&mut exchange, &mut response, 0),
        Flow::Continue
    ));
    listed(response.fields())
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

#[test]
fn fields_are_removed_then_set_then_added() {
    let settings = r#"{
        "remove": ["x-internal"],
        "set": [["cache-control", "no-store"]],
        "add": [["set-cookie", "b=2"], ["Strict-Transport-Security", "max-age=1"]]
    }"#;
    let before = [
        ("X-Internal", "10.0.0.1"),
        ("Set-Cookie", "a=1"),
        ("Cache-Control", "public"),
        ("x_internal", "2"),
    ];
    let after = [
        ("Set-Cookie", "a=1"),
        ("cache-control", "no-store"),
        ("set-cookie", "b=2"),
        ("Strict-Transport-Security", "max-age=1"),
    ];
    assert_eq!(changed(settings, &before), owned(&after));
}

#[test]
fn a_server_field_of_our_own_may_be_set() {
    assert_eq!(
        changed(
            r#"{"remove": [], "set": [["server", "shop"]], "add": []}"#,
            &[]
        ),
        owned(&[("server", "shop")])
    );
}

#[test]
fn it_takes_part_in_the_response_phase_only() {
    let filter = filter(KIND, r#"{"remove": ["a"], "set": [], "add": []}"#).unwrap();
    assert_eq!(
        filter.phases(),
        Phases {
            request: false,
            response: true,
            ..Phases::default()
        }
    );
}

#[test]
fn fields_that_tidegate_writes_are_refused() {
    for name in [
        "content-length",
        "Transfer-Encoding",
        "transfer_encoding",
        "connection",
        "upgrade",
        "via",
    ] {
        let error = refused(
            KIND,
            &format!(r#"{{"remove": ["{name}"], "set": [], "add": []}}"#),
        );
        assert!(error.contains("written by tidegate itself"), "{error}");
    }
    let error = refused(KIND, r#"{"remove": ["Date"], "set": [], "add": []}"#);
    assert!(error.contains("cannot be removed"), "{error}");
}

#[test]
fn values_that_would_break_the_message_are_refused() {
    let split = r#"{"remove": [], "set": [], "add": [["a", "b\nc: d"]]}"#;
    assert!(refused(KIND, split).contains("control character"));
}

#[test]
fn a_response_without_room_for_the_fields_is_not_sent_without_them() {
    let filter = filter(
        KIND,
        r#"{"remove": [], "set": [["x-frame-options", "DENY"]], "add": []}"#,
    )
    .unwrap();
    let full = "v".repeat((64 << 20) - 10);
    let mut response = Response::local(200, fields(&[("x-full", &full)]), 0, Method::Get);
    let mut exchange = exchange(&[("Host", "a.test")]);
    let Flow::Respond(answer) = filter.response(&mut exchange, &mut response, 0) else {
        panic!("sent")
    };
    assert_eq!(answer.status, 500);
}
