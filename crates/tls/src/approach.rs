// SPDX-License-Identifier: Apache-2.0
use crate::remembered::Remembered;
use crate::verifier::{Accepted, Blind, Verifier};
use crate::{Authorities, Certificate, Fault, Policy, Reason};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection};
use std::sync::Arc;

/// What is offered to endpoints inside of TLS, by the names of ALPN (RFC 7301), the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What is spoken inside of TLS with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// HTTP/1.1, and the endpoint is asked for it by ALPN.
    Http,
    /// HTTP/2 or HTTP/1.1, as the endpoint chooses by ALPN.
    AnyHttp,
    /// Something that we do not know and have no name for: no protocol is asked for.
    Unknown,
}

/// How endpoints of a backend are to be approached.
#[derive(Debug)]
pub struct ApproachTerms {
    /// Whose word is taken for who they are; `None` believes everybody, who can then read and change
    /// everything.
    pub authorities: Option<Authorities>,
    /// Hosts, addresses and URIs of which their certificate must have one; without any it must have the
    /// name that is asked for.
    pub names: Vec<String>,
    /// Shown to those that ask for one.
    pub certificate: Option<Certificate>,
    /// Versions and ciphers.
    pub policy: Policy,
}

/// How endpoints of a backend are approached, and the sessions that there were with them: they are
/// taken up again under the very same terms only.
#[derive(Debug)]
pub struct Approach {
    http: Arc<ClientConfig>,
    any_http: Arc<ClientConfig>,
    unknown: Arc<ClientConfig>,
}

impl Approach {
    /// Makes ready what endpoints are told.
    ///
    /// # Errors
    /// What is wrong with the terms.
    pub fn new(terms: ApproachTerms) -> Result<Self, String> {
        let provider = Arc::new(default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let names: Result<Vec<_>, _> = terms
            .names
            .iter()
            .map(|each| Accepted::read(each))
            .collect();
        let names = names?;
        let verifier: Arc<dyn ServerCertVerifier> = match terms.authorities {
            Some(authorities) => Arc::new(Verifier {
                authorities,
                names,
                algorithms,
            }),
            None => Arc::new(Blind(algorithms)),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(terms.policy.versions())
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match terms.certificate {
            Some(own) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key)))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(Remembered::default()));
        let asking = |protocols: &[&[u8]]| {
            let mut asking = config.clone();
            asking.alpn_protocols = protocols.iter().map(|each| each.to_vec()).collect();
            // A session belongs to its protocol (RFC 8446 §4.6.1).
            asking.resumption = Resumption::store(Arc::new(Remembered::default()));
            Arc::new(asking)
        };
        let [_, http] = PROTOCOLS;
        Ok(Self {
            http: asking(&[http]),
            any_http: asking(&PROTOCOLS),
            unknown: Arc::new(config),
        })
    }

    /// A connection to the endpoint that is asked for by `name`: a host's name, which it is told (SNI),
    /// or an address, which it is not (RFC 6066 §3).
    pub(crate) fn connection(&self, name: &str, inside: Inside) -> Result<ClientConnection, Fault> {
        let no_name = || {
            let detail = format!(
                "`{name}` is no name to ask for; write one as `tls: {{ server_name: ... }}`"
            );
            Fault::new(Reason::NoName, detail)
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|_| no_name())?;
        let config = match inside {
            Inside::Http => &self.http,
            Inside::AnyHttp => &self.any_http,
            Inside::Unknown => &self.unknown,
        };
        ClientConnection::new(config.clone(), name).map_err(|error| Fault::of(&error))
    }
}
