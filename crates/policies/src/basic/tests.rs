// SPDX-License-Identifier: Apache-2.0
use super::{Basic, Settings};
use crate::testing::{self, filter, refused};
use serde_json::{Value, json};
use tidegate_contract::{Answer, Exchange, Filter, Flow};
use tidegate_core::{Clock, base64_encoded};
use tokio::runtime::{Builder, Runtime};

const KIND: &str = "basic";
/// Of `passwordPASSWORDpassword`, cheap to check.
const CHEAP: &str = "$pbkdf2-sha256$i=4096$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$\
                     NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+E";
const PASSWORD: &str = "passwordPASSWORDpassword";
/// Of `U*U`.
const BCRYPT: &str = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn user(name: &str, password: Option<&str>) -> Value {
    json!({"name": name, "password": password, "roles": ["reader"], "scopes": [],
           "claims": [["team", "a"]]})
}

fn settings(users: Value, more: Value) -> String {
    let mut settings = json!({"realm": "r", "users": users, "htpasswd": null, "forward": false,
                              "attempts": 3, "window": 60_000});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings.to_string()
}

/// A policy, and a clock that stands still.
fn policy(users: Value, more: Value) -> (Basic, Clock) {
    let settings: Settings = serde_json::from_str(&settings(users, more)).unwrap();
    let clock = Clock::fake();
    (Basic::with_clock(settings, clock.clone()).unwrap(), clock)
}

fn one() -> Value {
    json!([user("anna", Some(CHEAP))])
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn shown(name: &str, password: &str) -> Exchange {
    let text = base64_encoded(format!("{name}:{password}").as_bytes());
    with(&[&format!("Basic {text}")])
}

fn with(authorization: &[&str]) -> Exchange {
    let mut fields = vec![("Host", "a.test")];
    fields.extend(authorization.iter().map(|value| ("Authorization", *value)));
    testing::exchange(&fields)
}

async fn asked(policy: &Basic, exchange: &mut Exchange) -> Option<Box<Answer>> {
    let mut flow = policy.request(exchange, 0);
    loop {
        match flow {
            Flow::Continue => return None,
            Flow::Respond(answer) => return Some(answer),
            Flow::Wait(future) => flow = future.await,
        }
    }
}

/// The status that somebody gets; 200 for who is let in.
fn status(policy: &Basic, mut exchange: Exchange) -> u16 {
    let answer = runtime().block_on(asked(policy, &mut exchange));
    assert_eq!(exchange.identity.is_some(), answer.is_none());
    answer.map_or(200, |answer| answer.status)
}

#[test]
fn a_right_password_tells_who_and_goes_no_further() {
    let (policy, _) = policy(one(), json!({}));
    for _ in 0..2 {
        let mut exchange = shown("anna", PASSWORD);
        assert!(runtime().block_on(asked(&policy, &mut exchange)).is_none());
        let identity = exchange.identity.as_ref().unwrap();
        assert_eq!((identity.scheme, &*identity.subject), (KIND, "anna"));
        assert_eq!(identity.roles, ["reader"]);
        assert_eq!(*identity.claims(), json!({"team": "a"}));
        assert_eq!(testing::listed(exchange.request.fields()).len(), 1);
    }
    assert!(!policy.is_pure());
}

#[test]
fn who_was_right_is_let_in_without_a_check() {
    let (policy, clock) = policy(one(), json!({}));
    let mut first = shown("anna", PASSWORD);
    assert!(matches!(policy.request(&mut first, 0), Flow::Wait(_)));
    assert_eq!(status(&policy, shown("anna", PASSWORD)), 200);
    assert!(matches!(
        policy.request(&mut shown("anna", PASSWORD), 0),
        Flow::Continue
    ));
    clock.advance(300_000);
    let mut later = shown("anna", PASSWORD);
    assert!(matches!(policy.request(&mut later, 0), Flow::Wait(_)));
}

#[test]
fn everybody_else_is_refused_alike() {
    let (policy, _) = policy(one(), json!({"attempts": 100}));
    let encoded = |text: &[u8]| format!("Basic {}", base64_encoded(text));
    let right = encoded(format!("anna:{PASSWORD}").as_bytes());
    let mut bodies = Vec::new();
    for values in [
        vec![],
        vec![encoded(b"anna:wrong")],
        vec![encoded(format!("berta:{PASSWORD}").as_bytes())],
        vec![encoded(b"anna:")],
        vec![encoded(b":")],
        vec![encoded(b"anna")],
        vec![encoded(b"anna:\xff")],
        vec![encoded(b"an\xffna:x")],
        vec![encoded(b"anna:a\0b")],
        vec![format!("Basic {}", "%%%")],
        vec![right.replace("Basic", "Bearer")],
    ] {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut exchange = with(&values);
        let answer = runtime().block_on(asked(&policy, &mut exchange)).unwrap();
        assert_eq!(answer.status, 401, "{values:?}");
        let challenge = answer.fields.get_name(b"www-authenticate").unwrap();
        assert_eq!(challenge, b"Basic realm=\"r\", charset=\"UTF-8\"");
        assert!(
            testing::listed(exchange.request.fields()).len() == 1,
            "taken out"
        );
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // Of a request as it comes there is one; another policy may have put a second one there.
    let mut twice = with(&[&right]);
    let mut fields = twice.request.fields_mut();
    fields.append(b"authorization", right.as_bytes()).unwrap();
    assert_eq!(status(&policy, twice), 401);
}

#[test]
fn wrong_passwords_are_counted_by_address_and_keep_nobody_else_out() {
    let (policy, clock) = policy(
        json!([user("anna", Some(CHEAP)), user("b", Some(BCRYPT))]),
        json!({}),
    );
    assert_eq!(status(&policy, shown("anna", PASSWORD)), 200);
    for wrong in 0..3 {
        assert_eq!(status(&policy, shown("b", &format!("wrong {wrong}"))), 401);
    }
    // What is right is not even looked at any more, unless it was known before.
    let mut right = shown("b", "U*U");
    let answer = runtime().block_on(asked(&policy, &mut right)).unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.fields.get_name(b"retry-after"), Some(&b"60"[..]));
    assert_eq!(status(&policy, shown("anna", PASSWORD)), 200);
    let mut elsewhere = shown("b", "U*U");
    elsewhere.client.address = "192.0.2.7".parse().unwrap();
    assert_eq!(status(&policy, elsewhere), 200);
    clock.advance(60_000);
    assert_eq!(status(&policy, shown("b", "wrong")), 401);
    // What is right costs no attempt.
    for _ in 0..5 {
        clock.advance(300_000);
        assert_eq!(status(&policy, shown("b", "U*U")), 200);
    }
}

#[test]
fn many_requests_with_one_password_are_one_check() {
    let (policy, _) = policy(one(), json!({"attempts": 1}));
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        right.push(shown("anna", PASSWORD));
        wrong.push(shown("anna", "wrong"));
    }
    let answers = |exchanges: Vec<Exchange>| {
        runtime().block_on(async {
            let mut exchanges = exchanges;
            let mut all: Vec<_> = exchanges
                .iter_mut()
                .map(|exchange| Box::pin(asked(&policy, exchange)))
                .collect();
            // All have begun before the first is over.
            let mut answers = Vec::new();
            std::future::poll_fn(|context| {
                all.retain_mut(|each| match each.as_mut().poll(context) {
                    std::task::Poll::Ready(answer) => {
                        answers.push(answer.map_or(200, |answer| answer.status));
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                match all.is_empty() {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            })
            .await;
            answers
        })
    };
    assert_eq!(answers(right), [200; 100]);
    // One attempt, which all of them were.
    assert_eq!(answers(wrong), [401; 100]);
    assert_eq!(status(&policy, shown("anna", "wrong")), 429);
}

#[test]
fn a_check_that_nobody_waits_for_any_more_is_forgotten() {
    let (policy, _) = policy(one(), json!({}));
    runtime().block_on(async {
        let mut exchange = shown("anna", PASSWORD);
        let mut waiting = Box::pin(asked(&policy, &mut exchange));
        std::future::poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    assert_eq!(status(&policy, shown("anna", PASSWORD)), 200);
}

#[test]
fn a_file_of_htpasswd_has_users_and_the_settings_say_more_of_them() {
    let file = format!("# ours\nanna:{CHEAP}\n\n  b:{BCRYPT}\r\n");
    let (policy, _) = policy(json!([user("anna", None)]), json!({"htpasswd": file}));
    let mut anna = shown("anna", PASSWORD);
    assert!(runtime().block_on(asked(&policy, &mut anna)).is_none());
    assert_eq!(anna.identity.unwrap().roles, ["reader"]);
    let mut other = shown("b", "U*U");
    assert!(runtime().block_on(asked(&policy, &mut other)).is_none());
    assert!(other.identity.unwrap().roles.is_empty());
}

#[test]
fn credentials_go_on_where_that_is_asked_for() {
    let (policy, _) = policy(one(), json!({"forward": true}));
    let mut exchange = shown("anna", PASSWORD);
    assert!(runtime().block_on(asked(&policy, &mut exchange)).is_none());
    assert_eq!(testing::listed(exchange.request.fields()).len(), 2);
}

#[test]
fn settings_that_would_let_nobody_or_anybody_in_are_none() {
    for (users, more, says) in [
        (json!([]), json!({}), "there is no user"),
        (json!([user("a", None)]), json!({}), "has no password"),
        (json!([user("a", Some("plain"))]), json!({}), "is no hash"),
        (
            json!([user("a", Some(CHEAP)), user("a", Some(CHEAP))]),
            json!({}),
            "is there twice",
        ),
        (
            json!([user("a", Some(CHEAP))]),
            json!({"htpasswd": format!("a:{CHEAP}")}),
            "has two",
        ),
        (json!([]), json!({"htpasswd": "a"}), "line 1 has no `:`"),
        (
            json!([]),
            json!({"htpasswd": format!("a:{CHEAP}\na:{CHEAP}")}),
            "line 2: the user is there twice",
        ),
    ] {
        let error = refused(KIND, &settings(users, more));
        assert!(error.contains(says), "{error}");
    }
    assert!(filter(KIND, &settings(one(), json!({}))).is_ok());
}
