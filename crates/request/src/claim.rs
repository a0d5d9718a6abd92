// SPDX-License-Identifier: Apache-2.0
//! What a bearer token says of itself, unverified: good for keeping a session in one place, and for
//! nothing that grants anything.
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use tidegate_core::base64_decoded;

/// Payloads that are longer are not read.
const MOST_BYTES: usize = 16 << 10;

/// The claim `name` of the JSON Web Token in the value of an `Authorization` field; the signature is
/// **not** checked, so this says who the client wants to be and not who it is.
///
/// Form: `Bearer HEADER.PAYLOAD.SIGNATURE` (RFC 6750 §2.1, RFC 7515 §3.1), of which the payload is
/// base64url without padding of a JSON object. A claim is a text, a number or a truth value, which
/// are returned as text, and is not empty. A name that occurs twice is no claim (RFC 7519 §4 leaves
/// that to us, and two readers would differ).
///
/// `None` for everything else, among it payloads over 16 KiB once decoded and encrypted tokens.
pub fn bearer_claim(value: &[u8], name: &str) -> Option<String> {
    let (scheme, token) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return None;
    }
    let mut parts = token.trim_ascii_start().split(|&byte| byte == b'.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || payload.len() > MOST_BYTES / 3 * 4 {
        return None;
    }
    let payload = base64_decoded(payload, *b"-_")?;
    let mut reader = serde_json::Deserializer::from_slice(&payload);
    let found = Claim { name }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found.filter(|text| !text.is_empty())
}

/// Reads an object and keeps one of its members.
struct Claim<'a> {
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Claim<'_> {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Claim<'_> {
    type Value = Option<String>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: serde_json::Value = members.next_value()?;
            if found.is_some() {
                return Err(A::Error::custom("it is there twice"));
            }
            found = Some(match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(is_so) => is_so.to_string(),
                _ => String::new(),
            });
        }
        Ok(found)
    }
}
