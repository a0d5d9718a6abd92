// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, listed, refused};
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tidegate_contract::{Answer, Document, Exchange, Filter, Flow};

const SECRET: &str = "a secret of 32 bytes and of more";
const NOW: u64 = 1_700_000_000;

fn encoded(bytes: &[u8]) -> String {
    let text = tidegate_core::base64_encoded(bytes);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

/// A token with these claims beside those that it needs.
fn token(claims: Value) -> String {
    token_by(SECRET, None, claims)
}

fn token_by(secret: &str, id: Option<&str>, claims: Value) -> String {
    let mut all = json!({"iss": "https://a.test/", "aud": "shop", "sub": "ann", "exp": NOW + 100});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let mut header = json!({"alg": "HS256"});
    if let Some(id) = id {
        header["kid"] = id.into();
    }
    let text = [header, all].map(|part| encoded(part.to_string().as_bytes()));
    let text = text.join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = encoded(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn issuer(changes: Value) -> Value {
    let mut own = json!({
        "issuer": "https://a.test/", "jwks_url": null, "jwks": null, "secret": SECRET,
        "audiences": ["shop"], "insecure_any_audience": false, "algorithms": [], "ca": null,
        "insecure_http": false, "refresh": 600_000, "stale": 86_400_000,
    });
    for (name, value) in changes.as_object().unwrap() {
        own[name] = value.clone();
    }
    own
}

fn settings(changes: Value) -> String {
    let mut own = json!({
        "issuers": [issuer(json!({}))], "clock_skew": 60_000, "required": [],
        "from_headers": ["authorization"], "from_cookies": [], "from_query": [], "forward": true,
        "roles": ["roles"], "scopes": ["scope", "scp"], "realm": "api",
    });
    for (name, value) in changes.as_object().unwrap() {
        own[name] = value.clone();
    }
    own.to_string()
}

fn policy(changes: Value) -> Arc<dyn Filter> {
    filter("jwt", &settings(changes)).unwrap()
}

fn asked(fields: &[(&str, &str)]) -> Exchange {
    let mut own = exchange(&[&[("Host", "a.test")], fields].concat());
    own.received = NOW;
    own
}

fn bearing(token: &str) -> Exchange {
    asked(&[("Authorization", &format!("Bearer {token}"))])
}

fn answer(filter: &dyn Filter, exchange: &mut Exchange) -> Option<Answer> {
    match filter.request(exchange, 0) {
        Flow::Continue => None,
        Flow::Respond(answer) => Some(*answer),
        Flow::Wait(_) => panic!("it waits"),
    }
}

/// Status and challenge of the answer; none where the request goes on.
fn outcome(filter: &dyn Filter, mut exchange: Exchange) -> Option<(u16, String)> {
    let answer = answer(filter, &mut exchange)?;
    let challenge = answer.fields.get_name(b"www-authenticate");
    let challenge = challenge.map(|value| String::from_utf8(value.to_vec()).unwrap());
    Some((answer.status, challenge.unwrap_or_default()))
}

#[test]
fn a_token_says_who_calls() {
    let filter = policy(json!({"roles": ["roles", "/realm/roles", "/a~1b"]}));
    let claims = json!({
        "roles": ["admin"], "realm": {"roles": ["a", 1, "b"]}, "a/b": "c", "scope": "read write", "scp": ["x y"],
    });
    let mut exchange = bearing(&token(claims));
    for _ in 0..2 {
        assert!(answer(&*filter, &mut exchange).is_none());
        let identity = exchange.identity.take().unwrap();
        assert_eq!((identity.scheme, &*identity.subject), ("jwt", "ann"));
        assert_eq!(identity.issuer, "https://a.test/");
        assert_eq!(identity.roles, ["admin", "a", "b", "c"]);
        assert_eq!(identity.scopes, ["read", "write", "x y"]);
        assert_eq!(identity.claims()["aud"], "shop");
    }
    assert!(filter.is_pure() && filter.phases().request && !filter.phases().response);
}

#[test]
fn without_a_token_there_is_a_challenge_and_nothing_else() {
    let filter = policy(json!({}));
    let bare = Some((401, "Bearer realm=\"api\"".to_owned()));
    assert_eq!(outcome(&*filter, asked(&[])), bare);
    for value in ["Basic YTpi", "Bearerx", "", "Digest x"] {
        assert_eq!(
            outcome(&*filter, asked(&[("Authorization", value)])),
            bare,
            "{value}"
        );
    }
}

#[test]
fn a_client_is_told_what_helps_it_and_the_log_the_rest() {
    let filter = policy(json!({"required": [["use", "access"], ["use", "both"]]}));
    let with = |claims: Value| {
        let mut all = json!({"use": "access"});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        token(all)
    };
    assert_eq!(outcome(&*filter, bearing(&with(json!({})))), None);
    assert_eq!(
        outcome(&*filter, bearing(&with(json!({"use": ["x", "both"]})))),
        None
    );
    assert_eq!(
        outcome(&*filter, bearing(&with(json!({"exp": NOW - 59})))),
        None
    );
    for (token, told, logged) in [
        (
            with(json!({"exp": NOW - 60})),
            "the token has expired",
            "the token has expired",
        ),
        (
            with(json!({"nbf": NOW + 61})),
            "the token is not valid yet",
            "the token is not valid yet",
        ),
        (
            with(json!({"aud": "x"})),
            "the token is for another audience",
            "the token is for another audience",
        ),
        (
            with(json!({"iss": "x"})),
            "the token is not valid",
            "the token's issuer is not trusted",
        ),
        (
            with(json!({"use": "id"})),
            "the token is not valid",
            "a claim of the token is not as required",
        ),
        (
            with(json!({"sub": 1})),
            "the token is not valid",
            "a claim of the token is not as required",
        ),
        (
            with(json!({"exp": null})),
            "the token is not valid",
            "a claim of the token is not as required",
        ),
        (
            "x".into(),
            "the token is not valid",
            "the token is malformed",
        ),
        (
            String::new(),
            "the token is not valid",
            "the token is malformed",
        ),
        (
            token_by(
                "another secret of 32 bytes, and more",
                None,
                json!({"use": "access"}),
            ),
            "the token is not valid",
            "the token's signature is wrong",
        ),
    ] {
        for _ in 0..2 {
            let mut exchange = bearing(&token);
            let answer = answer(&*filter, &mut exchange).unwrap();
            let challenge = answer.fields.get_name(b"www-authenticate").unwrap();
            let expected = format!(
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"{told}\""
            );
            assert_eq!((answer.status, challenge), (401, expected.as_bytes()));
            assert_eq!(answer.error.unwrap().1, logged);
            assert!(exchange.identity.is_none());
        }
    }
}

#[test]
fn a_remembered_token_expires_with_its_claim() {
    let filter = policy(json!({"clock_skew": 0}));
    let token = token(json!({}));
    assert_eq!(outcome(&*filter, bearing(&token)), None);
    let at = |received| {
        let mut exchange = bearing(&token);
        exchange.received = received;
        outcome(&*filter, exchange).map(|(status, _)| status)
    };
    assert_eq!(at(NOW + 99), None);
    assert_eq!(at(NOW + 100), Some(401));
    // Another policy has not verified it.
    let other = policy(json!({"issuers": [issuer(json!({"audiences": ["pay"]}))]}));
    assert_eq!(outcome(&*other, bearing(&token)).unwrap().0, 401);
}

#[test]
fn a_token_in_two_places_is_refused_also_when_it_is_the_same() {
    let places = json!({
        "from_headers": ["authorization", "x-token"], "from_cookies": ["session"], "from_query": ["access_token"],
    });
    let filter = policy(places);
    let token = token(json!({}));
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=1; session={token}");
    let with = |fields: &[(&str, &str)], query: Option<&str>| {
        let mut exchange = asked(fields);
        exchange
            .request
            .set_query(query.map(str::as_bytes))
            .unwrap();
        outcome(&*filter, exchange).map(|(status, _)| status)
    };
    let query = format!("a=1&access_token={token}");
    assert_eq!(with(&[("Authorization", &bearer)], None), None);
    assert_eq!(with(&[("X-Token", &token)], None), None);
    assert_eq!(with(&[("X-Token", &bearer)], None), None);
    assert_eq!(with(&[("Cookie", &cookie)], None), None);
    assert_eq!(with(&[], Some(&query)), None);
    assert_eq!(
        with(&[("Authorization", &bearer), ("Cookie", &cookie)], None),
        Some(400)
    );
    assert_eq!(
        with(&[("X-Token", &token), ("X-Token", &token)], None),
        Some(400)
    );
    assert_eq!(
        with(&[("Cookie", &format!("{cookie}; session=x"))], None),
        Some(400)
    );
    assert_eq!(
        with(&[("Authorization", &bearer)], Some("access_token=")),
        Some(400)
    );
    assert_eq!(with(&[], Some("Access_token=x")), Some(401));
    // Endpoints decode it.
    assert_eq!(with(&[], Some(&query.replace("access", "%61ccess"))), None);
    assert_eq!(
        with(&[("Authorization", &bearer)], Some("acces%73_token=x")),
        Some(400)
    );
}

#[test]
fn a_token_is_taken_out_where_it_does_not_go_on() {
    let filter = policy(json!({
        "from_headers": ["authorization", "x-token"], "from_cookies": ["session"], "from_query": ["token"],
        "forward": false,
    }));
    let token = token(json!({}));
    let sent = |fields: &[(&str, &str)], query: &str| {
        let mut exchange = asked(fields);
        exchange
            .request
            .set_query((!query.is_empty()).then_some(query.as_bytes()))
            .unwrap();
        assert!(answer(&*filter, &mut exchange).is_none());
        let query = exchange
            .request
            .query()
            .map(|own| String::from_utf8(own.to_vec()).unwrap());
        let fields = listed(exchange.request.fields());
        (fields[1..].to_vec(), query.unwrap_or_default())
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(
        sent(&[("Authorization", &bearer)], "a=1"),
        (vec![], "a=1".into())
    );
    assert_eq!(
        sent(&[("X_Token", "x"), ("X-Token", &token)], ""),
        (vec![], String::new())
    );
    let cookie = ("Cookie".to_owned(), "a=1; b=2".to_owned());
    let (fields, _) = sent(&[("Cookie", &format!("a=1; session={token}; b=2"))], "");
    assert_eq!(
        (fields[0].0.to_lowercase(), &fields[0].1),
        ("cookie".into(), &cookie.1)
    );
    assert_eq!(sent(&[("Cookie", &format!("session={token}"))], "").0, []);
    let query = format!("a=%2F&token={token}&b&c=");
    assert_eq!(sent(&[], &query), (vec![], "a=%2F&b&c=".into()));
    assert_eq!(
        sent(&[], &query.replace("token", "%74oken")),
        (vec![], "a=%2F&b&c=".into())
    );
    assert_eq!(
        sent(&[], &format!("token={token}")),
        (vec![], String::new())
    );
}

#[test]
fn each_issuer_has_its_own_keys_and_audiences() {
    let other = "the secret of another issuer, as long";
    let filter = policy(json!({"issuers": [
        issuer(json!({})),
        issuer(json!({"issuer": "https://b.test/", "secret": other, "audiences": ["pay"]})),
    ]}));
    let b = |secret: &str, aud: &str| {
        bearing(&token_by(
            secret,
            None,
            json!({"iss": "https://b.test/", "aud": aud}),
        ))
    };
    assert_eq!(outcome(&*filter, bearing(&token(json!({})))), None);
    assert_eq!(outcome(&*filter, b(other, "pay")), None);
    assert_eq!(outcome(&*filter, b(other, "shop")).unwrap().0, 401);
    assert_eq!(outcome(&*filter, b(SECRET, "pay")).unwrap().0, 401);
}

#[test]
fn keys_that_cannot_be_read_are_told_when_the_policy_is_built() {
    let says = |changes: Value| refused("jwt", &settings(json!({"issuers": [issuer(changes)]})));
    assert!(says(json!({"secret": "short"})).contains("`secret`: a secret has at least"));
    assert!(says(json!({"secret": null, "jwks": "{}"})).contains("`jwks`: "));
    assert!(says(json!({"secret": null})).contains("one of"));
    assert!(says(json!({"algorithms": ["none"]})).contains("no algorithm `none`"));
}

const URL: &str = "https://a.test/keys";

/// A policy with keys by URL, and the document that it asks for.
fn published() -> (Arc<dyn Filter>, Arc<Document>) {
    let own = issuer(json!({"secret": null, "jwks_url": URL}));
    let mut filter = policy(json!({"issuers": [own]}));
    let found = Mutex::new(None);
    Arc::get_mut(&mut filter).unwrap().share(&|document| {
        *found.lock().unwrap() = Some(document.clone());
        document
    });
    let document = found.into_inner().unwrap().unwrap();
    assert_eq!(document.source.url, URL);
    (filter, document)
}

fn is_waiting(flow: &mut Flow<'_>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match flow {
        Flow::Wait(future) => match Pin::as_mut(future).poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(next) => {
                *flow = next;
                false
            }
        },
        _ => false,
    }
}

/// What comes of a request while `fetched` comes of the fetch that it waits for.
fn after(
    filter: &dyn Filter,
    document: &Document,
    token: &str,
    fetched: Result<Vec<u8>, String>,
) -> Option<u16> {
    let mut exchange = bearing(token);
    let mut flow = filter.request(&mut exchange, 0);
    assert!(is_waiting(&mut flow));
    let _ = document.end(fetched, 0);
    assert!(!is_waiting(&mut flow));
    match flow {
        Flow::Continue => None,
        Flow::Respond(answer) => Some(answer.status),
        Flow::Wait(_) => panic!("it waits"),
    }
}

struct Signer(aws_lc_rs::signature::Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        use aws_lc_rs::signature::KeyPair;
        let x = encoded(self.0.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x})
    }

    fn token(&self, id: &str) -> String {
        let header = json!({"alg": "EdDSA", "kid": id}).to_string();
        let claims =
            json!({"iss": "https://a.test/", "aud": "shop", "sub": "ann", "exp": NOW + 100});
        let text = [header, claims.to_string()]
            .map(|part| encoded(part.as_bytes()))
            .join(".");
        format!("{text}.{}", encoded(self.0.sign(text.as_bytes()).as_ref()))
    }
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

#[test]
fn a_request_waits_for_the_first_keys_and_without_any_nobody_is_to_blame() {
    let (filter, document) = published();
    let signer = Signer::new();
    assert!(!filter.is_pure());
    assert_eq!(
        after(&*filter, &document, &signer.token("a"), Err("away".into())),
        Some(503)
    );
    // Nobody waits while none is fetched.
    let answer = answer(&*filter, &mut bearing(&signer.token("a"))).unwrap();
    assert_eq!(
        (answer.status, answer.fields.get_name(b"retry-after")),
        (503, Some(b"5".as_slice()))
    );
    document.rested();
    assert_eq!(
        after(
            &*filter,
            &document,
            &signer.token("a"),
            Ok(set(&[signer.jwk("a")]))
        ),
        None
    );
}

#[test]
fn a_new_key_is_fetched_once_and_an_old_one_is_forgotten() {
    let (filter, document) = published();
    let (old, new) = (Signer::new(), Signer::new());
    let of_old = old.token("a");
    assert_eq!(
        after(&*filter, &document, &of_old, Ok(set(&[old.jwk("a")]))),
        None
    );
    assert_eq!(outcome(&*filter, bearing(&of_old)), None);
    // A moment ago keys were fetched: strangers' tokens are refused at once.
    assert_eq!(outcome(&*filter, bearing(&new.token("b"))).unwrap().0, 401);
    document.rested();
    // An expired one is not asked for.
    let mut late = bearing(&new.token("b"));
    late.received = NOW + 1000;
    assert_eq!(outcome(&*filter, late).unwrap().0, 401);
    let keys = set(&[old.jwk("a"), new.jwk("b")]);
    assert_eq!(after(&*filter, &document, &new.token("b"), Ok(keys)), None);
    assert_eq!(outcome(&*filter, bearing(&of_old)), None);
    document.rested();
    // It takes the verified tokens of a key with it.
    assert_eq!(
        after(
            &*filter,
            &document,
            &new.token("c"),
            Ok(set(&[new.jwk("b")]))
        ),
        Some(401)
    );
    assert_eq!(outcome(&*filter, bearing(&of_old)).unwrap().0, 401);
    assert_eq!(outcome(&*filter, bearing(&new.token("b"))), None);
}
