// SPDX-License-Identifier: Apache-2.0
//! Fields by which a client pretends to be someone, or takes away what says who it is.
use super::{HOST, get, status, storage, texts};
use crate::{Options, Parts, Request, Scheme, Version};

/// Names left of a GET with these fields beside `Host`.
fn left(is_trusted: bool, fields: &[(&str, &str)]) -> Vec<String> {
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let options = Options {
        is_trusted,
        ..Options::default()
    };
    let request = Request::build(storage(&[&[HOST], fields].concat()), parts, options).unwrap();
    texts(request.fields())
        .into_iter()
        .skip(1)
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn row_20_removes_names_that_cgi_folds_onto_known_ones() {
    let aliases = [
        "X_Forwarded_For",
        "X.Forwarded.For",
        "x_forwarded-for",
        "Content_Length",
        "Transfer_Encoding",
        "content.length",
        "X_Real_IP",
        "User_Agent",
        "Authorization_",
        "X_Forwarded_Anything",
        "x~request!id",
        "Host_",
    ];
    for alias in aliases {
        let expected: &[&str] = if alias.ends_with('_') { &[alias] } else { &[] };
        assert_eq!(left(false, &[(alias, "1")]), expected, "{alias}");
        assert_eq!(
            left(true, &[(alias, "1")]),
            expected,
            "{alias} from a trusted peer"
        );
    }
    assert_eq!(
        left(false, &[("X_Custom", "1"), ("a.b", "1")]),
        ["X_Custom", "a.b"]
    );
}

#[test]
fn row_20_setting_a_name_removes_its_aliases() {
    let mut request = get(
        "/",
        &[
            HOST,
            ("X_User", "evil"),
            ("X.User", "evil"),
            ("x-user", "evil"),
        ],
    )
    .unwrap();
    request.fields_mut().set(b"X-User", b"good").unwrap();
    let fields = texts(request.fields());
    assert_eq!(
        fields.get(1..),
        Some(&[("X-User".to_owned(), "good".to_owned())][..])
    );
    let mut request = get("/", &[HOST, ("X_User", "evil"), ("x-user", "evil")]).unwrap();
    assert_eq!(request.fields_mut().remove(b"X-User"), Ok(true));
    assert_eq!(request.fields().len(), 1);
}

#[test]
fn row_31_removes_what_connection_nominates() {
    let fields = [
        ("Connection", "X-One, x-TWO"),
        ("X-One", "1"),
        ("X-Two", "2"),
        ("X-Three", "3"),
        ("x-one", "4"),
    ];
    assert_eq!(left(false, &fields), ["Connection", "X-Three"]);
}

#[test]
fn row_31_known_fields_cannot_be_nominated() {
    let names = [
        "Authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Via",
        "Traceparent",
        "Content-Type",
        "User-Agent",
        "Range",
    ];
    for name in names {
        let value = if name == "Host" { "example.com" } else { "0" };
        let mut fields = vec![("Connection", name)];
        if name != "Host" {
            fields.push((name, value));
        }
        let request = get("/", &[&[HOST], &fields[..]].concat()).unwrap();
        assert!(
            request.fields().get_name(name.as_bytes()).is_some(),
            "{name}"
        );
    }
    for name in [
        "X-Forwarded-For",
        "Forwarded",
        "X-Forwarded-User",
        "X-Request-Id",
    ] {
        assert_eq!(
            left(true, &[("Connection", name), (name, "1")]),
            ["Connection", name],
            "{name}"
        );
    }
}

#[test]
fn row_31_refuses_a_connection_field_that_makes_work() {
    let most = vec!["x"; 32].join(",");
    assert!(get("/", &[HOST, ("Connection", &most)]).is_ok());
    let more = vec!["x"; 33].join(",");
    assert_eq!(status(get("/", &[HOST, ("Connection", &more)])), 400);
    assert_eq!(
        status(get(
            "/",
            &[HOST, ("Connection", &most), ("Connection", "close")]
        )),
        400
    );
}

#[test]
fn row_32_removes_what_an_untrusted_client_says_of_itself() {
    let names = [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "X-Request-Id",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded",
        "x-forwarded-ssl",
    ];
    for name in names {
        assert_eq!(
            left(false, &[(name, "1"), ("Accept", "*/*")]),
            ["Accept"],
            "{name}"
        );
        assert_eq!(
            left(true, &[(name, "1"), ("Accept", "*/*")]),
            [name, "Accept"],
            "{name} from a trusted peer"
        );
    }
}

#[test]
fn row_35_removes_fields_that_frameworks_take_for_the_request() {
    let names = [
        "X-Middleware-Subrequest",
        "x-middleware-rewrite",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Tidegate-Anything",
        "X_Tidegate_Route",
    ];
    for name in names {
        assert_eq!(left(false, &[(name, "1")]), [""; 0], "{name}");
    }
}

#[test]
fn two_authorizations_or_content_types_are_refused() {
    assert_eq!(
        status(get(
            "/",
            &[HOST, ("Authorization", "a"), ("authorization", "b")]
        )),
        400
    );
    assert_eq!(
        status(get(
            "/",
            &[HOST, ("Content-Type", "a/b"), ("Content-Type", "a/b")]
        )),
        400
    );
    assert!(
        get(
            "/",
            &[HOST, ("Authorization", "a"), ("Content-Type", "a/b")]
        )
        .is_ok()
    );
}
