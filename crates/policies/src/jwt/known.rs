// SPDX-License-Identifier: Apache-2.0
//! Tokens that were verified on this thread: whoever calls comes again with the same one.
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_contract::Identity;

/// Tokens in one of the two halves.
const MOST: usize = 2000;
/// Their bytes. What is kept of their claims is some times as much.
const MOST_BYTES: usize = 1 << 20;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// What is known of a token.
#[derive(Clone)]
pub(super) struct Proof {
    pub(super) identity: Arc<Identity>,
    /// In seconds from 1970.
    pub(super) until: u64,
    /// Whose it is, by place among the policy's issuers.
    pub(super) issuer: usize,
    /// Which keys verified it.
    pub(super) version: u64,
}

type Half = HashMap<Box<[u8]>, Proof, foldhash::fast::RandomState>;

/// Two halves: when the younger one is full, the elder is forgotten and they change places. What is used
/// moves to the younger. Only what was verified comes in, so strangers push nothing out.
#[derive(Default)]
struct Known {
    young: Half,
    old: Half,
    /// Of keys in the younger one.
    bytes: usize,
    /// Room for a key: the policy's number and the token.
    key: Vec<u8>,
}

impl Known {
    fn set_key(&mut self, policy: u64, token: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(&policy.to_ne_bytes());
        self.key.extend_from_slice(token);
    }

    fn insert(&mut self, proof: Proof) {
        if self.young.len() >= MOST || self.bytes + self.key.len() > MOST_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self
            .young
            .insert(self.key.as_slice().into(), proof)
            .is_none()
        {
            self.bytes += self.key.len();
        }
    }
}

/// What is known of a token to a policy, if `is_good` still.
pub(super) fn find(
    policy: u64,
    token: &[u8],
    is_good: impl Fn(&Proof) -> bool,
) -> Option<Arc<Identity>> {
    KNOWN.with_borrow_mut(|known| {
        known.set_key(policy, token);
        if let Some(proof) = known.young.get(known.key.as_slice()) {
            return is_good(proof).then(|| proof.identity.clone());
        }
        let proof = known.old.remove(known.key.as_slice())?;
        let identity = is_good(&proof).then(|| proof.identity.clone())?;
        known.insert(proof);
        Some(identity)
    })
}

/// Remembers a token that was verified for a policy.
pub(super) fn keep(policy: u64, token: &[u8], proof: Proof) {
    KNOWN.with_borrow_mut(|known| {
        known.set_key(policy, token);
        known.insert(proof);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(until: u64) -> Proof {
        Proof {
            identity: Arc::new(Identity::new("jwt", until.to_string())),
            until,
            issuer: 0,
            version: 0,
        }
    }

    fn subject(policy: u64, token: &[u8]) -> Option<String> {
        find(policy, token, |proof| proof.until > 5).map(|identity| identity.subject.clone())
    }

    #[test]
    fn a_token_is_known_to_the_policy_that_verified_it_while_it_is_good() {
        keep(1, b"a", proof(9));
        keep(1, b"b", proof(5));
        assert_eq!(subject(1, b"a").as_deref(), Some("9"));
        assert_eq!(subject(2, b"a"), None);
        assert_eq!(subject(1, b"b"), None);
        keep(1, b"b", proof(7));
        assert_eq!(subject(1, b"b").as_deref(), Some("7"));
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        keep(1, b"used", proof(9));
        for number in 0..3 * MOST {
            keep(1, number.to_string().as_bytes(), proof(9));
            if number % 100 == 0 {
                assert!(subject(1, b"used").is_some(), "{number}");
            }
        }
        assert!(subject(1, b"0").is_none());
        let long = vec![b'x'; MOST_BYTES / 4];
        for number in 0..20u8 {
            keep(1, &[&long, [number].as_slice()].concat(), proof(9));
        }
        KNOWN.with_borrow(|known| {
            assert!(known.young.len() + known.old.len() <= 2 * MOST);
            let bytes = |half: &Half| half.keys().map(|key| key.len()).sum::<usize>();
            assert_eq!(bytes(&known.young), known.bytes);
            assert!(bytes(&known.young) <= MOST_BYTES && bytes(&known.old) <= MOST_BYTES);
        });
    }
}
