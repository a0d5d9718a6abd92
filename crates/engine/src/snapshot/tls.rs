// SPDX-License-Identifier: Apache-2.0
use super::registry::Registry;
use std::sync::Arc;
use tidegate_config::{
    CertificatePart, ClientCertificateMode, ClientCertificates, ExpiredCrl, Hsts, Http3,
    ListenerTls, TlsPolicy, UnknownName,
};
use tidegate_core::{NamePattern, base64_decoded};
use tidegate_tls::{Acceptance, Asked as Wanted, Certificate, ClientCertificates as Asked};
use tidegate_tls::{Files, ForHosts, Policy, Protocols, Terms, Tickets, Validity};

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
    pub(crate) acceptance: Arc<Acceptance>,
    pub(crate) certificates: Vec<Shown>,
    /// What endpoints are told, by the place of what clients were asked.
    forward: Vec<Vec<CertificatePart>>,
    /// The value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<Arc<str>>,
    /// The value of `Alt-Svc`.
    pub(crate) alt_svc: Option<Arc<str>>,
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

/// The value of the field for a listener at `port`: RFC 7838 §3, RFC 9114 §3.1.1.
fn alt_svc(config: &Http3, port: u16) -> Option<Arc<str>> {
    let port = config.port.unwrap_or(port);
    let value = format!("h3=\":{port}\"; ma={}", config.max_age.0 / 1000);
    config.advertise.then(|| value.into())
}

/// Reads what certain clients are asked to show.
fn for_hosts(
    listener: &str,
    config: &ClientCertificates,
    has_quic: bool,
    registry: &Registry,
) -> Result<ForHosts, String> {
    let wrong = |message: String| format!("tls: {message}");
    let names = config.names.iter().map(|name| NamePattern::parse(name));
    let lists = config.crl.iter().zip(&config.crl_names);
    let asked = match config.mode {
        ClientCertificateMode::Off => None,
        mode => Some(Arc::new(
            Asked::read(&Wanted {
                is_required: mode == ClientCertificateMode::Required,
                authorities: (&config.ca, &config.ca_name),
                revoked: lists
                    .map(|(text, name)| (text.as_str(), name.as_str()))
                    .collect(),
                accepts_expired_lists: config.expired_crl == ExpiredCrl::Accept,
                names: names.collect::<Result<_, _>>().map_err(wrong)?,
                depth: config.depth.into(),
            })
            .map_err(wrong)?,
        )),
    };
    let key = asked.as_ref().map_or(&[][..], |asked| asked.key());
    Ok(ForHosts {
        tickets: registry.tickets(listener, key)?,
        quic_tickets: quic_tickets(listener, key, has_quic, registry)?,
        hosts: config.hosts.clone(),
        asked,
    })
}

/// What seals sessions inside of QUIC: none of them is taken up again outside of it.
fn quic_tickets(
    listener: &str,
    key: &[u8],
    has_quic: bool,
    registry: &Registry,
) -> Result<Option<Tickets>, String> {
    let key = [b"quic", key].concat();
    has_quic
        .then(|| registry.tickets(listener, &key))
        .transpose()
}

impl TlsPlan {
    /// What endpoints are told of the certificates of clients that wanted `name`.
    pub(crate) fn forward(&self, name: Option<&str>) -> &[CertificatePart] {
        let place = self.acceptance.place(name);
        let parts = place.and_then(|place| self.forward.get(place));
        parts.map_or(&[], |parts| parts)
    }

    /// Reads the certificates of `listener`, all of them before it tells what is wrong. `http3`: with the
    /// listener's port, where that is spoken.
    pub(crate) fn build(
        listener: &str,
        config: &ListenerTls,
        protocols: Protocols,
        http3: Option<(&Http3, u16)>,
        registry: &Registry,
    ) -> Result<Self, String> {
        let has_quic = http3.is_some();
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
                    let answer = each.ocsp.as_ref();
                    let answer = answer.and_then(|text| base64_decoded(text.as_bytes(), *b"+/"));
                    certificates.push(match answer {
                        Some(answer) => certificate.stapled(answer, each.ocsp_until),
                        None => certificate,
                    });
                }
                Err(message) => wrong.push(format!("tls: {message}")),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let clients = config.client_certificates.iter();
        let clients: Result<Vec<ForHosts>, String> = clients
            .map(|each| for_hosts(listener, each, has_quic, registry))
            .collect();
        let forward = config.client_certificates.iter();
        let forward = forward.map(|each| each.forward.clone()).collect();
        let acceptance = Acceptance::new(Terms {
            clients: clients?,
            certificates,
            awaited: config.awaited.clone(),
            policy: policy(config.policy),
            refuses_unknown: config.unknown_name == UnknownName::Refuse,
            tickets: registry.tickets(listener, &[])?,
            quic_tickets: quic_tickets(listener, &[], has_quic, registry)?,
            protocols,
            challenges: registry.challenges.tls.clone(),
        })?;
        Ok(Self {
            acceptance: Arc::new(acceptance),
            certificates: shown,
            forward,
            hsts: config.hsts.as_ref().map(hsts),
            alt_svc: http3.and_then(|(http3, port)| alt_svc(http3, port)),
        })
    }
}
