// SPDX-License-Identifier: Apache-2.0
use crate::{Hidden, Kind, Resource, Respond, Target, Text, filled};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

fn resource(value: &str) -> Resource {
    Resource {
        kind: Kind::Route,
        name: "r".into(),
        hash: String::new(),
        value: RawValue::from_string(value.into()).unwrap(),
    }
}

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, Hidden> {
    let json = serde_json::json!(pairs.iter().copied().collect::<BTreeMap<_, _>>());
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_text_is_a_string_or_a_secret_that_was_filled_in() {
    let found = filled(
        &resource(r#"[["a", "plain"], ["b", {"secret": "env:KEY"}]]"#),
        &secrets(&[("env:KEY", "hunter2")]),
    );
    let texts: Vec<(String, Text)> = serde_json::from_str(found.unwrap().get()).unwrap();
    let revealed: Vec<&str> = texts.iter().map(|(_, text)| text.reveal()).collect();
    assert_eq!(revealed, ["plain", "hunter2"]);
    assert_eq!(
        texts
            .iter()
            .map(|(_, text)| text.is_secret())
            .collect::<Vec<_>>(),
        [false, true]
    );
    for (_, text) in &texts {
        let own = text.reveal().as_bytes();
        let (last, rest) = own.split_last().unwrap();
        assert!(text.is(own));
        assert!(!text.is(rest) && !text.is(&[rest, &[last ^ 1]].concat()) && !text.is(b""));
    }
    let seen = [
        format!("{texts:?}"),
        texts[1].1.to_string(),
        serde_json::to_string(&texts).unwrap(),
        format!("{:?}", secrets(&[("env:KEY", "hunter2")])),
    ];
    for each in seen {
        assert!(!each.contains("hunter2"), "{each}");
        assert!(each.contains("env:KEY"), "{each}");
    }
}

#[test]
fn what_only_looks_like_a_secret_stays_as_it_is() {
    let value = r#"{"a":{"secret":"gone"},"b":{"more":1,"secret":"env:KEY"},"secret":1}"#;
    let found = filled(&resource(value), &secrets(&[("env:KEY", "hunter2")])).unwrap();
    assert_eq!(found.get(), value);
}

#[test]
fn a_secret_that_is_not_there_or_not_wanted_is_an_error_without_a_value() {
    let text = |value: &str| serde_json::from_str::<Text>(value).unwrap_err().to_string();
    assert!(text(r#"{"secret": "env:KEY"}"#).contains("env:KEY"));
    assert!(text(r#"{"other": "x"}"#).contains("no text and no secret"));
    assert!(text("1").contains("a text, or a secret"));
    let found = filled(
        &resource(r#"{"secret":"env:KEY"}"#),
        &secrets(&[("env:KEY", "hunter2")]),
    );
    let error = serde_json::from_str::<String>(found.unwrap().get()).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_target_takes_its_own_settings_and_no_other() {
    let target = |more: &str| {
        let text =
            format!(r#"{{"type": "respond", "status": 204, "headers": [], "body": ""{more}}}"#);
        serde_json::from_str::<Target>(&text).map_err(|error| error.to_string())
    };
    assert!(matches!(
        target(""),
        Ok(Target::Respond(Respond { status: 204, .. }))
    ));
    assert!(
        target(r#", "extra": 1"#)
            .unwrap_err()
            .contains("unknown field `extra`")
    );
}
