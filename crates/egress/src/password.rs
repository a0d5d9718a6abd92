// SPDX-License-Identifier: Apache-2.0
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tidegate_core::{Draw, Moment, base64_decoded};

type Sha = Hmac<Sha256>;

/// Iterations below which a hash is none, and above which checking one would take seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 1_000..=10_000_000;
/// Passwords remembered as right.
const REMEMBERED: usize = 10_000;
/// Milliseconds for which they are.
const REMEMBERED_MS: u64 = 300_000;

/// A password's hash: PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2), of 32 bytes.
#[derive(Clone)]
pub struct Hashed {
    iterations: u32,
    salt: Vec<u8>,
    hash: [u8; 32],
}

impl Hashed {
    /// Reads `$pbkdf2-sha256$i=N$SALT$HASH`, both in base64 without padding.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the text is in there.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is no hash of a password: write what `tidegate hash-password` prints";
        let mut parts = text.trim().split('$');
        let (Some(""), Some("pbkdf2-sha256"), Some(count), Some(salt), Some(hash), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(FORM);
        };
        let count = count
            .strip_prefix("i=")
            .and_then(|count| count.parse().ok());
        let decode = |text: &str| base64_decoded(text.as_bytes(), *b"+/").ok_or(FORM);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        let iterations: u32 = count.ok_or(FORM)?;
        if !ITERATIONS.contains(&iterations) || salt.len() < 8 {
            return Err("has too few iterations, too many, or too short a salt");
        }
        let hash = hash.try_into().map_err(|_| FORM)?;
        Ok(Self {
            iterations,
            salt,
            hash,
        })
    }

    /// Whether it is that of `password`. Takes as long as it is made to: not on a thread that others
    /// wait for.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let found = derive(password, &self.salt, self.iterations);
        let differs = found
            .iter()
            .zip(&self.hash)
            .fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differs) == 0
    }
}

/// One block of PBKDF2.
fn derive(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let Ok(keyed) = Sha::new_from_slice(password) else {
        return [0; 32]; // keys of any length are taken
    };
    let mut first = keyed.clone();
    first.update(salt);
    first.update(&1_u32.to_be_bytes());
    let mut last: [u8; 32] = first.finalize().into_bytes().into();
    let mut all = last;
    for _ in 1..iterations {
        let mut next = keyed.clone();
        next.update(&last);
        last = next.finalize().into_bytes().into();
        all.iter_mut()
            .zip(last)
            .for_each(|(all, byte)| *all ^= byte);
    }
    all
}

/// Passwords that were found right a short while ago, by a keyed digest of user and password: the next
/// request need not wait.
pub struct Known {
    key: [u8; 32],
    until: Mutex<HashMap<[u8; 32], Moment>>,
}

impl Default for Known {
    fn default() -> Self {
        let mut draw = Draw::from_entropy();
        let mut key = [0; 32];
        for piece in key.as_chunks_mut::<8>().0 {
            *piece = draw.bits().to_ne_bytes();
        }
        Self {
            key,
            until: Mutex::default(),
        }
    }
}

impl Known {
    /// The digest of a user's password.
    pub fn digest(&self, user: &[u8], password: &[u8]) -> [u8; 32] {
        let Ok(mut keyed) = Sha::new_from_slice(&self.key) else {
            return [0; 32]; // keys of any length are taken
        };
        keyed.update(&(user.len() as u64).to_be_bytes());
        keyed.update(user);
        keyed.update(password);
        keyed.finalize().into_bytes().into()
    }

    /// Whether it was found right.
    pub fn has(&self, digest: &[u8; 32], now: Moment) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(digest).is_some_and(|until| now < *until)
    }

    /// Remembers that it was.
    pub fn remember(&self, digest: [u8; 32], now: Moment) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= REMEMBERED {
            until.retain(|_, until| now < *until);
        }
        if until.len() < REMEMBERED {
            until.insert(digest, now.after_millis(REMEMBERED_MS));
        }
    }
}

/// User and password of `Basic` credentials (RFC 7617 §2); `None` for what is none.
pub fn credentials(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = rest.trim_ascii();
    let text = text
        .strip_suffix(b"==")
        .or(text.strip_suffix(b"="))
        .unwrap_or(text);
    let whole = base64_decoded(text, *b"+/")?;
    let colon = whole.iter().position(|byte| *byte == b':')?;
    let (user, password) = whole.split_at_checked(colon)?;
    Some((user.to_vec(), password.get(1..)?.to_vec()))
}
