// SPDX-License-Identifier: Apache-2.0
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_core::{Draw, Moment};

type Sha = Hmac<Sha256>;

/// Parts of the table, so that threads seldom meet.
const PARTS: usize = 16;
/// Passwords remembered as right, in each part.
const REMEMBERED: usize = 625;
/// Milliseconds for which they are.
const REMEMBERED_MS: u64 = 300_000;

/// Random bytes.
pub(crate) fn draw_key() -> [u8; 32] {
    let mut draw = Draw::from_entropy();
    let mut key = [0; 32];
    for piece in key.as_chunks_mut::<8>().0 {
        *piece = draw.bits().to_ne_bytes();
    }
    key
}

/// Passwords that were found right a short while ago, by a keyed digest of user and password: the next
/// request need not wait.
pub struct Known {
    key: [u8; 32],
    until: [Mutex<HashMap<[u8; 32], Moment>>; PARTS],
}

impl Default for Known {
    fn default() -> Self {
        Self {
            key: draw_key(),
            until: Default::default(),
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
        let until = self.part(digest);
        until.get(digest).is_some_and(|until| now < *until)
    }

    /// Remembers that it was.
    pub fn remember(&self, digest: [u8; 32], now: Moment) {
        let mut until = self.part(&digest);
        if until.len() >= REMEMBERED {
            until.retain(|_, until| now < *until);
        }
        if until.len() < REMEMBERED {
            until.insert(digest, now.after_millis(REMEMBERED_MS));
        }
    }

    fn part(&self, digest: &[u8; 32]) -> MutexGuard<'_, HashMap<[u8; 32], Moment>> {
        let [first, ..] = *digest;
        // The digest is keyed: nobody chooses the part.
        let [parts @ .., last] = &self.until;
        let part = parts.get(usize::from(first) % PARTS).unwrap_or(last);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
