// SPDX-License-Identifier: Apache-2.0
use crate::CompiledRoute;
use crate::Map;
use crate::host::{HostPattern, suffixes};
use crate::paths::{Hit, Paths};
use crate::slots::Slots;
use crate::visit::Visit;
use std::sync::Arc;

/// The routes of one listener, by host. Each host's table is shared with the snapshots before as
/// long as none of its routes changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    exact: Map<Arc<str>, Arc<Paths>>,
    wildcards: Map<Arc<str>, Arc<Paths>>,
    any: Arc<Paths>,
}

impl Hosts {
    pub(crate) fn insert(&mut self, slots: &Slots, slot: u32, route: &CompiledRoute) {
        if route.hosts().is_empty() {
            Arc::make_mut(&mut self.any).insert(slots, slot, route);
        }
        for host in route.hosts() {
            let paths = match host {
                HostPattern::Exact(name) => self.exact.entry(Arc::clone(name)),
                HostPattern::Wildcard(suffix) => self.wildcards.entry(Arc::clone(suffix)),
            };
            Arc::make_mut(paths.or_default()).insert(slots, slot, route);
        }
    }

    pub(crate) fn remove(&mut self, slot: u32, route: &CompiledRoute) {
        if route.hosts().is_empty() {
            Arc::make_mut(&mut self.any).remove(slot, route);
        }
        for host in route.hosts() {
            let (tables, name) = match host {
                HostPattern::Exact(name) => (&mut self.exact, name),
                HostPattern::Wildcard(suffix) => (&mut self.wildcards, suffix),
            };
            let Some(shared) = tables.get_mut(name) else {
                continue;
            };
            let paths = Arc::make_mut(shared);
            paths.remove(slot, route);
            if paths.is_empty() {
                tables.remove(name);
            }
        }
    }

    /// The first route, in order of precedence, whose host and path fit and that `visit` takes.
    ///
    /// A host under which nothing takes the request gives way to the next wider one.
    pub(crate) fn find<V: Visit>(
        &self,
        slots: &Slots,
        host: Option<&str>,
        path: &str,
        visit: &mut V,
    ) -> Option<Hit> {
        if let Some(host) = host {
            if let Some(paths) = self.exact.get(host)
                && let Some(hit) = paths.find(slots, path, visit)
            {
                return Some(hit);
            }
            if !self.wildcards.is_empty() {
                for suffix in suffixes(host) {
                    if let Some(paths) = self.wildcards.get(suffix)
                        && let Some(hit) = paths.find(slots, path, visit)
                    {
                        return Some(hit);
                    }
                }
            }
        }
        self.any.find(slots, path, visit)
    }

    #[cfg(test)]
    pub(crate) fn exact(&self, host: &str) -> Option<&Arc<Paths>> {
        self.exact.get(host)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty() && self.any.is_empty()
    }
}
