// SPDX-License-Identifier: Apache-2.0
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidegate_core::{base64_decoded, base64_encoded};

use crate::known::draw_key;

type Sha = Hmac<Sha256>;

/// Iterations below which a hash is none, and above which checking one would take seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 1_000..=10_000_000;
/// What a hash of Argon2id may take: KiB of memory, passes over it, lanes of it. Less is none, and more
/// would keep a node from its work.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 8..=262_144;
const PASSES: std::ops::RangeInclusive<u32> = 1..=100;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;
/// Rounds of bcrypt, as a power of two.
const COST: std::ops::RangeInclusive<u32> = 4..=15;
/// What `Hashed::make` takes: 19 MiB, two passes, one lane.
const OWN: (u32, u32, u32) = (19_456, 2, 1);

/// A password's hash.
#[derive(Clone)]
pub struct Hashed(Kind);

#[derive(Clone)]
enum Kind {
    /// Of 32 bytes.
    Derived {
        by: By,
        salt: Vec<u8>,
        hash: [u8; 32],
    },
    /// As it is written: `$2y$10$` and 53 characters.
    Bcrypt(Box<str>),
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
    /// base64 without padding, or `$2y$NN$` and what `htpasswd -B` writes behind it.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the text is in there.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is no hash of a password: write what `tidegate hash-password` prints";
        const UNFIT: &str =
            "costs too little or too much to check, or has too short or long a salt";
        let text = text.trim();
        let parts: Vec<&str> = text.split('$').collect();
        let (by, salt, hash) = match *parts {
            ["", "2a" | "2b" | "2y", cost, hash] => {
                let is_digit =
                    |byte: u8| matches!(byte, b'.' | b'/') || byte.is_ascii_alphanumeric();
                let is_number = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || hash.len() != 53 || !hash.bytes().all(is_digit) {
                    return Err(FORM);
                }
                let cost: u32 = cost.parse().map_err(|_| FORM)?;
                return match COST.contains(&cost) {
                    true => Ok(Self(Kind::Bcrypt(text.into()))),
                    false => Err(UNFIT),
                };
            }
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
            return Err(UNFIT);
        }
        let hash = hash.try_into().map_err(|_| FORM)?;
        Ok(Self(Kind::Derived { by, salt, hash }))
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
        let (by, salt, hash) = match &self.0 {
            Kind::Derived { by, salt, hash } => (*by, salt, hash),
            // It compares in constant time itself; more than 72 bytes count for nothing, as everywhere.
            Kind::Bcrypt(text) => return bcrypt::verify(password, text).unwrap_or(false),
        };
        let found = derive(by, password, salt);
        let differs = found.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
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
