// SPDX-License-Identifier: Apache-2.0
use crate::snapshot::Registry;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_config::{Carried, L4Route, L4Timeouts};
use tidegate_core::{Networks, written_bytes};
use tidegate_net::Hello;
use tidegate_telemetry::SharedL4Stats;

/// A route of connections as the engine runs it.
pub(crate) struct L4RoutePlan {
    pub(crate) name: Arc<str>,
    pub(crate) listeners: Vec<String>,
    carries: Carried,
    hosts: Vec<String>,
    /// What its connections begin with, one of these.
    begins: Vec<Vec<u8>>,
    alpn: Vec<String>,
    /// It takes connections of QUIC alone.
    is_quic: bool,
    clients: Networks,
    local_addresses: Networks,
    pub(crate) backends: Vec<(Arc<str>, u32)>,
    /// The sum of their weights.
    pub(crate) total: u64,
    pub(crate) timeouts: L4Timeouts,
    /// Datagrams by which an endpoint answers each.
    pub(crate) responses: Option<u32>,
    pub(crate) stats: Arc<SharedL4Stats>,
}

impl L4RoutePlan {
    pub(crate) fn build(name: &str, config: L4Route, registry: &Registry) -> Result<Self, String> {
        let backends = config.to.into_iter();
        let backends =
            backends.map(|aim| (registry.backend(&aim.backend).name.clone(), aim.weight));
        let backends: Vec<_> = backends.collect();
        Ok(Self {
            name: name.into(),
            carries: config.carries,
            hosts: config.hosts,
            begins: config
                .matches
                .begins
                .iter()
                .map(|text| written_bytes(text))
                .collect::<Result<_, _>>()?,
            alpn: config.matches.alpn,
            is_quic: config.matches.quic,
            clients: Networks::parse(&config.matches.clients)?,
            local_addresses: Networks::parse(&config.matches.local_addresses)?,
            total: backends.iter().map(|(_, weight)| u64::from(*weight)).sum(),
            backends,
            listeners: config.listeners,
            timeouts: config.timeouts,
            responses: config.responses,
            stats: registry.l4_stats(name),
        })
    }

    /// How precise it is: of two that fit, the more precise one takes the connection.
    fn precision(&self) -> (usize, bool, bool, bool, bool) {
        let longest = self.begins.iter().map(Vec::len).max();
        (
            longest.unwrap_or_default(),
            !self.alpn.is_empty(),
            self.is_quic,
            !self.clients.is_empty(),
            !self.local_addresses.is_empty(),
        )
    }

    fn fits(&self, ends: &Ends<'_>) -> bool {
        let asks = |protocol: &String| {
            let mut asked = ends.hello.iter().flat_map(|hello| &hello.protocols);
            ends.chosen == Some(protocol.as_bytes())
                || asked.any(|asked| asked == protocol.as_bytes())
        };
        let begins = |with: &Vec<u8>| ends.first.starts_with(with);
        (self.begins.is_empty() || self.begins.iter().any(begins))
            && (!self.is_quic || ends.hello.is_some())
            && (self.alpn.is_empty() || self.alpn.iter().any(asks))
            && (self.clients.is_empty() || self.clients.contains(ends.client))
            && (self.local_addresses.is_empty()
                || (ends.local)().is_some_and(|local| self.local_addresses.contains(local)))
    }
}

/// What a connection is told apart by.
pub(crate) struct Ends<'a> {
    /// The client's address, not one of IPv4 over IPv6.
    pub(crate) client: IpAddr,
    /// The address that was dialled, likewise; asked for by those routes alone that match by it.
    pub(crate) local: &'a dyn Fn() -> Option<IpAddr>,
    /// What a TLS client asked for, where that was read.
    pub(crate) hello: Option<&'a Hello>,
    /// The protocol that was chosen inside of TLS that ends here.
    pub(crate) chosen: Option<&'a [u8]>,
    /// Its first bytes, where these were looked at.
    pub(crate) first: &'a [u8],
}

type Routes = Vec<Arc<L4RoutePlan>>;

/// Routes that carry the same, on one listener.
#[derive(Default)]
struct ByHost {
    exact: HashMap<String, Routes>,
    /// By what follows the `*.`, for any labels in front.
    below: HashMap<String, Routes>,
    /// Those without hosts.
    any: Routes,
}

impl ByHost {
    fn lists(&mut self) -> impl Iterator<Item = &mut Routes> {
        let hosts = self.exact.values_mut().chain(self.below.values_mut());
        hosts.chain(std::iter::once(&mut self.any))
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_empty()
    }

    fn add(&mut self, route: &Arc<L4RoutePlan>) {
        if route.hosts.is_empty() {
            self.any.push(route.clone());
        }
        for host in &route.hosts {
            let list = match host.strip_prefix("*.") {
                Some(parent) => self.below.entry(parent.to_owned()).or_default(),
                None => self.exact.entry(host.clone()).or_default(),
            };
            list.push(route.clone());
        }
    }

    /// An exact host goes before a wildcard, the longest first, where something under it fits.
    fn find(&self, ends: &Ends<'_>) -> Option<&Arc<L4RoutePlan>> {
        let of = |list: &'_ Routes| list.iter().position(|route| route.fits(ends));
        let name = ends.hello.and_then(|hello| hello.name.as_deref());
        let exact = name.and_then(|name| self.exact.get(name)).into_iter();
        let parents = name.into_iter().flat_map(|name| name.match_indices('.'));
        let below = parents.filter_map(|(at, _)| self.below.get(name?.get(at + 1..)?));
        let mut lists = exact.chain(below).chain(std::iter::once(&self.any));
        lists.find_map(|list| list.get(of(list)?))
    }
}

/// All routes of connections, by listener.
#[derive(Default)]
pub(crate) struct L4Table {
    /// In the order of the file.
    pub(crate) routes: Routes,
    by_listener: HashMap<String, OnListener>,
}

/// The routes of one listener, by what they carry.
#[derive(Default)]
struct OnListener {
    tcp: ByHost,
    tls: ByHost,
    udp: ByHost,
}

impl OnListener {
    fn of(&self, carries: Carried) -> &ByHost {
        match carries {
            Carried::Tcp => &self.tcp,
            Carried::Tls => &self.tls,
            Carried::Udp => &self.udp,
        }
    }
}

impl L4Table {
    pub(crate) fn new(routes: Routes) -> Self {
        let mut by_listener: HashMap<String, OnListener> = HashMap::new();
        for route in &routes {
            for listener in &route.listeners {
                let on = by_listener.entry(listener.clone()).or_default();
                match route.carries {
                    Carried::Tcp => on.tcp.add(route),
                    Carried::Tls => on.tls.add(route),
                    Carried::Udp => on.udp.add(route),
                }
            }
        }
        let kinds = by_listener.values_mut();
        for list in kinds.flat_map(|on| on.tcp.lists().chain(on.tls.lists()).chain(on.udp.lists()))
        {
            // Stable: among equals the first in the file wins.
            list.sort_by_key(|route| std::cmp::Reverse(route.precision()));
        }
        Self {
            routes,
            by_listener,
        }
    }

    /// The route that takes a connection.
    pub(crate) fn find(
        &self,
        listener: &str,
        carries: Carried,
        ends: &Ends<'_>,
    ) -> Option<&Arc<L4RoutePlan>> {
        self.by_listener.get(listener)?.of(carries).find(ends)
    }

    /// Whether any route passes TLS on from the listener.
    pub(crate) fn passes_tls(&self, listener: &str) -> bool {
        let on = self.by_listener.get(listener);
        on.is_some_and(|on| !on.tls.is_empty())
    }

    /// Whether any route goes by what clients of QUIC ask for.
    pub(crate) fn reads_quic(&self, listener: &str) -> bool {
        let on = self.by_listener.get(listener);
        on.is_some_and(|on| {
            let has_hosts = !on.udp.exact.is_empty() || !on.udp.below.is_empty();
            has_hosts
                || on
                    .udp
                    .any
                    .iter()
                    .any(|route| route.is_quic || !route.alpn.is_empty())
        })
    }

    /// What connections of the listener may begin with by its routes.
    pub(crate) fn begins(&self, listener: &str) -> impl Iterator<Item = &[u8]> {
        let on = self.by_listener.get(listener).into_iter();
        let routes = on.flat_map(|on| &on.tcp.any);
        routes.flat_map(|route| route.begins.iter().map(Vec::as_slice))
    }
}
