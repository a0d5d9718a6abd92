// SPDX-License-Identifier: Apache-2.0
//! A claim of a bearer token: what is found is in the payload, however the rest is written.
//!
//! The input is the value of an `Authorization` field.
use tidegate_request::bearer_claim;

/// What inputs of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"Bearer ",
    b"bearer  ",
    b"Basic ",
    b".",
    b"..",
    b"=",
    b"-_",
    b"e30",
    b"eyJhbGciOiJub25lIn0",
    b"eyJzdWIiOiJhbm4ifQ",
    b"eyJzdWIiOlsxXX0",
    b"eyJzdWIiOjF9",
    b"eyJzdWIiOiIiLCJzdWIiOiJiIn0",
    b"W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tb",
    b"\x80",
    b"\0",
];

/// Judges `data`; whether a claim was found.
pub fn run(data: &[u8]) -> bool {
    let found = bearer_claim(data, "sub");
    if let Some(claim) = &found {
        assert!(!claim.is_empty() && claim.len() < data.len());
        let text = data.split(|&byte| byte == b'.').collect::<Vec<_>>();
        assert_eq!(text.len(), 3);
        // Header and signature are not read.
        let same = [b"Bearer x.".as_slice(), text[1], b"."].concat();
        assert_eq!(bearer_claim(&same, "sub").as_ref(), Some(claim));
    }
    found.is_some()
}
