// SPDX-License-Identifier: Apache-2.0
use super::config::JwtIssuer;
use std::sync::Arc;
use tidegate_contract::{Document, Source};
use tidegate_jose::{Algorithm, Algorithms, Claims, Expected, KeySet, Refusal, Token};

/// Where an issuer's keys are.
enum Keys {
    /// In the configuration.
    Own(Arc<KeySet>),
    /// Where it publishes them.
    Published(Arc<Document>),
}

/// Whose tokens are taken.
pub(super) struct Issuer {
    /// What `iss` must be.
    pub(super) name: Option<String>,
    keys: Keys,
    allowed: Algorithms,
    audiences: Vec<String>,
}

/// Why a token is not taken, if not for good.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not.
    Refused(Refusal),
    /// Not with these keys; newer ones may be there.
    Outdated(Refusal, Arc<Document>),
    /// There are no keys.
    Keyless(Arc<Document>),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Issuer {
    pub(super) fn new(settings: JwtIssuer) -> Result<Self, String> {
        let keys = match (settings.jwks_url, settings.jwks, settings.secret) {
            (Some(url), None, None) => {
                let source = Source {
                    kind: "keys",
                    url,
                    ca: settings.ca,
                    refresh_ms: settings.refresh.0,
                    stale_ms: settings.stale.0,
                };
                Keys::Published(Arc::new(Document::new(source, |bytes| {
                    KeySet::public(bytes).map(|keys| Arc::new(keys) as _)
                })))
            }
            (None, Some(text), None) => {
                let keys = KeySet::private(text.reveal().as_bytes());
                Keys::Own(Arc::new(keys.map_err(|why| format!("`jwks`: {why}"))?))
            }
            (None, None, Some(text)) => {
                let keys = KeySet::secret(text.reveal().as_bytes());
                Keys::Own(Arc::new(keys.map_err(|why| format!("`secret`: {why}"))?))
            }
            _ => return Err("an issuer has one of `jwks_url`, `jwks` and `secret`".into()),
        };
        let named = |name: &String| {
            Algorithm::named(name).ok_or_else(|| format!("there is no algorithm `{name}`"))
        };
        let allowed = match settings.algorithms.is_empty() {
            true => Algorithms::all(),
            false => settings
                .algorithms
                .iter()
                .map(named)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            name: settings.issuer,
            keys,
            allowed,
            audiences: settings.audiences,
        })
    }

    /// Puts the node's own document in the place of the one that was made with the settings.
    pub(super) fn share(&mut self, known: &dyn Fn(Arc<Document>) -> Arc<Document>) {
        if let Keys::Published(document) = &mut self.keys {
            *document = known(document.clone());
        }
    }

    /// Whether its keys come from elsewhere.
    pub(super) fn asks(&self) -> bool {
        matches!(self.keys, Keys::Published(_))
    }

    /// Changes when its keys do.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        match &self.keys {
            Keys::Own(_) => 0,
            Keys::Published(document) => document.version(),
        }
    }

    /// Judges a token of this issuer; returns until when it is good, in seconds from 1970.
    ///
    /// The claims come first: they cost nothing, and a token that has expired causes no fetch.
    pub(super) fn verify(
        &self,
        token: &Token<'_>,
        claims: Claims<'_>,
        now: u64,
        skew: u64,
    ) -> Result<u64, Fault> {
        let until = claims.check(&Expected {
            now,
            skew,
            issuer: self.name.as_deref(),
            audiences: &self.audiences,
        })?;
        let document = match &self.keys {
            Keys::Own(keys) => {
                token.verify(keys, self.allowed)?;
                return Ok(until);
            }
            Keys::Published(document) => document,
        };
        let keys = document
            .current()
            .and_then(|own| own.downcast::<KeySet>().ok());
        let Some(keys) = keys else {
            return Err(Fault::Keyless(document.clone()));
        };
        match token.verify(&keys, self.allowed) {
            Ok(()) => Ok(until),
            Err(why @ Refusal::UnknownKey) => Err(Fault::Outdated(why, document.clone())),
            // An issuer with one key that has no name changes it without a sign.
            Err(why @ Refusal::Signature) if !token.names_key() => {
                Err(Fault::Outdated(why, document.clone()))
            }
            Err(why) => Err(why.into()),
        }
    }
}
