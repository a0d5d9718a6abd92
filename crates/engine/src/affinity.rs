// SPDX-License-Identifier: Apache-2.0
//! Sessions that stay at one endpoint: by a cookie, or by what their requests have in common.
//!
//! A cookie holds 8 random bytes of the session and a mac of its endpoint, in base64url. The mac is
//! computed for each endpoint when a list comes in, so that a request costs a look-up; it reveals
//! no address, and nobody without the key can make one. The random bytes decide where the session
//! goes when its endpoint is gone: requests that arrive at once go to the same new one, at every
//! gateway.
use crate::decide::{NoEndpoint, Usable};
use crate::snapshot::{BackendPlan, EndpointList, Registry};
use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_config::{Affinity, AffinityKind, CookieSecure, SameSite};
use tidegate_contract::Health;
use tidegate_core::{Draw, Moment, StableHash};
use tidegate_request::{FieldId, Request};

/// Names an endpoint to those who have the key: the first half of a HMAC-SHA-256 (RFC 2104 §5).
pub(crate) type Seal = [u8; 16];

/// What a request says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// A cookie of ours or of a stranger: only the seal can tell.
    Cookie { nonce: u64, seal: Seal },
    /// The hash of what its requests have in common.
    Hash(u64),
}

/// A backend's `affinity`, ready to use.
pub(crate) struct AffinityPlan {
    config: Affinity,
    /// Whether the key is the instance's own.
    pub(crate) is_own_key: bool,
    keys: Vec<Hmac<Sha256>>,
    /// What follows the value of a cookie, up to `Secure`.
    attributes: String,
    seals: ArcSwap<Seals>,
}

/// The seals of one endpoint list.
#[derive(Default)]
struct Seals {
    version: u64,
    /// By the first key, in the order of the list.
    own: Vec<Seal>,
    /// By every key.
    indexes: HashMap<Seal, u16>,
}

impl AffinityPlan {
    /// # Errors
    /// A key that cannot be used.
    pub(crate) fn build(config: &Affinity, registry: &Registry) -> Result<Self, String> {
        let is_own_key = config.keys.is_empty() && config.by == AffinityKind::Cookie;
        let own = match is_own_key {
            true => registry.affinity_key(),
            false => [].into(),
        };
        let mut keys: Vec<&[u8]> = config
            .keys
            .iter()
            .map(|key| key.reveal().as_bytes())
            .collect();
        if is_own_key {
            keys.push(&own);
        }
        let keys = keys.into_iter().map(Hmac::new_from_slice);
        let keys: Result<_, _> = keys.collect();
        Ok(Self {
            keys: keys.map_err(|error| format!("affinity: {error}"))?,
            is_own_key,
            attributes: attributes(config),
            seals: ArcSwap::default(),
            config: config.clone(),
        })
    }

    /// What makes requests one session.
    pub(crate) fn by(&self) -> AffinityKind {
        self.config.by
    }

    fn name(&self) -> &[u8] {
        self.config.name.as_deref().unwrap_or_default().as_bytes()
    }

    /// What the request says of its session; `None` when it says nothing.
    pub(crate) fn session(&self, request: &Request, client: IpAddr) -> Option<Session> {
        let mut hash = StableHash::new();
        match self.config.by {
            AffinityKind::Cookie => {
                let name = self.name();
                let mut named = request.cookies().filter(|(found, _)| *found == name);
                named.find_map(|(_, value)| opened(value))
            }
            AffinityKind::Header | AffinityKind::Credential => {
                let mut is_there = false;
                for value in request.fields().get_all_name(self.name()) {
                    is_there = true;
                    hash.write(&(value.len() as u64).to_le_bytes());
                    hash.write(value);
                }
                is_there.then(|| Session::Hash(hash.finish()))
            }
            AffinityKind::Claim => {
                let name = self.config.name.as_deref().unwrap_or_default();
                hash.write(request.bearer_claim(name)?.as_bytes());
                Some(Session::Hash(hash.finish()))
            }
            AffinityKind::Address => Some(Session::of_address(client)),
        }
    }

    /// What a connection without requests says of its session: its address, or nothing.
    pub(crate) fn of_connection(&self, client: IpAddr) -> Option<Session> {
        (self.config.by == AffinityKind::Address).then(|| Session::of_address(client))
    }

    fn seal(key: &Hmac<Sha256>, backend: &str, address: &str) -> Seal {
        let mut mac = key.clone();
        for part in ["tidegate affinity 1\0", backend, "\0", address] {
            mac.update(part.as_bytes());
        }
        let whole = mac.finalize().into_bytes();
        let mut seal = Seal::default();
        for (to, from) in seal.iter_mut().zip(whole) {
            *to = from;
        }
        seal
    }

    fn seals(&self, backend: &str, list: &EndpointList) -> Arc<Seals> {
        let known = self.seals.load();
        let version = list.version.load(Ordering::Acquire);
        if known.version == version && known.own.len() == list.endpoints.len() {
            return known.clone();
        }
        let mut fresh = Seals {
            version,
            ..Seals::default()
        };
        for (index, endpoint) in (0u16..).zip(&list.endpoints) {
            for (number, key) in self.keys.iter().enumerate() {
                let seal = Self::seal(key, backend, &endpoint.address);
                fresh.indexes.insert(seal, index);
                if number == 0 {
                    fresh.own.push(seal);
                }
            }
        }
        let fresh = Arc::new(fresh);
        self.seals.store(fresh.clone());
        fresh
    }

    /// The `Set-Cookie` that binds a session to the endpoint it was sent to; `None` where it is
    /// bound there already by the first key, or no cookie is used.
    pub(crate) fn binding(
        &self,
        plan: &BackendPlan,
        list: &EndpointList,
        index: usize,
        session: Option<Session>,
        request: &Request,
        draw: &mut Draw,
    ) -> Option<String> {
        if self.config.by != AffinityKind::Cookie {
            return None;
        }
        let seals = self.seals(&plan.name, list);
        let own = seals.own.get(index)?;
        let nonce = match session {
            Some(Session::Cookie { seal, .. }) if seal == *own => return None,
            Some(Session::Cookie { nonce, .. }) => nonce,
            _ => draw.bits(),
        };
        let is_secure = match self.config.secure {
            CookieSecure::Always => true,
            CookieSecure::Never => false,
            CookieSecure::Auto => is_over_tls(request),
        };
        let mut bytes = nonce.to_be_bytes().to_vec();
        bytes.extend_from_slice(own);
        let name = self.config.name.as_deref().unwrap_or_default();
        let mut cookie = format!("{name}={}{}", written(&bytes), self.attributes);
        if is_secure {
            cookie.push_str("; Secure");
        }
        Some(cookie)
    }

    /// The endpoint that a cookie names, well or not.
    pub(crate) fn named(
        &self,
        backend: &str,
        list: &EndpointList,
        session: Session,
    ) -> Option<u16> {
        match session {
            Session::Cookie { seal, .. } => self.seals(backend, list).indexes.get(&seal).copied(),
            Session::Hash(_) => None,
        }
    }
}

/// What follows the value: RFC 6265 §4.1. An unknown attribute is left out by clients.
fn attributes(config: &Affinity) -> String {
    let mut text = format!("; Path={}", config.path);
    if let Some(age) = config.max_age {
        text.push_str(&format!("; Max-Age={}", age.0 / 1000));
    }
    text.push_str(match config.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    });
    if config.http_only {
        text.push_str("; HttpOnly");
    }
    text
}

/// Whether the client spoke TLS to us or to a proxy that is trusted: a stranger's word is removed
/// before.
fn is_over_tls(request: &Request) -> bool {
    request.scheme() == "https"
        || request.fields().get(FieldId::XForwardedProto) == Some(b"https".as_slice())
}

/// The endpoint where the session is, if it can go there: one that takes no new requests is left
/// only when it is sick, gone, tried or in a drained zone.
///
/// # Errors
/// [`NoEndpoint::NoRoom`] when it has no room: the session waits, its data are there.
pub(crate) fn stay(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    tried: &[u16],
    session: Session,
) -> Result<Option<u16>, NoEndpoint> {
    let named = plan
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.named(&plan.name, list, session));
    let Some(index) = named.filter(|index| !tried.contains(index)) else {
        return Ok(None);
    };
    let Some(endpoint) = list.endpoints.get(usize::from(index)) else {
        return Ok(None);
    };
    let state = &endpoint.state;
    let is_sick = state.health() == Health::Down || state.is_excluded(now);
    if is_sick || (list.is_drained(index) && !list.is_all_drained()) {
        return Ok(None);
    }
    match state.in_flight.load(Ordering::Relaxed) < plan.endpoint_limit {
        true => Ok(Some(index)),
        false => Err(NoEndpoint::NoRoom),
    }
}

impl Session {
    fn of_address(client: IpAddr) -> Self {
        let mut hash = StableHash::new();
        match client.to_canonical() {
            IpAddr::V4(address) => hash.write(&address.octets()),
            IpAddr::V6(address) => hash.write(&address.octets()),
        }
        Self::Hash(hash.finish())
    }

    /// What decides where the session goes when it is nowhere yet.
    pub(crate) fn key(self) -> u64 {
        match self {
            Self::Cookie { nonce, .. } => StableHash::mix(nonce),
            Self::Hash(hash) => hash,
        }
    }

    /// The one of `usable` where the session goes: the highest of all scores by weight, so that it
    /// stays there whoever else comes or goes. Rendezvous hashing (Thaler and Ravishankar, Using
    /// Name-Based Mappings to Increase Hit Rates, 1998), weighted by a logarithm.
    pub(crate) fn choose(self, list: &EndpointList, usable: &Usable) -> Option<u16> {
        let key = self.key();
        let score = |index: &u16| {
            let endpoint = list.endpoints.get(usize::from(*index))?;
            let hash = StableHash::mix(StableHash::of(endpoint.address.as_bytes()) ^ key);
            // 53 bits: a fraction above 0 and below 1.
            let fraction = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            Some((
                -(endpoint.effective_weight() as f64) / fraction.ln(),
                *index,
            ))
        };
        let best = usable.iter().filter_map(score);
        best.max_by(|a, b| a.0.total_cmp(&b.0)).map(|best| best.1)
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648 §5) of bytes in groups of three.
fn written(bytes: &[u8]) -> String {
    let digits = bytes.chunks_exact(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| DIGITS.get(bits >> shift & 63).copied().unwrap_or(b'A'))
    });
    digits.map(char::from).collect()
}

/// What a cookie's value says; `None` for one that we cannot have written.
fn opened(value: &[u8]) -> Option<Session> {
    if value.len() != 32 {
        return None;
    }
    let mut bytes = [0; 24];
    for (four, three) in value.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let mut bits = 0;
        for digit in four {
            bits = bits << 6 | DIGITS.iter().position(|known| known == digit)?;
        }
        for (shift, byte) in [16, 8, 0].into_iter().zip(three) {
            *byte = (bits >> shift & 255) as u8;
        }
    }
    let (nonce, seal) = bytes.split_first_chunk::<8>()?;
    Some(Session::Cookie {
        nonce: u64::from_be_bytes(*nonce),
        seal: seal.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests;
