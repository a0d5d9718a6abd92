// SPDX-License-Identifier: Apache-2.0
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tidegate_core::{Draw, Moment, base64_decoded, base64_encoded};

type Sha = Hmac<Sha256>;

/// Iterations below which a hash is none, and above which checking one would take seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 1_000..=10_000_000;
/// Passwords remembered as right.
const REMEMBERED: usize = 10_000;
/// Milliseconds for which they are.
const REMEMBERED_MS: u64 = 300_000;

/// What a hash of Argon2id may take: KiB of memory, passes over it, lanes of it. Less is none, and more
/// would keep a node from its work.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 8..=262_144;
const PASSES: std::ops::RangeInclusive<u32> = 1..=100;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;
/// What `Hashed::make` takes: 19 MiB, two passes, one lane.
const OWN: (u32, u32, u32) = (19_456, 2, 1);

/// A password's hash, of 32 bytes.
#[derive(Clone)]
pub struct Hashed {
    by: By,
    salt: Vec<u8>,
    hash: [u8; 32],
}

/// How a hash is made.
#[derive(Clone, Copy)]
enum By {
    /// PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2), with so many iterations.
    Pbkdf2(u32),
    /// Argon2id (RFC 9106), with KiB of memory, passes and lanes: guessing takes that memory as well.
    Argon2id(u32, u32, u32),
}

impl Hashed {
    /// Reads `$argon2id$v=19$m=N,t=N,p=N$SALT$HASH` or `$pbkdf2-sha256$i=N$SALT$HASH`, salt and hash in
    /// base64 without padding.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the text is in there.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is no hash of a password: write what `tidegate hash-password` prints";
        let parts: Vec<&str> = text.trim().split('$').collect();
        let (by, salt, hash) = match *parts {
            ["", "pbkdf2-sha256", count, salt, hash] => {
                let [count] = numbers(count, ["i"]).ok_or(FORM)?;
                (By::Pbkdf2(count), salt, hash)
            }
            ["", "argon2id", "v=19", cost, salt, hash] => {
                let [memory, passes, lanes] = numbers(cost, ["m", "t", "p"]).ok_or(FORM)?;
                (By::Argon2id(memory, passes, lanes), salt, hash)
            }
            _ => return Err(FORM),
        };
        let decode = |text: &str| base64_decoded(text.as_bytes(), *b"+/").ok_or(FORM);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        let is_fit = match by {
            By::Pbkdf2(iterations) => ITERATIONS.contains(&iterations),
            By::Argon2id(memory, passes, lanes) => {
                MEMORY_KIB.contains(&memory)
                    && PASSES.contains(&passes)
                    && LANES.contains(&lanes)
                    && memory >= 8 * lanes
            }
        };
        if !is_fit || !(8..=64).contains(&salt.len()) {
            return Err("costs too little or too much to check, or has too short or long a salt");
        }
        let hash = hash.try_into().map_err(|_| FORM)?;
        Ok(Self { by, salt, hash })
    }

    /// The text of a hash that [`Self::parse`] reads, by Argon2id with what OWASP asks for. `salt` is 16
    /// random bytes.
    pub fn make(password: &[u8], salt: [u8; 16]) -> String {
        let (memory, passes, lanes) = OWN;
        let hash = derive(By::Argon2id(memory, passes, lanes), password, &salt);
        let text = |bytes: &[u8]| base64_encoded(bytes).trim_end_matches('=').to_owned();
        format!(
            "$argon2id$v=19$m={memory},t={passes},p={lanes}${}${}",
            text(&salt),
            text(&hash)
        )
    }

    /// Whether it is that of `password`. Takes as long, and as much memory, as it is made to: not on a
    /// thread that others wait for.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let found = derive(self.by, password, &self.salt);
        let differs = found
            .iter()
            .zip(&self.hash)
            .fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differs) == 0
    }
}

/// The numbers in `name=N,name=N`, in this order.
fn numbers<const COUNT: usize>(text: &str, names: [&str; COUNT]) -> Option<[u32; COUNT]> {
    let mut found = [0; COUNT];
    let mut parts = text.split(',');
    for (place, name) in found.iter_mut().zip(names) {
        let digits = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        *place = is_plain.then(|| digits.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

fn derive(by: By, password: &[u8], salt: &[u8]) -> [u8; 32] {
    let (memory, passes, lanes) = match by {
        By::Pbkdf2(iterations) => return pbkdf2(password, salt, iterations),
        By::Argon2id(memory, passes, lanes) => (memory, passes, lanes),
    };
    let mut found = [0; 32];
    let Ok(params) = Params::new(memory, passes, lanes, Some(found.len())) else {
        return draw_key(); // what was read is within the bounds
    };
    let made = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    match made.hash_password_into(password, salt, &mut found) {
        Ok(()) => found,
        Err(_) => draw_key(), // nobody has that
    }
}

/// Random bytes.
fn draw_key() -> [u8; 32] {
    let mut draw = Draw::from_entropy();
    let mut key = [0; 32];
    for piece in key.as_chunks_mut::<8>().0 {
        *piece = draw.bits().to_ne_bytes();
    }
    key
}

/// One block of PBKDF2.
fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
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
        Self {
            key: draw_key(),
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
