// SPDX-License-Identifier: Apache-2.0
use crate::bearer_claim;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=group.len() {
            text.push(DIGITS[(bits >> (18 - 6 * place) & 63) as usize].into());
        }
    }
    text
}

fn claim(payload: &str, name: &str) -> Option<String> {
    let token = format!("Bearer e30.{}.c2ln", base64(payload.as_bytes()));
    bearer_claim(token.as_bytes(), name)
}

#[test]
fn a_claim_is_a_text_a_number_or_a_truth_value() {
    let payload = r#"{"iss": "a", "sub": "ann\u00e9", "n": 17, "big": 18446744073709551615,
                      "half": 0.5, "is": true, "https://a.test/tenant": "t", "list": ["x"]}"#;
    for (name, value) in [
        ("sub", "anné"),
        ("n", "17"),
        ("big", "18446744073709551615"),
        ("half", "0.5"),
        ("is", "true"),
        ("https://a.test/tenant", "t"),
    ] {
        assert_eq!(claim(payload, name).as_deref(), Some(value));
    }
    for name in ["list", "Sub", "nothing", ""] {
        assert_eq!(claim(payload, name), None, "{name}");
    }
}

#[test]
fn rfc6750_2_1_the_scheme_has_no_case_and_rfc7515_2_the_payload_no_padding() {
    // RFC 7519 §3.1, the payload of the example.
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (value, is_taken) in [
        (format!("Bearer a.{payload}.b"), true),
        (format!("bEARER   a.{payload}."), true),
        (format!("Bearer a.{payload}=.b"), false),
        (format!("Bearer a.{payload}"), false),
        (format!("Bearer a.{payload}.b.c.d"), false),
        (format!("Basic a.{payload}.b"), false),
        (format!("Bearer\ta.{payload}.b"), false),
        (format!("Bearera.{payload}.b"), false),
    ] {
        let found = bearer_claim(value.as_bytes(), "iss");
        assert_eq!(found.as_deref(), is_taken.then_some("joe"), "{value}");
    }
}

#[test]
fn what_is_no_token_has_no_claims() {
    for value in [
        b"".as_slice(),
        b"Bearer",
        b"Bearer ",
        b"Bearer ..",
        b"Bearer .A.",
        b"Bearer .!!!!.",
        b"\xff\xfe Bearer",
    ] {
        assert_eq!(bearer_claim(value, "sub"), None, "{}", value.escape_ascii());
    }
    for payload in [
        "",
        "[]",
        "\"sub\"",
        "{\"sub\": \"ann\"",
        "{\"sub\": \"ann\"} {}",
        "{\"sub\": \"\"}",
        "{\"sub\": null}",
        "{\"sub\": 1e400}",
        "{\"sub\": \"ann\", \"sub\": \"bob\"}",
    ] {
        assert_eq!(claim(payload, "sub"), None, "{payload}");
    }
}

#[test]
fn a_payload_has_a_longest_length_and_no_depth_overruns_the_stack() {
    let of = |length: usize| format!("{{\"sub\": \"ann\", \"x\": \"{}\"}}", "x".repeat(length));
    let around = of(0).len();
    assert!(claim(&of((16 << 10) - around - 3), "sub").is_some());
    assert_eq!(claim(&of((16 << 10) - around + 3), "sub"), None);
    for name in ["x", "sub"] {
        let deep = format!("{{\"{name}\": {}}}", "[".repeat(12_000));
        assert_eq!(claim(&deep, "sub"), None);
    }
}
