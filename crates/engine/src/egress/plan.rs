// SPDX-License-Identifier: Apache-2.0
use super::count::UserCounts;
use crate::snapshot::{BackendPlan, Registry, RoutePlan, Snapshot};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tidegate_config::{
    ForwardLimits, ForwardParent, ForwardProxy, ForwardRule, ForwardTimeouts, ForwardUser,
};
use tidegate_contract::{Endpoint, EndpointState};
use tidegate_core::{Draw, NamePattern, Networks, base64_encoded, parse_network};
use tidegate_egress::{Judge, Resolver, ResolverSettings, Rule};
use tidegate_passwords::{Checker, Hashed, Known};

/// Addresses of which something is remembered.
const ADDRESSES: usize = 10_000;

/// Somebody who may use the proxy.
pub(crate) struct UserPlan {
    pub(crate) name: Arc<str>,
    pub(super) password: Option<Arc<Hashed>>,
    pub(super) certificate: Vec<NamePattern>,
    pub(super) clients: Networks,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    pub(crate) limits: ForwardLimits,
    pub(crate) counts: Arc<UserCounts>,
}

/// Another proxy that is asked for some hosts.
pub(crate) struct ParentPlan {
    hosts: Rule,
    /// `None` where servers are asked themselves.
    backend: Option<Arc<str>>,
    /// What the other proxy is shown; empty if nothing.
    pub(crate) authorization: String,
}

impl ParentPlan {
    fn build(config: &ForwardParent) -> Self {
        let user = config.user.as_deref().unwrap_or_default();
        let password = config.password.as_ref().map(|text| text.reveal());
        let both = password.map(|password| format!("{user}:{password}"));
        let shown = both.map(|both| format!("Basic {}", base64_encoded(both.as_bytes())));
        Self {
            hosts: Rule {
                hosts: config.hosts.clone(),
                ..Rule::default()
            },
            backend: config.backend.as_deref().map(Into::into),
            authorization: shown.unwrap_or_default(),
        }
    }

    /// The backend whose endpoints are proxies.
    pub(crate) fn backend<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<BackendPlan>> {
        snapshot.backends.get(self.backend.as_ref()?)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.backend.as_deref()
    }
}

/// A forward proxy as the engine runs it.
pub(crate) struct EgressPlan {
    /// Its route, which users do not write, and its backend.
    route: String,
    pub(super) users: Vec<Arc<UserPlan>>,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    parents: Vec<Arc<ParentPlan>>,
    ports: Vec<u16>,
    tunnel_ports: Vec<u16>,
    /// What it is called in `Via`; empty where it is not to be told.
    pub(crate) pseudonym: String,
    pub(crate) timeouts: ForwardTimeouts,
    pub(super) resolver: Resolver,
    /// Passwords that were found right.
    pub(super) known: Known,
    pub(super) checker: Checker,
    /// What is known of addresses that were connected to; connections are kept by it.
    endpoints: Mutex<HashMap<SocketAddr, Arc<Endpoint>>>,
}

/// What this process calls itself where nobody says otherwise: nothing that tells who it is.
fn own_pseudonym() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| format!("proxy-{:08x}", Draw::from_entropy().bits() as u32))
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, String> {
    let parsed = texts.iter();
    parsed.map(|text| parse_network(text)).collect()
}

fn rules(list: &[ForwardRule]) -> Result<Vec<Rule>, String> {
    let made = list.iter().map(|each| {
        let ports = each.ports.iter().map(|port| format!(":{port}"));
        let parts = each.hosts.iter().chain(&each.addresses).cloned();
        let text: Vec<String> = parts.chain(ports).collect();
        Ok(Rule {
            hosts: each.hosts.clone(),
            addresses: networks(&each.addresses)?,
            ports: each.ports.clone(),
            text: text.join(" "),
        })
    });
    made.collect()
}

impl UserPlan {
    fn build(listener: &str, config: &ForwardUser, registry: &Registry) -> Result<Self, String> {
        let name = &config.name;
        let wrong = |error: &str| format!("the password of user `{name}` {error}");
        let patterns = config.certificate.iter();
        let patterns = patterns.map(|text| NamePattern::parse(text));
        let password = config.password.as_ref();
        let password = password.map(|text| Hashed::parse(text.reveal()).map_err(wrong));
        Ok(Self {
            name: name.as_str().into(),
            password: password.transpose()?.map(Arc::new),
            certificate: patterns.collect::<Result<_, _>>()?,
            clients: Networks::parse(&config.clients)?,
            allow: rules(&config.allow)?,
            deny: rules(&config.deny)?,
            limits: config.limits.clone(),
            counts: registry.proxy_user(listener, name),
        })
    }
}

impl EgressPlan {
    /// # Errors
    /// What is wrong, for the operator.
    pub(crate) fn build(
        listener: &str,
        config: &ForwardProxy,
        registry: &Registry,
    ) -> Result<Self, String> {
        let users = config.users.iter();
        let users: Vec<_> = users
            .map(|user| UserPlan::build(listener, user, registry).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let numbered = users.iter().enumerate();
        let servers = config.dns.resolvers.iter();
        let servers: Result<Vec<SocketAddr>, _> = servers.map(|text| text.parse()).collect();
        Ok(Self {
            route: format!("forward:{listener}"),
            by_name: numbered
                .map(|(index, user)| (user.name.clone(), index))
                .collect(),
            users,
            allow: rules(&config.allow)?,
            deny: rules(&config.deny)?,
            parents: config
                .parents
                .iter()
                .map(|each| Arc::new(ParentPlan::build(each)))
                .collect(),
            ports: config.ports.clone(),
            tunnel_ports: config.connect_ports.clone(),
            pseudonym: match (config.via, &config.pseudonym) {
                (false, _) => String::new(),
                (true, Some(own)) => own.clone(),
                (true, None) => own_pseudonym().to_owned(),
            },
            timeouts: config.timeouts.clone(),
            resolver: Resolver::new(ResolverSettings {
                servers: servers.map_err(|error| format!("forward.dns.resolvers: {error}"))?,
                timeout_ms: config.dns.timeout.0,
                most_ttl: (config.dns.max_ttl.0 / 1000) as u32,
            }),
            known: Known::default(),
            checker: Checker::default(),
            endpoints: Mutex::default(),
        })
    }

    /// Whether this is the name of its route.
    pub(crate) fn has_route(&self, name: &str) -> bool {
        self.route == name
    }

    /// The route that its requests count for; it stands among the last.
    pub(crate) fn route<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<RoutePlan>> {
        let mut routes = snapshot.routes.iter().rev();
        routes.find(|route| *route.name == *self.route)
    }

    /// The proxy that is asked for `host`, if it is not the server itself.
    pub(crate) fn parent(&self, host: &str) -> Option<&Arc<ParentPlan>> {
        let mut parents = self.parents.iter();
        let first = parents.find(|parent| parent.hosts.names(host));
        first.filter(|parent| parent.backend.is_some())
    }

    /// The rules that go for `user`.
    pub(super) fn judge<'a>(&'a self, user: Option<&'a UserPlan>) -> Judge<'a> {
        let own = user.filter(|user| !user.allow.is_empty());
        Judge {
            allow: own.map_or(&self.allow, |user| &user.allow),
            deny: [&self.deny, user.map_or(&[], |user| &user.deny)],
            ports: &self.ports,
            tunnel_ports: &self.tunnel_ports,
        }
    }

    /// What is known of `address`.
    pub(super) fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let mut known = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = known.get(&address) {
            return endpoint.clone();
        }
        if known.len() >= ADDRESSES {
            // An open connection holds the state.
            known.retain(|_, endpoint| {
                Arc::strong_count(endpoint) > 1 || Arc::strong_count(&endpoint.state) > 1
            });
        }
        let endpoint = Arc::new(Endpoint {
            address: address.to_string(),
            zone: None,
            priority: 0,
            weight: 1,
            is_draining: false,
            source: "forward".into(),
            state: Arc::new(EndpointState::default()),
        });
        if known.len() < ADDRESSES {
            known.insert(address, endpoint.clone());
        }
        endpoint
    }
}
