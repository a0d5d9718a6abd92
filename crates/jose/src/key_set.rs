// SPDX-License-Identifier: Apache-2.0
use crate::json::object;
use crate::key::Key;
use crate::{Algorithm, Refusal};
use serde_json::Value;
use std::fmt;

/// Keys that a set may have.
pub const MOST_KEYS: usize = 200;

/// The keys of one issuer.
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a set of public keys: `{"keys": [KEY, ...]}` (RFC 7517 §5), or one key alone.
    ///
    /// Keys that are not for verifying signatures, of a kind that is not known, or broken, are passed
    /// over, as §5 demands; so are secrets (`oct`), which nobody publishes.
    ///
    /// # Errors
    /// It is no such object, a member is there twice, there are more than [`MOST_KEYS`], or no key is left.
    pub fn public(text: &[u8]) -> Result<Self, String> {
        Self::read(text, false)
    }

    /// As [`KeySet::public`], of a text that only this side knows: a set of secrets is one as well.
    ///
    /// # Errors
    /// Likewise, when one of its keys is broken, and when secrets and public keys are in one set: nobody
    /// may be in doubt which of the two a token's key is.
    pub fn private(text: &[u8]) -> Result<Self, String> {
        Self::read(text, true)
    }

    /// One secret of HMAC, of 32 bytes and more; of 48 for HS384, 64 for HS512 (RFC 7518 §3.2).
    ///
    /// # Errors
    /// It is too short.
    pub fn secret(bytes: &[u8]) -> Result<Self, String> {
        let key = Key::secret(bytes)?;
        Ok(Self { keys: vec![key] })
    }

    fn read(text: &[u8], takes_secrets: bool) -> Result<Self, String> {
        let whole = object(text).ok_or("it is no JSON object, or has a member twice")?;
        let listed = match whole.get("keys") {
            Some(Value::Array(listed)) => listed.as_slice(),
            Some(_) => return Err("its `keys` are no list".into()),
            None => &[Value::Object(whole)],
        };
        if listed.len() > MOST_KEYS {
            return Err(format!("it has more than {MOST_KEYS} keys"));
        }
        let mut keys = Vec::new();
        let mut wrong = None;
        for (index, jwk) in listed.iter().enumerate() {
            let read = jwk.as_object().ok_or("it is no object").and_then(Key::read);
            match read {
                Ok(Some(key)) if takes_secrets || !key.is_secret() => keys.push(key),
                Ok(_) => {}
                Err(why) => wrong = wrong.or(Some(format!("key {index}: {why}"))),
            }
        }
        // Whoever wrote it himself wants to know.
        if let Some(wrong) = wrong.take_if(|_| takes_secrets) {
            return Err(wrong);
        }
        let secrets = keys.iter().filter(|key| key.is_secret()).count();
        if secrets > 0 && secrets < keys.len() {
            return Err("secrets and public keys are in one set".into());
        }
        match keys.is_empty() {
            true => Err(wrong.unwrap_or_else(|| "it has no key that verifies signatures".into())),
            false => Ok(Self { keys }),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set has a key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether these are secrets of HMAC.
    pub fn is_secret(&self) -> bool {
        self.keys.iter().any(Key::is_secret)
    }

    /// The one key that a token of this algorithm can have been signed with. Without an identifier it
    /// is the only one that fits; with one, a key without is none.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Refusal> {
        let is_single = self.keys.len() == 1;
        let fits = |key: &&Key| {
            key.fits(algorithm)
                && match (id, key.id.as_deref()) {
                    (Some(id), Some(own)) => id == own,
                    // A secret that stands in the configuration has no identifier, and issuers give one.
                    (Some(_), None) => is_single,
                    (None, _) => true,
                }
        };
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(Refusal::UnknownKey),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeySet({} keys)", self.keys.len())
    }
}
