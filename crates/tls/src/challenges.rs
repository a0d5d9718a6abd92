// SPDX-License-Identifier: Apache-2.0
use crate::certificate::{chain, key as signing};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a validation by `tls-alpn-01` wants to speak (RFC 8737 §6.2).
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificates that prove host names to a certificate authority, by name: shown to who wants that
/// protocol alone, and to nobody else. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Mutex<HashMap<String, Arc<ServerConfig>>>>);

impl Challenges {
    /// Takes these instead of those before: host name, certificate and key, both in PEM.
    ///
    /// # Errors
    /// What is wrong with one; nothing has changed then.
    pub fn set<'a>(
        &self,
        all: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<(), String> {
        let fresh = all
            .into_iter()
            .map(|(name, cert, key)| Ok((name.to_ascii_lowercase(), Arc::new(config(cert, key)?))))
            .collect::<Result<HashMap<_, _>, String>>()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What to show to a validation of `name`.
    pub(crate) fn of(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let name = name?.to_ascii_lowercase();
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&name).cloned()
    }
}

fn config(cert: &str, key: &str) -> Result<ServerConfig, String> {
    // Nothing but a validation understands it, so it is not looked at as that of a site would be.
    let own = CertifiedKey::new(chain(cert, "challenge")?, signing(key, "challenge")?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // There is one connection, and nothing of it is taken up again.
    config.send_tls13_tickets = 0;
    Ok(config)
}
