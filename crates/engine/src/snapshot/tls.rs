// SPDX-License-Identifier: Apache-2.0
use super::registry::Registry;
use tidegate_config::{ListenerTls, TlsPolicy, UnknownName};
use tidegate_tls::{Acceptance, Certificate, Files, Policy, Terms, Validity};

/// What is told of a certificate.
pub(crate) struct Shown {
    /// What the configuration calls it.
    pub(crate) file: String,
    /// The host names it is for.
    pub(crate) names: Vec<String>,
    pub(crate) validity: Validity,
}

/// How a listener speaks TLS, ready to use.
pub(crate) struct TlsPlan {
    pub(crate) acceptance: Acceptance,
    pub(crate) certificates: Vec<Shown>,
}

impl TlsPlan {
    /// Reads the certificates of `listener`, all of them before it tells what is wrong.
    pub(crate) fn build(
        listener: &str,
        config: &ListenerTls,
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
            policy: match config.policy {
                TlsPolicy::Modern => Policy::Modern,
                TlsPolicy::Intermediate => Policy::Intermediate,
            },
            refuses_unknown: config.unknown_name == UnknownName::Refuse,
            tickets: registry.tickets(listener)?,
        })?;
        Ok(Self {
            acceptance,
            certificates: shown,
        })
    }
}
