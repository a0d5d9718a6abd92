// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, refused};
use serde_json::json;
use std::sync::Arc;
use tidegate_contract::{Answer, Flow, Identity};

fn settings(own: serde_json::Value) -> String {
    let mut all =
        json!({"subjects": [], "roles": [], "scopes": [], "claims": [], "expression": null});
    for (name, value) in own.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.to_string()
}

fn ada() -> Identity {
    let claims = json!({"tenant": "north", "groups": ["ops", "dev"], "age": 7, "empty": null});
    let mut identity = Identity::new("jwt", "ada".into());
    identity.roles = vec!["customer".into(), "support".into()];
    identity.scopes = vec!["orders:read".into(), "orders:write".into()];
    identity.with_claims(claims.as_object().unwrap().clone())
}

/// The refusal, if there is one.
#[track_caller]
fn asked(own: serde_json::Value, identity: Option<Identity>) -> Option<Answer> {
    let filter = filter("authorize", &settings(own)).unwrap();
    let mut exchange = exchange(&[("Host", "a.test")]);
    exchange.identity = identity.map(Arc::new);
    match filter.request(&mut exchange, 0) {
        Flow::Continue => None,
        Flow::Respond(answer) => Some(*answer),
        Flow::Wait(_) => panic!("it asks nobody"),
    }
}

#[test]
fn who_may_is_let_in() {
    for own in [
        json!({"subjects": ["bob", "ada"]}),
        json!({"roles": ["admin", "support"]}),
        json!({"scopes": ["orders:write", "orders:read"]}),
        json!({"claims": [["tenant", "south"], ["tenant", "north"]]}),
        json!({"claims": [["groups", "dev"], ["tenant", "north"]]}),
        json!({"expression": "identity.claims.age > 6 && identity.subject == 'ada'"}),
        json!({"roles": ["customer"], "expression": "'orders:read' in identity.scopes"}),
    ] {
        assert!(asked(own.clone(), Some(ada())).is_none(), "{own}");
    }
}

#[test]
fn nobody_else_is() {
    for own in [
        json!({"subjects": ["bob", "Ada"]}),
        json!({"roles": ["admin"]}),
        json!({"scopes": ["orders:read", "orders:delete"]}),
        json!({"claims": [["tenant", "south"]]}),
        json!({"claims": [["tenant", "north"], ["groups", "sales"]]}),
        json!({"claims": [["age", "7"]]}),
        json!({"claims": [["empty", "null"]]}),
        json!({"claims": [["none", ""]]}),
        json!({"expression": "identity.scheme == 'basic'"}),
        // Of what is not there nothing can be told.
        json!({"expression": "identity.claims.none == 'x'"}),
        json!({"expression": "identity.claims.age.startsWith('7')"}),
        json!({"roles": ["customer"], "expression": "false"}),
    ] {
        let answer = asked(own.clone(), Some(ada())).unwrap();
        assert_eq!(answer.status, 403, "{own}");
        assert!(answer.error.is_some());
    }
}

#[test]
fn nobody_known_is_nobody_who_may() {
    for own in [
        json!({"subjects": [""]}),
        json!({"roles": ["customer"]}),
        json!({"scopes": ["a"]}),
        json!({"claims": [["tenant", ""]]}),
        json!({"expression": "identity.subject == 'ada'"}),
        json!({"expression": "'customer' in identity.roles"}),
    ] {
        assert_eq!(asked(own.clone(), None).unwrap().status, 403, "{own}");
    }
    assert!(asked(json!({"expression": "request.method == 'GET'"}), None).is_none());
}

#[test]
fn a_token_is_told_which_scopes_it_lacks() {
    let challenge = |identity: Identity| {
        let own = json!({"scopes": ["orders:read", "orders:delete", "no\"ne"]});
        let answer = asked(own, Some(identity)).unwrap();
        let field = answer.fields.get_name(b"www-authenticate");
        field.map(|field| String::from_utf8(field.to_vec()).unwrap())
    };
    let said = "Bearer error=\"insufficient_scope\", scope=\"orders:read orders:delete\"";
    assert_eq!(challenge(ada()).as_deref(), Some(said));
    assert_eq!(challenge(Identity::new("api_key", "ada".into())), None);
}

#[test]
fn a_condition_that_can_not_be_is_refused() {
    let says = |text: &str| refused("authorize", &settings(json!({ "expression": text })));
    assert!(says("response.status == 200").contains("response"));
    assert!(says("identity.subjekt == 'a'").contains("subject"));
}
