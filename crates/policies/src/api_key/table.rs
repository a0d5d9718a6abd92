// SPDX-License-Identifier: Apache-2.0
use super::config::ApiKeyOwner;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tidegate_contract::Identity;

/// A slot that has no key.
const EMPTY: u32 = u32::MAX;
/// What an owner is known by.
const SCHEME: &str = "api_key";

/// One key: its digest, whose it is, and until when.
#[derive(Clone, Copy)]
struct Entry {
    digest: [u8; 32],
    owner: u32,
    /// In seconds since 1970.
    expires: u64,
}

/// What was found under a digest.
pub(super) enum Found<'a> {
    /// A key that is good, and its owner.
    Good(&'a Arc<Identity>),
    /// A key whose time is over.
    Expired,
    /// A key whose owner is shut out.
    Disabled,
    /// No key.
    Unknown,
}

/// Keys by their SHA-256: open addressing with less than half of the slots taken. Digests are spread evenly by
/// themselves, and who asks cannot choose one that is in here.
pub(super) struct Table {
    slots: Vec<u32>,
    entries: Vec<Entry>,
    owners: Vec<Owner>,
    facts: Vec<Facts>,
}

/// Whose keys they are. Most of very many never call, or seldom, so that an identity is made when it is asked for.
struct Owner {
    subject: Box<str>,
    /// Which of the facts are theirs.
    facts: u32,
    is_disabled: bool,
    identity: OnceLock<Arc<Identity>>,
}

/// What is known of owners; many have the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Facts {
    roles: Vec<String>,
    scopes: Vec<String>,
    claims: Vec<(String, String)>,
}

impl Table {
    /// The table of all keys.
    ///
    /// # Errors
    /// A text that is no hash, or one that two keys have.
    pub(super) fn new(settings: Vec<ApiKeyOwner>) -> Result<Self, String> {
        let count: usize = settings.iter().map(|owner| owner.keys.len()).sum();
        let size = (count * 2 + 1).next_power_of_two();
        if u32::try_from(size).is_err() {
            return Err("has too many keys".into());
        }
        let mut table = Self {
            slots: vec![EMPTY; size],
            entries: Vec::with_capacity(count),
            owners: Vec::with_capacity(settings.len()),
            facts: Vec::new(),
        };
        let mut known = HashMap::new();
        for owner in settings {
            for key in &owner.keys {
                let digest = digest_of(&key.hash).ok_or("a text is no hash of a key")?;
                let entry = Entry {
                    digest,
                    owner: table.owners.len() as u32,
                    expires: key.expires.unwrap_or(u64::MAX),
                };
                table.add(entry)?;
            }
            let facts = Facts {
                roles: owner.roles,
                scopes: owner.scopes,
                claims: owner.claims,
            };
            let next = table.facts.len() as u32;
            let number = *known.entry(facts).or_insert_with_key(|facts| {
                table.facts.push(facts.clone());
                next
            });
            table.owners.push(Owner {
                subject: owner.subject.into(),
                facts: number,
                is_disabled: owner.disabled,
                identity: OnceLock::new(),
            });
        }
        Ok(table)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let number = self.entries.len() as u32;
        let mask = self.slots.len() - 1;
        let mut at = start(&entry.digest) & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == EMPTY {
                *slot = number;
                break;
            }
            let known = self.entries.get(*slot as usize);
            if known.is_some_and(|known| known.digest == entry.digest) {
                return Err("two keys have the same hash".into());
            }
            at = (at + 1) & mask;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The key with this digest, at `now` in seconds since 1970.
    ///
    /// Digests are compared whole, whichever of their bytes differ: how long it takes tells nothing of them.
    pub(super) fn find(&self, digest: &[u8; 32], now: u64) -> Found<'_> {
        let mask = self.slots.len() - 1;
        let mut at = start(digest) & mask;
        let mut found = None;
        while let Some(slot) = self.slots.get(at).filter(|slot| **slot != EMPTY) {
            let entry = self.entries.get(*slot as usize);
            found = entry
                .filter(|entry| is_same(&entry.digest, digest))
                .or(found);
            at = (at + 1) & mask;
        }
        let Some(entry) = found else {
            return Found::Unknown;
        };
        match self.owners.get(entry.owner as usize) {
            Some(owner) if owner.is_disabled => Found::Disabled,
            Some(_) if entry.expires <= now => Found::Expired,
            Some(owner) => Found::Good(owner.identity.get_or_init(|| self.identity(owner))),
            None => Found::Unknown,
        }
    }

    fn identity(&self, owner: &Owner) -> Arc<Identity> {
        let mut identity = Identity::new(SCHEME, owner.subject.as_ref().into());
        if let Some(facts) = self.facts.get(owner.facts as usize) {
            let claims = facts.claims.iter();
            let claims = claims.map(|(name, text)| (name.clone(), text.as_str().into()));
            identity = identity.with_claims(claims.collect());
            identity.roles.clone_from(&facts.roles);
            identity.scopes.clone_from(&facts.scopes);
        }
        Arc::new(identity)
    }
}

fn start(digest: &[u8; 32]) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize
}

fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let pairs = one.iter().zip(other);
    std::hint::black_box(pairs.fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

/// The bytes of `sha256:` and 64 hexadecimal digits.
fn digest_of(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.strip_prefix("sha256:")?.as_bytes().as_chunks::<2>();
    let mut digest = [0; 32];
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(digest)
}
