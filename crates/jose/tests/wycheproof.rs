// SPDX-License-Identifier: Apache-2.0
//! The JOSE vectors of Wycheproof: what is signed well is taken, everything else is refused.
#![allow(clippy::unwrap_used)] // helpers of tests
use serde_json::Value;
use tidegate_jose::{Algorithms, KeySet, Refusal, Token};

/// What is judged otherwise here, by file and number, and why.
const OTHERWISE: &[(&str, u64, &str)] = &[
    (
        "signature",
        346,
        "signed with PS384, and its key says PS256",
    ),
    (
        "signature",
        347,
        "its key says ES521, which is no algorithm",
    ),
    (
        "signature",
        350,
        "signed with PS384, and its key says PS256",
    ),
    (
        "signature",
        351,
        "its key says ES521, which is no algorithm",
    ),
    (
        "signature",
        367,
        "the padding it is about is not in the vector, which is a valid token",
    ),
    (
        "signature",
        370,
        "the padding it is about is not in the vector, which is a valid token",
    ),
    ("signature", 372, "`?` is no digit of base64url"),
    ("signature", 373, "`?` is no digit of base64url"),
];

fn verdict(group: &Value, token: &str) -> Result<(), Refusal> {
    let own = group
        .get("public")
        .or_else(|| group.get("private"))
        .unwrap();
    let keys = KeySet::private(own.to_string().as_bytes()).map_err(|_| Refusal::UnknownKey)?;
    let token = Token::read(token.as_bytes())?;
    token.verify(&keys, Algorithms::all())?;
    token.payload().map(drop)
}

fn judge(file: &str, text: &str) -> usize {
    let whole: Value = serde_json::from_str(text).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for group in whole["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            // Encrypted tokens are none of ours.
            let Some(token) = test["jws"].as_str() else {
                continue;
            };
            let number = test["tcId"].as_u64().unwrap();
            let found = verdict(group, token);
            let is_otherwise = OTHERWISE
                .iter()
                .any(|(own, id, _)| *own == file && *id == number);
            let must_be_taken = (test["result"] == "valid") != is_otherwise;
            if found.is_ok() != must_be_taken {
                wrong.push(format!(
                    "{number} {} {} {}: {found:?}",
                    group["comment"], test["comment"], test["flags"]
                ));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    count
}

#[test]
fn signatures_are_judged_as_wycheproof_does() {
    let text = include_str!("../vectors/json_web_signature_test.json");
    assert_eq!(judge("signature", text), 401);
}

#[test]
fn sets_of_keys_are_judged_as_wycheproof_does() {
    let text = include_str!("../vectors/json_web_key_test.json");
    assert_eq!(judge("key", text), 26);
}

#[test]
fn keys_that_are_not_for_signatures_are_refused_as_wycheproof_does() {
    let text = include_str!("../vectors/json_web_crypto_test.json");
    assert_eq!(judge("crypto", text), 48);
}
