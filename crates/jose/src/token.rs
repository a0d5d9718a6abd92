// SPDX-License-Identifier: Apache-2.0
use crate::base64url::decoded;
use crate::json::object;
use crate::{Algorithm, Algorithms, KeySet, Refusal};
use serde_json::{Map, Value};

/// The longest token.
pub const MOST_BYTES: usize = 16 << 10;
/// The longest header of one, before decoding.
const MOST_HEADER: usize = 4 << 10;

/// A signed token in the compact form, read and **not yet verified**.
///
/// Form: `HEADER.PAYLOAD.SIGNATURE` (RFC 7515 §3.1), each base64url without padding.
#[derive(Debug)]
pub struct Token<'a> {
    algorithm: Algorithm,
    /// The key's identifier.
    id: Option<String>,
    /// What is signed: header and payload as they were sent.
    signed: &'a [u8],
    /// Where the payload begins in it.
    payload: usize,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads a token's header and cuts the rest.
    ///
    /// # Errors
    /// `Malformed` for what is longer than [`MOST_BYTES`] or has another form, encrypted tokens among it;
    /// `Critical` for `crit` and `b64`; `Algorithm` for a name that is not known, `none` among them.
    pub fn read(text: &'a [u8]) -> Result<Self, Refusal> {
        if text.len() > MOST_BYTES {
            return Err(Refusal::Malformed);
        }
        let mut parts = text.split(|&byte| byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        if header.len() > MOST_HEADER {
            return Err(Refusal::Malformed);
        }
        let members = decoded(header).as_deref().and_then(object);
        let members = members.ok_or(Refusal::Malformed)?;
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(Refusal::Critical);
        }
        let named = members.get("alg").and_then(Value::as_str);
        let algorithm = named.and_then(Algorithm::named).ok_or(Refusal::Algorithm)?;
        let id = match members.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Refusal::Malformed),
        };
        let signature = decoded(signature).filter(|bytes| !bytes.is_empty());
        Ok(Self {
            algorithm,
            id,
            signed: text
                .get(..header.len() + 1 + payload.len())
                .unwrap_or_default(),
            payload: header.len() + 1,
            signature: signature.ok_or(Refusal::Malformed)?,
        })
    }

    /// Whether its header names a key.
    pub fn names_key(&self) -> bool {
        self.id.is_some()
    }

    /// Checks the signature with the one key of the set that fits.
    ///
    /// # Errors
    /// `Algorithm` when it is not among `allowed`, `UnknownKey` when no key fits or several do,
    /// `Signature` when it is wrong.
    pub fn verify(&self, keys: &KeySet, allowed: Algorithms) -> Result<(), Refusal> {
        if !allowed.contains(self.algorithm) {
            return Err(Refusal::Algorithm);
        }
        let key = keys.find(self.id.as_deref(), self.algorithm)?;
        match key.is_signed(self.algorithm, self.signed, &self.signature) {
            true => Ok(()),
            false => Err(Refusal::Signature),
        }
    }

    /// The payload's bytes, whoever wrote them.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn payload(&self) -> Result<Vec<u8>, Refusal> {
        let text = self.signed.get(self.payload..).unwrap_or_default();
        decoded(text).ok_or(Refusal::Malformed)
    }

    /// The claims, **whoever wrote them**: before [`Token::verify`] they say who is to be asked, and
    /// nothing else.
    ///
    /// # Errors
    /// `Malformed` where they are no object, or one with a member twice.
    pub fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        object(&self.payload()?).ok_or(Refusal::Malformed)
    }
}
