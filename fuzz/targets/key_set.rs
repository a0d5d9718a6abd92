// SPDX-License-Identifier: Apache-2.0
//! A set of keys that an issuer publishes: what is taken is public, bounded, and no other set to those who
//! wrote it themselves.
use tidegate_jose::{KeySet, MOST_KEYS};

/// What inputs of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"{\"keys\":[",
    b"]}",
    b"{",
    b"}",
    b",",
    b"\"kty\":\"RSA\"",
    b"\"kty\":\"EC\"",
    b"\"kty\":\"OKP\"",
    b"\"kty\":\"oct\"",
    b"\"crv\":\"P-256\"",
    b"\"crv\":\"Ed25519\"",
    b"\"alg\":\"RS256\"",
    b"\"alg\":null",
    b"\"use\":\"enc\"",
    b"\"key_ops\":[\"verify\"]",
    b"\"e\":\"AQAB\"",
    b"\"n\":\"\"",
    b"\"x\":\"AA\"",
    b"\"kid\":1",
    b"\\u0000",
    b"\x80",
];

/// Judges `data`; whether a set was read.
pub fn run(data: &[u8]) -> bool {
    let public = KeySet::public(data);
    if let Ok(own) = KeySet::private(data) {
        assert!(own.is_secret() || public.as_ref().is_ok_and(|keys| keys.len() == own.len()));
    }
    public.is_ok_and(|keys| {
        assert!(!keys.is_secret() && !keys.is_empty() && keys.len() <= MOST_KEYS);
        true
    })
}
