// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, listed, refused};
use serde_json::json;
use std::sync::Arc;
use tidegate_contract::{Flow, Identity};

/// The fields of the family that a request has behind the policy.
#[track_caller]
fn sent(
    settings: &str,
    identity: Option<Identity>,
    came: &[(&str, &str)],
) -> Vec<(String, String)> {
    let filter = filter("forward_identity", settings).unwrap();
    let mut exchange = exchange(&[&[("Host", "a.test")], came].concat());
    exchange.identity = identity.map(Arc::new);
    assert!(matches!(filter.request(&mut exchange, 0), Flow::Continue));
    let mut all = listed(exchange.request.fields());
    all.retain(|(name, _)| name != "Host");
    all
}

fn ada() -> Identity {
    let claims = json!({
        "email": "ada@example.test", "tenant_id": 7, "groups": ["a,b", "c d", 5], "none": null,
        "address": {"city": "Malmö"}, "empty": "",
    });
    let mut identity = Identity::new("jwt", "ada".into());
    identity.issuer = "https://issuer.test".into();
    identity.roles = vec!["customer".into(), "a,b".into()];
    identity.with_claims(claims.as_object().unwrap().clone())
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    list.iter().map(pair).collect()
}

#[test]
fn what_is_asked_for_is_told() {
    let all = r#"{"fields":["subject","scheme","issuer","roles","scopes"],"claims":[]}"#;
    let told = [
        ("X-Identity-Subject", "ada"),
        ("X-Identity-Scheme", "jwt"),
        ("X-Identity-Issuer", "https://issuer.test"),
        ("X-Identity-Roles", "customer,a%2Cb"),
    ];
    assert_eq!(sent(all, Some(ada()), &[]), pairs(&told));
    let claims = r#"{"fields":[],"claims":["email","tenant_id","groups","none","missing","address","empty"]}"#;
    let told = [
        ("X-Identity-Claim-Email", "ada@example.test"),
        ("X-Identity-Claim-Tenant-Id", "7"),
        ("X-Identity-Claim-Groups", "a%2Cb,c d,5"),
        ("X-Identity-Claim-Address", "{\"city\":\"Malm%C3%B6\"}"),
    ];
    assert_eq!(sent(claims, Some(ada()), &[]), pairs(&told));
}

#[test]
fn no_text_makes_another_field_or_another_subject() {
    let subject = r#"{"fields":["subject"],"claims":[]}"#;
    for (text, told) in [
        ("a\r\nX-Admin: 1", "a%0D%0AX-Admin: 1"),
        (" ada ", "%20ada%20"),
        (" ", "%20"),
        ("100%", "100%25"),
        ("Åsa", "%C3%85sa"),
        ("CN=cart,O=Shop", "CN=cart,O=Shop"),
        ("a\0b\t", "a%00b%09"),
    ] {
        let identity = Identity::new("basic", text.into());
        let told = [("X-Identity-Subject", told)];
        assert_eq!(sent(subject, Some(identity), &[]), pairs(&told), "{text:?}");
    }
}

#[test]
fn what_came_is_never_sent_on() {
    let came = [
        ("X-Identity-Subject", "root"),
        ("x-identity-roles", "admin"),
        ("X_Identity_Claim_Tenant", "1"),
        ("X-Identity", "stays"),
        ("X-Identity-Subject", "root"),
    ];
    let subject = r#"{"fields":["subject"],"claims":[]}"#;
    let stays = ("X-Identity", "stays");
    assert_eq!(sent(subject, None, &came), pairs(&[stays]));
    let told = [stays, ("X-Identity-Subject", "ada")];
    assert_eq!(sent(subject, Some(ada()), &came), pairs(&told));
}

#[test]
fn a_claim_that_makes_no_field_is_refused() {
    let settings = r#"{"fields":[],"claims":["https://a.test/role"]}"#;
    assert!(refused("forward_identity", settings).contains("makes no name"));
}
