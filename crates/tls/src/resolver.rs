// SPDX-License-Identifier: Apache-2.0
use crate::Certificate;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// Which certificate a client is shown.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Places in `all` by name; those of `*.host` by host, under a dot: `.host`.
    by_name: HashMap<String, Vec<usize>>,
    all: Vec<Certificate>,
}

impl Resolver {
    pub(crate) fn new(all: Vec<Certificate>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, certificate) in all.iter().enumerate() {
            for name in certificate.names() {
                let key = name.strip_prefix('*').unwrap_or(name);
                let places = by_name.entry(key.to_owned()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Self { by_name, all }
    }

    /// Places of the certificates for a name: one for the very name goes before one for `*`, which
    /// stands for one whole label (RFC 9525 §6.3).
    fn places(&self, name: &str) -> Option<&[usize]> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wide = || self.by_name.get(name.get(name.find('.')?..)?);
        let found = self.by_name.get(&name).or_else(wide)?;
        Some(found)
    }

    /// Whether there is no certificate at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether some certificate is for `name`.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.places(name).is_some()
    }
}

impl ResolvesServerCert for Resolver {
    /// Of the certificates for the name the first whose key the client can check, so that ECDSA and
    /// RSA stand side by side; without a name, or for one that nobody knows, those like the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = self.all.first()?;
        let named = hello.server_name().and_then(|name| self.places(name));
        let like_first = first.names().first().and_then(|name| self.places(name));
        let places = named.or(like_first).unwrap_or(&[0]);
        let schemes = hello.signature_schemes();
        let mut keys = places.iter().filter_map(|place| self.all.get(*place));
        let can_check = |each: &&Certificate| each.key.key.choose_scheme(schemes).is_some();
        let fitting = keys.clone().find(can_check).or_else(|| keys.next());
        fitting.map(Certificate::shown)
    }
}
