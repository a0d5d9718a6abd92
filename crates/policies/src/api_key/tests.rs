// SPDX-License-Identifier: Apache-2.0
use super::checked::is_whole;
use crate::testing::{self, filter, refused};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange, Filter, Flow};

const KIND: &str = "api_key";
/// As `tidegate key new` makes them.
const KEY: &str = "tg_cs1cdfAIW77s20mqZaXHevUnGgwyIASN4firbE";

fn hash(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn owner(subject: &str, keys: &[&str]) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| json!({"hash": hash(key), "expires": null}))
        .collect();
    json!({"subject": subject, "keys": keys, "roles": ["reader"], "scopes": ["a:b"],
           "claims": [["plan", "gold"]], "disabled": false})
}

/// A request with these fields.
fn exchange(fields: &[(&str, &str)]) -> Exchange {
    testing::exchange(&[&[("Host", "a.test")], fields].concat())
}

/// The fields of a request without Host.
fn listed(exchange: &Exchange) -> Vec<(String, String)> {
    let all = testing::listed(exchange.request.fields()).into_iter();
    all.filter(|(name, _)| name != "Host").collect()
}

/// The policy with these settings beside the defaults.
fn policy(owners: Vec<Value>, more: Value) -> Arc<dyn Filter> {
    let mut settings = json!({"header": "x-api-key", "authorization": null, "query": null,
                              "prefix": "tg", "forward": false, "owners": owners});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    filter(KIND, &settings.to_string()).unwrap()
}

fn asked(policy: &dyn Filter, exchange: &mut Exchange) -> Option<Box<Answer>> {
    match policy.request(exchange, 0) {
        Flow::Continue => None,
        Flow::Respond(answer) => Some(answer),
        Flow::Wait(_) => panic!("it asks nobody"),
    }
}

/// Who calls with these fields.
fn who(policy: &dyn Filter, fields: &[(&str, &str)]) -> Result<String, &'static str> {
    let mut exchange = exchange(fields);
    match asked(policy, &mut exchange) {
        None => Ok(exchange.identity.unwrap().subject.clone()),
        Some(answer) => {
            assert_eq!(answer.status, 401);
            assert!(exchange.identity.is_none());
            Err(answer.error.unwrap().1)
        }
    }
}

#[test]
fn a_key_tells_its_owner_and_goes_no_further() {
    let policy = policy(vec![owner("a", &[KEY]), owner("b", &["other"])], json!({}));
    let mut exchange = exchange(&[
        ("X-Api-Key", KEY),
        ("X_API_KEY", "spelt for CGI"),
        ("X-Other", "1"),
    ]);
    assert!(asked(&*policy, &mut exchange).is_none());
    assert_eq!(listed(&exchange), [("X-Other".to_owned(), "1".to_owned())]);
    let identity = exchange.identity.unwrap();
    assert_eq!(
        (identity.scheme, &*identity.subject, &*identity.issuer),
        (KIND, "a", "")
    );
    assert_eq!(identity.roles, ["reader"]);
    assert_eq!(identity.scopes, ["a:b"]);
    assert_eq!(*identity.claims(), json!({"plan": "gold"}));
    assert_eq!(who(&*policy, &[("x-api-key", "other")]), Ok("b".into()));
}

#[test]
fn who_shows_no_key_or_a_wrong_one_is_refused() {
    let policy = policy(vec![owner("a", &[KEY])], json!({}));
    let other = "tg_00000000000000000000000000000000000000";
    for (key, says) in [
        (&*KEY.replace('4', "5"), "mistyped"),
        (&KEY[..40], "mistyped"),
        (other, "mistyped"),
        ("tg_", "mistyped"),
        ("another", "not known"),
        ("", "empty"),
        (&*"a".repeat(257), "too long"),
        (&*hash(KEY), "not known"),
    ] {
        let detail = who(&*policy, &[("x-api-key", key)]).unwrap_err();
        assert!(detail.contains(says), "{key}: {detail}");
    }
    assert!(who(&*policy, &[]).unwrap_err().contains("no API key"));
    let twice = [("x-api-key", KEY), ("x-api-key", KEY)];
    assert!(who(&*policy, &twice).unwrap_err().contains("several"));
    // Not asked for there.
    assert!(who(&*policy, &[("authorization", &format!("ApiKey {KEY}"))]).is_err());
}

#[test]
fn two_keys_are_good_until_one_expires() {
    let mut both = owner("a", &["old", "new"]);
    both["keys"][0]["expires"] = json!(1000);
    let policy = policy(vec![both], json!({}));
    for (now, is_good) in [(999, true), (1000, false), (1001, false)] {
        let mut old = exchange(&[("x-api-key", "old")]);
        old.received = now;
        let answer = asked(&*policy, &mut old);
        assert_eq!(answer.is_none(), is_good);
        if let Some(answer) = answer {
            assert!(answer.error.unwrap().1.contains("expired"));
        }
        let mut exchange = exchange(&[("x-api-key", "new")]);
        exchange.received = now;
        assert!(asked(&*policy, &mut exchange).is_none());
    }
}

#[test]
fn a_disabled_owner_is_refused() {
    let mut out = owner("a", &[KEY]);
    out["disabled"] = json!(true);
    let policy = policy(vec![out, owner("b", &["b"])], json!({}));
    assert!(
        who(&*policy, &[("x-api-key", KEY)])
            .unwrap_err()
            .contains("disabled")
    );
    assert_eq!(who(&*policy, &[("x-api-key", "b")]), Ok("b".into()));
}

#[test]
fn authorization_has_one_under_the_scheme_that_is_asked_for() {
    for (scheme, good, bad) in [
        ("bearer", "BEARER", "ApiKey"),
        ("apikey", "apikey", "Bearer"),
    ] {
        let policy = policy(vec![owner("a", &[KEY])], json!({"authorization": scheme}));
        assert_eq!(
            who(&*policy, &[("Authorization", &format!("{good}  {KEY}"))]),
            Ok("a".into())
        );
        assert!(who(&*policy, &[("Authorization", &format!("{bad} {KEY}"))]).is_err());
        let both = [
            ("Authorization", &*format!("{good} {KEY}")),
            ("x-api-key", KEY),
        ];
        assert!(who(&*policy, &both).unwrap_err().contains("several"));
        let mut exchange = exchange(&both[..1]);
        assert!(asked(&*policy, &mut exchange).is_none());
        assert!(listed(&exchange).is_empty());
    }
    // What is for somebody else goes on.
    let policy = policy(vec![owner("a", &[KEY])], json!({"authorization": "apikey"}));
    let mut exchange = exchange(&[("Authorization", "Bearer abc"), ("x-api-key", KEY)]);
    assert!(asked(&*policy, &mut exchange).is_none());
    assert_eq!(listed(&exchange).len(), 1);
}

#[test]
fn a_parameter_has_one_and_is_taken_out_however_it_is_spelt() {
    let policy = policy(
        vec![owner("a", &["k y"])],
        json!({"query": "key", "header": null}),
    );
    for (query, after) in [
        ("key=k+y", None),
        ("a=1&key=k%20y&b=2&", Some("a=1&b=2&")),
        ("%6bey=k%20y&a", Some("a")),
    ] {
        let mut exchange = exchange(&[]);
        exchange.request.set_query(Some(query.as_bytes())).unwrap();
        assert!(asked(&*policy, &mut exchange).is_none(), "{query}");
        assert_eq!(
            exchange.request.query(),
            after.map(str::as_bytes),
            "{query}"
        );
    }
    for query in ["key=k+y&key=k+y", "key=k+y&k%65y=no", "keys=k+y", "key"] {
        let mut exchange = exchange(&[]);
        exchange.request.set_query(Some(query.as_bytes())).unwrap();
        assert!(asked(&*policy, &mut exchange).is_some(), "{query}");
        // Refused or not, the log does not get it.
        let rest = exchange.request.query().unwrap_or_default();
        assert!(query == "keys=k+y" || rest.is_empty(), "{query}");
    }
}

#[test]
fn a_key_goes_on_where_that_is_asked_for() {
    let more = json!({"forward": true, "query": "key", "authorization": "bearer"});
    let policy = policy(vec![owner("a", &[KEY])], more);
    let mut exchange = exchange(&[("x-api-key", KEY)]);
    assert!(asked(&*policy, &mut exchange).is_none());
    assert_eq!(listed(&exchange).len(), 1);
}

#[test]
fn every_key_of_many_is_found_and_no_other() {
    let owners = (0..2000).map(|number| owner(&format!("s{number}"), &[&*format!("k{number}")]));
    let policy = policy(owners.collect(), json!({}));
    for number in 0..2000 {
        let found = who(&*policy, &[("x-api-key", &*format!("k{number}"))]);
        assert_eq!(found, Ok(format!("s{number}")));
    }
    assert!(who(&*policy, &[("x-api-key", "k2000")]).is_err());
}

#[test]
fn a_hash_that_is_none_or_is_there_twice_is_no_configuration() {
    let settings = |owners: Value| {
        json!({"header": null, "authorization": null, "query": "k", "prefix": "tg",
               "forward": false, "owners": owners})
        .to_string()
    };
    let mut wrong = owner("a", &["k"]);
    wrong["keys"][0]["hash"] = json!("sha256:00");
    assert!(refused(KIND, &settings(json!([wrong]))).contains("no hash"));
    let twice = json!([owner("a", &["k"]), owner("b", &["k"])]);
    assert!(refused(KIND, &settings(twice)).contains("same hash"));
    assert!(refused(KIND, "{}").contains("missing field"));
}

#[test]
fn the_check_is_that_of_python() {
    assert_eq!(is_whole(KEY.as_bytes(), "tg"), Some(true));
    assert_eq!(is_whole(KEY.as_bytes(), "shop"), None);
    assert_eq!(is_whole(b"tgx", "tg"), None);
    assert_eq!(is_whole(&KEY.as_bytes()[..40], "tg"), Some(false));
}

#[test]
fn owners_who_have_something_in_common_have_it_each() {
    let mut other = owner("b", &["b"]);
    other["roles"] = json!(["writer"]);
    let all = vec![owner("a", &["a"]), other, owner("c", &["c"])];
    let policy = policy(all, json!({}));
    for (key, role) in [("a", "reader"), ("b", "writer"), ("c", "reader")] {
        let mut exchange = exchange(&[("x-api-key", key)]);
        assert!(asked(&*policy, &mut exchange).is_none());
        let identity = exchange.identity.unwrap();
        assert_eq!((&*identity.subject, &*identity.roles[0]), (key, role));
    }
}
