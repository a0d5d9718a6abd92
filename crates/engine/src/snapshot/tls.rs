// SPDX-License-Identifier: Apache-2.0
use super::registry::Registry;
use std::sync::Arc;
use tidegate_config::{Hsts, ListenerTls, TlsPolicy, UnknownName};
use tidegate_tls::{Acceptance, Certificate, Files, Policy, Protocols, Terms, Validity};

/// What is told of a certificate.
pub(crate) struct Shown {
    /// What the configuration calls it.
    pub(crate) file: String,
    /// The host names it is for.
    pub(crate) names: Vec<String>,
    pub(crate) validity: Validity,
}

/// Versions and ciphers.
pub(super) fn policy(config: TlsPolicy) -> Policy {
    match config {
        TlsPolicy::Modern => Policy::Modern,
        TlsPolicy::Intermediate => Policy::Intermediate,
    }
}

/// How a listener speaks TLS, ready to use.
pub(crate) struct TlsPlan {
    pub(crate) acceptance: Acceptance,
    pub(crate) certificates: Vec<Shown>,
    /// The value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<Arc<str>>,
}

/// The value of the field: RFC 6797 §6.1, `preload` as browsers' lists ask for it.
fn hsts(config: &Hsts) -> Arc<str> {
    let mut value = format!("max-age={}", config.max_age.0 / 1000);
    for (is_set, word) in [
        (config.include_subdomains, "; includeSubDomains"),
        (config.preload, "; preload"),
    ] {
        if is_set {
            value.push_str(word);
        }
    }
    value.into()
}

impl TlsPlan {
    /// Reads the certificates of `listener`, all of them before it tells what is wrong.
    pub(crate) fn build(
        listener: &str,
        config: &ListenerTls,
        protocols: Protocols,
        registry: &Registry,
    ) -> Result<Self, String> {
        let (mut certificates, mut shown, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for each in &config.certificates {
            let files = Files {
                cert: &each.cert,
                cert_name: &each.cert_name,
                key: each.key.reveal(),
                key_name: &each.key_name,
            };
            match Certificate::read(files) {
                Ok(certificate) => {
                    shown.push(Shown {
                        file: each.cert_name.clone(),
                        names: certificate.names().to_vec(),
                        validity: certificate.validity(),
                    });
                    certificates.push(certificate);
                }
                Err(message) => wrong.push(format!("tls: {message}")),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let acceptance = Acceptance::new(Terms {
            certificates,
            awaited: config.awaited.clone(),
            policy: policy(config.policy),
            refuses_unknown: config.unknown_name == UnknownName::Refuse,
            tickets: registry.tickets(listener)?,
            protocols,
            challenges: registry.challenges.tls.clone(),
        })?;
        Ok(Self {
            acceptance,
            certificates: shown,
            hsts: config.hsts.as_ref().map(hsts),
        })
    }
}
