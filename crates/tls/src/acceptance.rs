// SPDX-License-Identifier: Apache-2.0
use crate::quic::HTTP3;
use crate::resolver::Resolver;
use crate::{Certificate, Challenges, ClientCertificates, Tickets};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use std::sync::Arc;

/// HTTP/2 by the name of ALPN (RFC 7301, RFC 9113 §3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// What is spoken inside of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 with whoever offers it, else HTTP/1.
    Http2,
    /// HTTP/1 alone.
    Http1,
    /// One of these, by the names of ALPN, the best first; without any whatever the client would speak.
    Other(Vec<Vec<u8>>),
}

impl Protocols {
    /// By the names of ALPN, the best first; none where all will do.
    fn names(&self) -> Vec<Vec<u8>> {
        let http: &[&[u8]] = match self {
            Self::Http2 => &[HTTP2, b"http/1.1", b"http/1.0"],
            Self::Http1 => &[b"http/1.1", b"http/1.0"],
            Self::Other(names) => return names.clone(),
        };
        http.iter().map(|each| each.to_vec()).collect()
    }
}

/// Versions and ciphers, by the names that Mozilla gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 as well, with forward secrecy and authenticated encryption only.
    Intermediate,
}

impl Policy {
    pub(crate) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        const MODERN: &[&SupportedProtocolVersion] = &[&version::TLS13];
        const INTERMEDIATE: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        match self {
            Self::Modern => MODERN,
            Self::Intermediate => INTERMEDIATE,
        }
    }
}

/// What a listener offers.
#[derive(Debug)]
pub struct Terms {
    /// The first is for whoever asks for no name.
    pub certificates: Vec<Certificate>,
    /// Names that have no certificate yet and will: who asks for one is refused until then.
    pub awaited: Vec<String>,
    /// Versions and ciphers.
    pub policy: Policy,
    /// Whether a name that no certificate is for is refused; else it gets the first.
    pub refuses_unknown: bool,
    /// Seals sessions of those who are asked for no certificate.
    pub tickets: Tickets,
    /// The same inside of QUIC, where that is spoken as well.
    pub quic_tickets: Option<Tickets>,
    /// What is spoken inside of it.
    pub protocols: Protocols,
    /// What proves names to an authority.
    pub challenges: Challenges,
    /// Who is asked for a certificate. Of these the one for the very name counts before one for `*.`, and
    /// that before one without hosts.
    pub clients: Vec<ForHosts>,
}

/// What clients are asked to show that want certain hosts.
#[derive(Debug)]
pub struct ForHosts {
    /// In lower case, `*.` in front of those that stand for a label; none for all others.
    pub hosts: Vec<String>,
    /// `None` for nothing.
    pub asked: Option<Arc<ClientCertificates>>,
    /// Seals their sessions, and those of nobody who is asked for something else.
    pub tickets: Tickets,
    /// The same inside of QUIC, where that is spoken as well.
    pub quic_tickets: Option<Tickets>,
}

/// One of these, ready to use.
#[derive(Debug)]
struct Rule {
    hosts: Vec<String>,
    asked: Option<Arc<ClientCertificates>>,
    config: Arc<ServerConfig>,
    quic: Option<Arc<ServerConfig>>,
}

/// What a listener does with a ClientHello.
#[derive(Debug)]
pub struct Acceptance {
    config: Arc<ServerConfig>,
    pub(crate) quic: Option<Arc<ServerConfig>>,
    pub(crate) challenges: Challenges,
    clients: Vec<Rule>,
    resolver: Arc<Resolver>,
    awaited: Vec<String>,
    refuses_unknown: bool,
}

/// What is agreed on: the first that a client has. 128 bits are enough for anybody and take the least
/// work; ChaCha20 is for those who have nothing else.
static SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

impl Acceptance {
    /// Makes ready what a listener offers.
    ///
    /// # Errors
    /// When the cryptography does not have what the policy wants.
    pub fn new(terms: Terms) -> Result<Self, String> {
        let resolver = Arc::new(Resolver::new(terms.certificates));
        let provider = Arc::new(CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            ..default_provider()
        });
        let build = |asked: Option<&Arc<ClientCertificates>>, tickets: Tickets, is_quic: bool| {
            // RFC 9001 §4.2: there is no TLS 1.2 in QUIC.
            let policy = if is_quic {
                Policy::Modern
            } else {
                terms.policy
            };
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(policy.versions())
                .map_err(|error| error.to_string())?;
            let builder = match asked {
                Some(asked) => builder.with_client_cert_verifier(asked.clone()),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(resolver.clone());
            config.ignore_client_order = true;
            config.alpn_protocols = match is_quic {
                true => vec![HTTP3.to_vec()],
                false => terms.protocols.names(),
            };
            config.ticketer = tickets.ticketer();
            // A ticket is kept by the client: nothing of a session is kept here.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Ok::<_, String>(Arc::new(config))
        };
        let mut clients = Vec::with_capacity(terms.clients.len());
        for ForHosts {
            hosts,
            asked,
            tickets,
            quic_tickets,
        } in terms.clients
        {
            let config = build(asked.as_ref(), tickets, false)?;
            let quic = quic_tickets.map(|tickets| build(asked.as_ref(), tickets, true));
            clients.push(Rule {
                quic: quic.transpose()?,
                hosts,
                asked,
                config,
            });
        }
        Ok(Self {
            config: build(None, terms.tickets, false)?,
            quic: terms
                .quic_tickets
                .map(|tickets| build(None, tickets, true))
                .transpose()?,
            challenges: terms.challenges,
            clients,
            resolver,
            awaited: terms.awaited,
            refuses_unknown: terms.refuses_unknown,
        })
    }

    /// Whether what a client that asks for `name` would be shown is not there yet.
    pub(crate) fn awaits(&self, name: Option<&str>) -> bool {
        let is_awaited = |name: &str| {
            self.awaited
                .iter()
                .any(|each| each.eq_ignore_ascii_case(name))
        };
        self.resolver.is_empty()
            || name.is_some_and(|name| is_awaited(name) && !self.resolver.knows(name))
    }

    /// The place of what goes for `name` among those the listener was given; without a name, and for
    /// others, that of the one without hosts.
    pub fn place(&self, name: Option<&str>) -> Option<usize> {
        if self.clients.is_empty() {
            return None;
        }
        let at = |want: &str| {
            let mut rules = self.clients.iter();
            rules.position(|rule| rule.hosts.iter().any(|host| host == want))
        };
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        let named = name.and_then(|name| {
            let wide = || at(&format!("*{}", name.get(name.find('.')?..)?));
            at(&name).or_else(wide)
        });
        named.or_else(|| self.clients.iter().position(|rule| rule.hosts.is_empty()))
    }

    /// What a client is asked to show that wants `name`.
    pub fn asked(&self, name: Option<&str>) -> Option<&Arc<ClientCertificates>> {
        self.clients.get(self.place(name)?)?.asked.as_ref()
    }

    /// Whether anybody is asked for something.
    pub fn asks_any(&self) -> bool {
        self.clients.iter().any(|rule| rule.asked.is_some())
    }

    /// Whether a name that no certificate is for is refused.
    pub fn refuses_unknown(&self) -> bool {
        self.refuses_unknown
    }

    /// Whether some certificate is for `name`.
    pub fn covers(&self, name: &str) -> bool {
        self.resolver.knows(name)
    }

    /// How a client is spoken with that wants `name`; inside of QUIC only where that is spoken.
    pub(crate) fn config(&self, name: Option<&str>, is_quic: bool) -> Option<&Arc<ServerConfig>> {
        let rule = self.place(name).and_then(|place| self.clients.get(place));
        match is_quic {
            true => rule.map_or(self.quic.as_ref(), |rule| rule.quic.as_ref()),
            false => Some(rule.map_or(&self.config, |rule| &rule.config)),
        }
    }

    /// Whether a client that asks for `name` is served.
    pub fn serves(&self, name: Option<&str>) -> bool {
        // A probe without a name is none for a wrong one.
        !self.refuses_unknown || name.is_none_or(|name| self.resolver.knows(name))
    }
}
