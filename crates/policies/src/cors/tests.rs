// SPDX-License-Identifier: Apache-2.0
use super::{CorsPlan, Terms, asked_method};
use crate::testing::{exchange, fields, filter, listed, refused};
use std::sync::Arc;
use tidegate_contract::{Exchange, Flow};
use tidegate_request::{Method, Request, Response};

const KIND: &str = "cors";
const SHOP: &str = "https://shop.test";

fn settings(origins: &str, more: &str) -> String {
    let rest = r#""headers": ["content-type"], "exposed": ["x-price"], "max_age": 60000"#;
    format!(
        r#"{{"origins": {origins}, "methods": ["GET", "PUT"], {rest}, "credentials": false{more}}}"#
    )
}

/// What a response with `before` says of it after the policy, to a page of `origin`.
fn told(settings: &str, origin: Option<&str>, before: &[(&str, &str)]) -> Vec<(String, String)> {
    let filter = filter(KIND, settings).unwrap();
    let mut asked = vec![("Host", "a.test")];
    asked.extend(origin.map(|origin| ("Origin", origin)));
    let mut exchange = exchange(&asked);
    exchange.kept.push(None);
    assert!(matches!(filter.request(&mut exchange, 0), Flow::Continue));
    // As a policy further in may do.
    exchange.request.fields_mut().remove(b"origin").unwrap();
    let mut response = Response::local(200, fields(before), 0, Method::Get);
    assert!(matches!(
        filter.response(&mut exchange, &mut response, 0),
        Flow::Continue
    ));
    let mut told = listed(response.fields());
    told.sort();
    told
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn plan(origins: &[&str], headers: &[&str]) -> Arc<CorsPlan> {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Arc::new(CorsPlan::new(Terms {
        origins: texts(origins),
        headers: texts(headers),
        methods: texts(&["PUT"]),
        ..Terms::default()
    }))
}

#[test]
fn what_the_endpoint_says_is_replaced() {
    let before = [
        ("access-control-allow-origin", "*"),
        ("Access-Control-Allow-Origin", "https://evil.test"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "x-secret"),
        ("Vary", "Accept, origin"),
    ];
    assert_eq!(
        told(
            &settings(r#"["https://shop.test"]"#, ""),
            Some(SHOP),
            &before
        ),
        owned(&[
            ("Access-Control-Allow-Origin", SHOP),
            ("Access-Control-Expose-Headers", "x-price"),
            ("Vary", "Accept, origin"),
        ])
    );
}

#[test]
fn who_may_not_read_is_told_nothing_but_that_it_varies() {
    let settings = settings(r#"["https://shop.test", "https://*.shop.test"]"#, "");
    for origin in [
        None,
        Some("null"),
        Some("http://shop.test"),
        Some("https://shop.test:444"),
        Some("https://evilshop.test"),
        Some("https://shop.test.evil.test"),
        Some("https://.shop.test"),
        Some("https://shop.test, https://evil.test"),
    ] {
        let before = [("Access-Control-Allow-Origin", "*")];
        assert_eq!(
            told(&settings, origin, &before),
            owned(&[("Vary", "Origin")]),
            "{origin:?}"
        );
    }
    for origin in [
        "https://a.shop.test",
        "https://a.b.shop.test",
        "HTTPS://SHOP.TEST",
    ] {
        let told = told(&settings, Some(origin), &[]);
        assert!(
            told.contains(&("Access-Control-Allow-Origin".into(), origin.into())),
            "{told:?}"
        );
    }
}

#[test]
fn what_everybody_may_read_does_not_vary() {
    let told = told(&settings(r#"["*"]"#, ""), Some("null"), &[]);
    assert!(told.contains(&("Access-Control-Allow-Origin".into(), "*".into())));
    assert!(!told.iter().any(|(name, _)| name == "Vary"), "{told:?}");
}

fn question(more: &[(&str, &str)]) -> Exchange {
    let mut all = vec![("Host", "a.test"), ("Origin", SHOP)];
    all.extend_from_slice(more);
    let mut exchange = exchange(&all);
    let mut storage = tidegate_request::Storage::new();
    *storage.fields_mut() = fields(&all);
    let parts = tidegate_request::Parts {
        method: b"OPTIONS",
        target: b"/",
        version: tidegate_request::Version::Http11,
        scheme: tidegate_request::Scheme::Http,
    };
    exchange.request =
        Request::build(storage, parts, tidegate_request::Options::default()).unwrap();
    exchange
}

#[test]
fn only_what_asks_for_a_method_is_a_question() {
    assert_eq!(asked_method(&question(&[]).request), None);
    let asks = ("Access-Control-Request-Method", "PUT");
    assert_eq!(asked_method(&question(&[asks]).request), Some("PUT"));
    assert_eq!(
        asked_method(&exchange(&[("Host", "a"), ("Origin", SHOP), asks]).request),
        None
    );
}

#[test]
fn fields_are_those_listed_or_those_asked_for() {
    let asks = [
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-a,x-b"),
    ];
    let question = question(&asks).request;
    for (headers, expected) in [
        (&["x-c"][..], Some("x-c")),
        (&["*"], Some("x-a,x-b")),
        (&[], None),
    ] {
        let answer = plan(&[SHOP], headers).answered(&question).unwrap();
        let told = answer.fields.get_name(b"access-control-allow-headers");
        assert_eq!(told, expected.map(str::as_bytes));
        assert_eq!(answer.status, 204);
    }
    let answer = plan(&["https://other.test"], &["*"])
        .answered(&question)
        .unwrap();
    assert_eq!(listed(&answer.fields), owned(&[("Vary", "Origin")]));
}

#[test]
fn cookies_for_the_pages_of_every_site_are_refused() {
    let wrong = settings(r#"["*"]"#, "").replace("false", "true");
    assert!(refused(KIND, &wrong).contains("write the `origins` that may"));
    assert!(refused(KIND, &settings(r#"["a\nb"]"#, "")).contains("is no field value"));
}
