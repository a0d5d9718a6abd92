// SPDX-License-Identifier: Apache-2.0
//! A JSON Web Token: what is verified has one spelling and no other, and its claims read the same again.
//!
//! The input is the token; the secret is [`SECRET`].
use tidegate_jose::{Algorithms, KeySet, Refusal, Token, object};

/// What the tokens among the seeds are signed with.
pub const SECRET: &[u8] = b"a secret that everybody may know: 64 bytes, enough for each hash";

/// What inputs of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b".",
    b"..",
    b"=",
    b"-_",
    b"e30",
    b"eyJhbGciOiJub25lIn0",
    b"eyJhbGciOiJIUzI1NiJ9",
    b"eyJhbGciOiJIUzUxMiJ9",
    b"eyJhbGciOiJSUzI1NiJ9",
    b"eyJhbGciOiJIUzI1NiIsImNyaXQiOltdfQ",
    b"eyJzdWIiOiJhbm4ifQ",
    b"eyJzdWIiOiIiLCJzdWIiOiJiIn0",
    b"eyJleHAiOjFlNDAwfQ",
    b"W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tb",
    b"\x80",
    b"\0",
];

fn verified(data: &[u8], keys: &KeySet) -> Result<bool, Refusal> {
    let token = Token::read(data)?;
    token.verify(keys, Algorithms::all())?;
    let claims = token.claims()?;
    let again = serde_json::to_vec(&claims).ok().as_deref().and_then(object);
    assert_eq!(again, Some(claims));
    Ok(true)
}

/// Judges `data`; whether it is a token that is signed.
pub fn run(data: &[u8]) -> bool {
    let Ok(keys) = KeySet::secret(SECRET) else {
        return false;
    };
    let is_good = verified(data, &keys).unwrap_or(false);
    if is_good {
        let mut other = data.to_vec();
        for place in 0..other.len() {
            for bit in [1, 2, 16] {
                other[place] ^= bit;
                assert!(verified(&other, &keys).is_err());
                other[place] ^= bit;
            }
        }
    }
    is_good
}
