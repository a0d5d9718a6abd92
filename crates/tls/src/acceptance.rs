// SPDX-License-Identifier: Apache-2.0
use crate::resolver::Resolver;
use crate::{Certificate, Challenges};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use std::fmt;
use std::sync::Arc;

/// HTTP/2 by the name of ALPN (RFC 7301, RFC 9113 §3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// What is spoken inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 with whoever offers it, else HTTP/1.
    Http2,
    /// HTTP/1 alone.
    Http1,
    /// Whatever the client would speak.
    Any,
}

impl Protocols {
    /// By the names of ALPN, the best first; none where all will do.
    fn names(self) -> &'static [&'static [u8]] {
        const ALL: &[&[u8]] = &[HTTP2, b"http/1.1", b"http/1.0"];
        match self {
            Self::Http2 => ALL,
            Self::Http1 => &[b"http/1.1", b"http/1.0"],
            Self::Any => &[],
        }
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

/// The keys that session tickets are sealed with: made here, shared by all threads, exchanged every
/// six hours, and forgotten after twelve. Each listener has its own, so that a session that was
/// begun under the terms of one is not taken up under those of another (CVE-2025-23419).
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// Fresh keys.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, String> {
        let made = Ticketer::new().map_err(|error| error.to_string())?;
        Ok(Self(made))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tickets")
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
    /// Seals sessions.
    pub tickets: Tickets,
    /// What is spoken inside of it.
    pub protocols: Protocols,
    /// What proves names to an authority.
    pub challenges: Challenges,
}

/// What a listener does with a ClientHello.
#[derive(Debug)]
pub struct Acceptance {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) challenges: Challenges,
    resolver: Arc<Resolver>,
    awaited: Vec<String>,
    refuses_unknown: bool,
}

impl Acceptance {
    /// Makes ready what a listener offers.
    ///
    /// # Errors
    /// When the cryptography does not have what the policy wants.
    pub fn new(terms: Terms) -> Result<Self, String> {
        let resolver = Arc::new(Resolver::new(terms.certificates));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(terms.policy.versions())
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        let spoken = terms.protocols.names().iter();
        config.alpn_protocols = spoken.map(|each| each.to_vec()).collect();
        config.ticketer = terms.tickets.0;
        // A ticket is kept by the client: nothing of a session is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            challenges: terms.challenges,
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

    /// Whether a client that asks for `name` is served.
    pub(crate) fn serves(&self, name: Option<&str>) -> bool {
        // A probe without a name is none for a wrong one.
        !self.refuses_unknown || name.is_none_or(|name| self.resolver.knows(name))
    }
}
