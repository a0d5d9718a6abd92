// SPDX-License-Identifier: Apache-2.0
use crate::snapshot::Registry;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_config::{L4Route, L4Timeouts};
use tidegate_telemetry::SharedL4Stats;

/// A route of connections as the engine runs it.
pub(crate) struct L4RoutePlan {
    pub(crate) name: Arc<str>,
    pub(crate) listeners: Vec<String>,
    clients: Vec<IpNet>,
    local_addresses: Vec<IpNet>,
    pub(crate) backends: Vec<(Arc<str>, u32)>,
    /// The sum of their weights.
    pub(crate) total: u64,
    pub(crate) timeouts: L4Timeouts,
    pub(crate) stats: Arc<SharedL4Stats>,
}

impl L4RoutePlan {
    pub(crate) fn build(name: &str, config: L4Route, registry: &Registry) -> Result<Self, String> {
        let networks = |texts: &[String]| -> Result<Vec<IpNet>, String> {
            let parsed = texts
                .iter()
                .map(|text| tidegate_routing::parse_network(text));
            parsed.collect()
        };
        let backends = config.to.into_iter();
        let backends =
            backends.map(|aim| (registry.backend(&aim.backend).name.clone(), aim.weight));
        let backends: Vec<_> = backends.collect();
        Ok(Self {
            name: name.into(),
            clients: networks(&config.matches.clients)?,
            local_addresses: networks(&config.matches.local_addresses)?,
            total: backends.iter().map(|(_, weight)| u64::from(*weight)).sum(),
            backends,
            listeners: config.listeners,
            timeouts: config.timeouts,
            stats: registry.l4_stats(name),
        })
    }

    /// How precise it is: of two that fit, the more precise one takes the connection.
    fn precision(&self) -> (bool, bool) {
        (!self.clients.is_empty(), !self.local_addresses.is_empty())
    }

    fn fits(&self, ends: &Ends<'_>) -> bool {
        let holds = |networks: &[IpNet], address: IpAddr| {
            networks.iter().any(|network| network.contains(&address))
        };
        (self.clients.is_empty() || holds(&self.clients, ends.client))
            && (self.local_addresses.is_empty()
                || (ends.local)().is_some_and(|local| holds(&self.local_addresses, local)))
    }
}

/// What a connection is told apart by.
pub(crate) struct Ends<'a> {
    /// The client's address, not one of IPv4 over IPv6.
    pub(crate) client: IpAddr,
    /// The address that was dialled, likewise; asked for by those routes alone that match by it.
    pub(crate) local: &'a dyn Fn() -> Option<IpAddr>,
}

/// All routes of connections, by listener.
#[derive(Default)]
pub(crate) struct L4Table {
    /// In the order of the file.
    pub(crate) routes: Vec<Arc<L4RoutePlan>>,
    by_listener: HashMap<String, Vec<Arc<L4RoutePlan>>>,
}

impl L4Table {
    pub(crate) fn new(routes: Vec<Arc<L4RoutePlan>>) -> Self {
        let mut by_listener: HashMap<String, Vec<Arc<L4RoutePlan>>> = HashMap::new();
        for route in &routes {
            for listener in &route.listeners {
                let list = by_listener.entry(listener.clone()).or_default();
                list.push(route.clone());
            }
        }
        for list in by_listener.values_mut() {
            // Stable: among equals the first in the file wins.
            list.sort_by_key(|route| std::cmp::Reverse(route.precision()));
        }
        Self {
            routes,
            by_listener,
        }
    }

    /// The route that takes a connection.
    pub(crate) fn find(&self, listener: &str, ends: &Ends<'_>) -> Option<&Arc<L4RoutePlan>> {
        let mut list = self.by_listener.get(listener)?.iter();
        list.find(|route| route.fits(ends))
    }
}
