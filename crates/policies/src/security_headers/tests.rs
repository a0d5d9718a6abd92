// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, fields, filter, listed, refused};
use tidegate_contract::Flow;
use tidegate_request::{Method, Response};

const KIND: &str = "security_headers";

fn settings(csp: &str, replace: bool) -> String {
    format!(
        r#"{{"content_type_options": "nosniff", "frame_options": "DENY", "referrer_policy": null,
        "opener_policy": null, "resource_policy": null, "permissions_policy": null,
        "content_security_policy": {csp}, "content_security_policy_report_only": null, "replace": {replace}}}"#
    )
}

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
fn what_is_there_stays_unless_it_is_to_be_replaced() {
    let before = [("x-frame-options", "SAMEORIGIN")];
    let nosniff = ("X-Content-Type-Options", "nosniff");
    assert_eq!(
        changed(&settings("null", false), &before),
        owned(&[("x-frame-options", "SAMEORIGIN"), nosniff])
    );
    let mut replaced = changed(&settings("null", true), &before);
    replaced.sort();
    assert_eq!(replaced, owned(&[nosniff, ("X-Frame-Options", "DENY")]));
}

#[test]
fn it_speaks_in_failures_as_well() {
    let phases = filter(KIND, &settings("null", false)).unwrap().phases();
    assert!(phases.failures && phases.response && !phases.request);
}

#[test]
fn values_that_would_break_the_message_are_refused() {
    let error = refused(KIND, &settings(r#""default-src\r\nx: y""#, false));
    assert!(
        error.contains("`Content-Security-Policy` holds a control"),
        "{error}"
    );
}

#[test]
fn a_response_without_room_is_not_sent_without_them() {
    let filter = filter(KIND, &settings("null", false)).unwrap();
    let full = "v".repeat((64 << 20) - 10);
    let mut response = Response::local(200, fields(&[("x-full", &full)]), 0, Method::Get);
    let mut exchange = exchange(&[("Host", "a.test")]);
    let Flow::Respond(answer) = filter.response(&mut exchange, &mut response, 0) else {
        panic!("sent")
    };
    assert_eq!(answer.status, 500);
}
