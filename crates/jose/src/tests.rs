// SPDX-License-Identifier: Apache-2.0
use crate::{
    Algorithm, Algorithms, Claims, Expected, KeySet, MOST_BYTES, MOST_KEYS, Refusal, Token, object,
};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use serde_json::json;

const SECRET: &[u8] = b"a secret of 64 bytes, so that it is long enough for every hash!!";

fn encoded(bytes: &[u8]) -> String {
    tidegate_core::base64_encoded(bytes)
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

/// A token of these texts, signed with `SECRET`.
fn signed(header: &str, payload: &str) -> String {
    let text = format!(
        "{}.{}",
        encoded(header.as_bytes()),
        encoded(payload.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = encoded(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn verified(token: &str, keys: &KeySet) -> Result<(), Refusal> {
    Token::read(token.as_bytes())?.verify(keys, Algorithms::all())
}

fn secret() -> KeySet {
    KeySet::secret(SECRET).unwrap()
}

#[test]
fn a_token_is_taken_and_one_with_another_signature_is_not() {
    let token = signed(r#"{"alg":"HS256"}"#, r#"{"sub":"ann"}"#);
    assert_eq!(verified(&token, &secret()), Ok(()));
    let read = Token::read(token.as_bytes()).unwrap();
    assert_eq!(read.claims().unwrap()["sub"], "ann");
    let other = signed(r#"{"alg":"HS256"}"#, r#"{"sub":"eve"}"#);
    let (_, signature) = other.rsplit_once('.').unwrap();
    let (text, _) = token.rsplit_once('.').unwrap();
    assert_eq!(
        verified(&format!("{text}.{signature}"), &secret()),
        Err(Refusal::Signature)
    );
}

#[test]
fn no_algorithm_has_the_name_none_in_any_spelling() {
    for name in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "ES256K", "RS1",
    ] {
        let header = json!({"alg": name}).to_string();
        let token = signed(&header, "{}");
        assert_eq!(
            verified(&token, &secret()),
            Err(Refusal::Algorithm),
            "{name}"
        );
    }
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#] {
        assert_eq!(
            verified(&signed(header, "{}"), &secret()),
            Err(Refusal::Algorithm)
        );
    }
    let unsigned = format!("{}.{}.", encoded(br#"{"alg":"HS256"}"#), encoded(b"{}"));
    assert_eq!(verified(&unsigned, &secret()), Err(Refusal::Malformed));
}

#[test]
fn a_public_key_is_no_secret() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..])});
    let keys = KeySet::public(jwk.to_string().as_bytes()).unwrap();
    for bytes in [point, jwk.to_string().as_bytes()] {
        let text = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(b"{}"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let token = format!(
            "{text}.{}",
            encoded(hmac::sign(&key, text.as_bytes()).as_ref())
        );
        assert_eq!(verified(&token, &keys), Err(Refusal::UnknownKey));
    }
    let text = format!("{}.{}", encoded(br#"{"alg":"ES256"}"#), encoded(b"{}"));
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let token = format!("{text}.{}", encoded(signature.as_ref()));
    assert_eq!(verified(&token, &keys), Ok(()));
    let token = Token::read(token.as_bytes()).unwrap();
    let others: Algorithms = [Algorithm::Rs256, Algorithm::EdDsa].into_iter().collect();
    assert_eq!(token.verify(&keys, others), Err(Refusal::Algorithm));
}

#[test]
fn ed25519_has_two_names() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": encoded(pair.public_key().as_ref())});
    let keys = KeySet::public(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    for name in ["EdDSA", "Ed25519"] {
        let header = json!({"alg": name, "kid": "e"}).to_string();
        let text = format!("{}.{}", encoded(header.as_bytes()), encoded(b"{}"));
        let token = format!("{text}.{}", encoded(pair.sign(text.as_bytes()).as_ref()));
        assert_eq!(verified(&token, &keys), Ok(()));
    }
}

#[test]
fn what_a_header_says_of_keys_is_not_followed_and_what_it_demands_is_refused() {
    let header = json!({
        "alg": "HS256", "jku": "https://evil.test/", "x5u": "https://evil.test/",
        "jwk": {"kty": "oct", "k": encoded(b"evil")}, "typ": "at+jwt",
    });
    assert_eq!(
        verified(&signed(&header.to_string(), "{}"), &secret()),
        Ok(())
    );
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""crit":null"#,
    ] {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        assert_eq!(
            verified(&signed(&header, "{}"), &secret()),
            Err(Refusal::Critical)
        );
    }
}

#[test]
fn a_member_that_is_there_twice_is_refused_at_any_depth() {
    assert_eq!(object(br#"{"a":1,"a":1}"#), None);
    assert_eq!(object(br#"{"a":[{"b":1,"\u0062":2}]}"#), None);
    assert_eq!(object(br#"{"a":1e400}"#), None);
    assert_eq!(object(b"[]"), None);
    assert_eq!(object(b"{} {}"), None);
    assert_eq!(
        object(format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)).as_bytes()),
        None
    );
    let whole = br#"{"a":[1,-2,3.5,"x",true,null],"b":{"a":{}}}"#;
    let read = serde_json::Value::Object(object(whole).unwrap());
    assert_eq!(
        read,
        serde_json::from_slice::<serde_json::Value>(whole).unwrap()
    );
    let token = signed(r#"{"alg":"HS256","alg":"HS256"}"#, "{}");
    assert_eq!(verified(&token, &secret()), Err(Refusal::Malformed));
    let token = signed(r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"b"}"#);
    assert_eq!(
        Token::read(token.as_bytes()).unwrap().claims(),
        Err(Refusal::Malformed)
    );
}

#[test]
fn other_forms_and_spellings_of_a_token_are_refused() {
    let token = signed(r#"{"alg":"HS256"}"#, "{}");
    assert_eq!(verified(&token, &secret()), Ok(()));
    let (text, signature) = token.rsplit_once('.').unwrap();
    let last = signature.as_bytes().last().copied().unwrap();
    // 43 digits have two bits more than 32 bytes: the same bytes, written otherwise.
    let other = signature[..42].to_owned() + &char::from(last + 1).to_string();
    for wrong in [
        String::new(),
        "..".into(),
        text.into(),
        format!("{token}."),
        format!("{token}=").replace("==", "="),
        format!(" {token}"),
        format!("{text}.{other}"),
        token.replace('.', ". "),
        format!("{text}.{signature}.."),
    ] {
        assert_eq!(
            verified(&wrong, &secret()),
            Err(Refusal::Malformed),
            "{wrong}"
        );
    }
}

#[test]
fn a_token_is_as_long_as_it_may_be_and_no_longer() {
    let of = |length: usize| signed(r#"{"alg":"HS256"}"#, &"x".repeat(length));
    let fits = (1..MOST_BYTES)
        .rev()
        .map(of)
        .find(|token| token.len() <= MOST_BYTES)
        .unwrap();
    assert!(fits.len() > MOST_BYTES - 3);
    assert_eq!(verified(&fits, &secret()), Ok(()));
    assert_eq!(
        verified(&format!("{fits}xxx"), &secret()),
        Err(Refusal::Malformed)
    );
    let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(3200));
    assert_eq!(
        verified(&signed(&header, "{}"), &secret()),
        Err(Refusal::Malformed)
    );
}

fn oct(id: &str, alg: Option<&str>) -> serde_json::Value {
    let mut jwk = json!({"kty": "oct", "k": encoded(SECRET), "kid": id});
    if let Some(alg) = alg {
        jwk["alg"] = alg.into();
    }
    jwk
}

#[test]
fn one_key_must_fit_and_no_more() {
    let set =
        |keys: serde_json::Value| KeySet::private(json!({"keys": keys}).to_string().as_bytes());
    let two = set(json!([oct("a", None), oct("b", None)])).unwrap();
    assert_eq!(two.len(), 2);
    let with = |id: &str| signed(&json!({"alg": "HS256", "kid": id}).to_string(), "{}");
    assert_eq!(verified(&with("b"), &two), Ok(()));
    assert_eq!(verified(&with("../../b"), &two), Err(Refusal::UnknownKey));
    assert_eq!(
        verified(&signed(r#"{"alg":"HS256"}"#, "{}"), &two),
        Err(Refusal::UnknownKey)
    );
    let same = set(json!([oct("a", None), oct("a", None)])).unwrap();
    assert_eq!(verified(&with("a"), &same), Err(Refusal::UnknownKey));
    let apart = set(json!([oct("a", Some("HS256")), oct("a", Some("HS512"))])).unwrap();
    assert_eq!(verified(&with("a"), &apart), Ok(()));
    let other = set(json!([oct("a", Some("HS384"))])).unwrap();
    assert_eq!(verified(&with("a"), &other), Err(Refusal::UnknownKey));
    let number = signed(r#"{"alg":"HS256","kid":1}"#, "{}");
    assert_eq!(verified(&number, &two), Err(Refusal::Malformed));
}

#[test]
fn sets_that_say_too_little_or_too_much_are_refused() {
    let private = |text: serde_json::Value| KeySet::private(text.to_string().as_bytes()).map(drop);
    let says = |text: serde_json::Value, part: &str| {
        let why = private(text).unwrap_err();
        assert!(why.contains(part), "{why}");
    };
    says(json!({"keys": []}), "no key");
    says(json!({"keys": 1}), "no list");
    says(json!([]), "no JSON object");
    says(json!({"keys": [1]}), "key 0: it is no object");
    says(
        json!({"kty": "oct", "k": encoded(&SECRET[..31])}),
        "32 for HS256",
    );
    says(
        json!({"kty": "oct", "k": encoded(&SECRET[..47]), "alg": "HS384"}),
        "48 for HS384",
    );
    says(
        json!({"kty": "RSA", "n": encoded(&[0xff; 255]), "e": "AQAB"}),
        "2048 to 8192 bits",
    );
    says(
        json!({"kty": "RSA", "n": encoded(&[0xff; 256]), "e": "Ag"}),
        "odd",
    );
    says(
        json!({"kty": "RSA", "n": encoded(&[0xff; 256]), "e": "AQ"}),
        "odd",
    );
    says(
        json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[1; 31])}),
        "length",
    );
    says(
        json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[1; 32])}),
        "no public key",
    );
    for other in [
        json!({"kty": "EC", "crv": "secp256k1"}),
        json!({"kty": "AKP"}),
        json!({"kty": "oct", "k": encoded(SECRET), "use": "enc"}),
        json!({"kty": "oct", "k": encoded(SECRET), "key_ops": ["encrypt"]}),
        json!({"kty": "oct", "k": encoded(SECRET), "alg": "A256GCM"}),
        json!({"kty": "oct", "k": encoded(SECRET), "alg": "RS256"}),
    ] {
        says(other, "no key that verifies");
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())});
    says(json!({"keys": [oct("a", None), public]}), "in one set");
    assert!(private(json!({"keys": vec![oct("a", None); MOST_KEYS]})).is_ok());
    says(
        json!({"keys": vec![oct("a", None); MOST_KEYS + 1]}),
        "more than 200",
    );
    // What others publish may be of tomorrow; what is published is no secret.
    let published = json!({"keys": [oct("a", None), {"kty": "EC", "crv": "P-256"}, public]});
    let read = KeySet::public(published.to_string().as_bytes()).unwrap();
    assert_eq!((read.len(), read.is_secret()), (1, false));
    assert!(KeySet::public(json!({"keys": [oct("a", None)]}).to_string().as_bytes()).is_err());
    assert!(!format!("{read:?}").contains("x"));
}

fn checked(claims: serde_json::Value, expected: &Expected<'_>) -> Result<u64, Refusal> {
    let members = claims.as_object().unwrap().clone();
    Claims(&members).check(expected)
}

#[test]
fn times_are_numbers_and_clocks_may_differ_by_the_skew_and_no_more() {
    let at = |now| Expected {
        now,
        skew: 60,
        ..Expected::default()
    };
    assert_eq!(checked(json!({"exp": 1000}), &at(1059)), Ok(1060));
    assert_eq!(
        checked(json!({"exp": 1000}), &at(1060)),
        Err(Refusal::Expired)
    );
    assert_eq!(checked(json!({"exp": 1000.5}), &at(1060)), Ok(1060));
    assert_eq!(
        checked(json!({"exp": -1}), &at(1060)),
        Err(Refusal::Expired)
    );
    assert_eq!(checked(json!({"exp": 1e300}), &at(1060)), Ok(u64::MAX));
    for wrong in [
        json!("1000"),
        json!(null),
        json!([1000]),
        json!(true),
        json!({}),
    ] {
        assert_eq!(checked(json!({"exp": wrong}), &at(0)), Err(Refusal::Claim));
        assert_eq!(
            checked(json!({"exp": 9, "nbf": wrong}), &at(0)),
            Err(Refusal::Claim)
        );
        assert_eq!(
            checked(json!({"exp": 9, "iat": wrong}), &at(0)),
            Err(Refusal::Claim)
        );
    }
    assert_eq!(checked(json!({}), &at(0)), Err(Refusal::Claim));
    assert_eq!(
        checked(json!({"exp": 2000, "nbf": 1060}), &at(1000)),
        Ok(2060)
    );
    assert_eq!(
        checked(json!({"exp": 2000, "nbf": 1061}), &at(1000)),
        Err(Refusal::NotYet)
    );
}

#[test]
fn issuer_and_audience_are_compared_whole() {
    let audiences = ["shop".to_owned(), "pay".to_owned()];
    let expected = Expected {
        issuer: Some("https://a.test/"),
        audiences: &audiences,
        ..Expected::default()
    };
    let with = |iss: serde_json::Value, aud: serde_json::Value| {
        checked(json!({"exp": 1, "iss": iss, "aud": aud}), &expected)
    };
    assert_eq!(with(json!("https://a.test/"), json!("pay")), Ok(1));
    assert_eq!(with(json!("https://a.test/"), json!(["x", "shop"])), Ok(1));
    assert_eq!(
        with(json!("https://a.test"), json!("pay")),
        Err(Refusal::Issuer)
    );
    assert_eq!(with(json!(1), json!("pay")), Err(Refusal::Claim));
    assert_eq!(
        checked(json!({"exp": 1, "aud": "pay"}), &expected),
        Err(Refusal::Issuer)
    );
    for (aud, why) in [
        (json!("pa"), Refusal::Audience),
        (json!("Pay"), Refusal::Audience),
        (json!([]), Refusal::Audience),
        (json!(["pay", 1]), Refusal::Claim),
        (json!({"pay": true}), Refusal::Claim),
    ] {
        assert_eq!(with(json!("https://a.test/"), aud), Err(why));
    }
    assert_eq!(
        checked(json!({"exp": 1, "iss": "https://a.test/"}), &expected),
        Err(Refusal::Audience)
    );
}
