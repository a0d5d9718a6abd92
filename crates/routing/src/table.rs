// SPDX-License-Identifier: Apache-2.0
use crate::change::Change;
use crate::hosts::Hosts;
use crate::paths::Hit;
use crate::pattern::PathPattern;
use crate::slots::Slots;
use crate::template::Parameters;
use crate::visit::{Decide, Foresee, Visit};
use crate::{Asked, CompiledRoute, Ends};
use std::sync::Arc;
use tidegate_request::Request;

/// All routes of a snapshot, arranged for lookups. Immutable and shared by the threads.
///
/// Per listener: hosts (exact, wildcard suffix, any) → paths (exact, templates, prefixes, regular
/// expressions) → the routes with the same path, sorted by what else decides. A lookup allocates
/// nothing unless more than eight templates or prefixes of one host fit a path.
#[derive(Clone, Debug)]
pub struct RouteTable {
    pub(crate) slots: Slots,
    pub(crate) listeners: Vec<Listener>,
    asks_local_address: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) name: Box<str>,
    /// Whether routes that name no listener are not on this one.
    pub(crate) named_only: bool,
    pub(crate) hosts: Arc<Hosts>,
}

impl Listener {
    /// Whether a route is on it.
    pub(crate) fn has(&self, route: &CompiledRoute) -> bool {
        match route.listeners() {
            [] => !self.named_only,
            names => names.iter().any(|name| **name == *self.name),
        }
    }
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its index in the list that the table was made of.
    pub route: usize,
    /// For a template: index into [`CompiledRoute::parameter_names`] and range of bytes in the
    /// request's path, escapes as in the path.
    pub parameters: Parameters,
    /// For a prefix: how many bytes of the path it took, 0 for `/`; what is left is empty or
    /// begins with `/`. 0 for other paths.
    pub prefix_len: usize,
}

impl RouteTable {
    /// Arranges `routes`, in the order of the file, for `listeners`.
    ///
    /// A route on a listener that is not in the list is on none; the references of a snapshot are
    /// checked by who reads it, see [`CompiledRoute::listeners`].
    pub fn build(routes: &[Arc<CompiledRoute>], listeners: &[&str]) -> Self {
        let listeners = listeners.iter().map(|name| (*name, false));
        Self::build_for(routes, listeners)
    }

    /// The same for listeners some of which are marked as for routes only that name them.
    pub fn build_for<'a>(
        routes: &[Arc<CompiledRoute>],
        listeners: impl IntoIterator<Item = (&'a str, bool)>,
    ) -> Self {
        let hosts = Arc::<Hosts>::default();
        let listeners = listeners
            .into_iter()
            .map(|(name, named_only)| Listener {
                name: name.into(),
                named_only,
                hosts: Arc::clone(&hosts),
            })
            .collect();
        Self {
            slots: Slots::default(),
            listeners,
            asks_local_address: false,
        }
        .update(routes)
    }

    /// The listeners it was made for, in order: name, and whether only routes that name it are on it.
    pub fn listeners(&self) -> impl Iterator<Item = (&str, bool)> {
        self.listeners
            .iter()
            .map(|listener| (&*listener.name, listener.named_only))
    }

    /// Whether some route asks for the address that was dialled. Without one, nobody has to look.
    #[inline]
    pub fn asks_local_address(&self) -> bool {
        self.asks_local_address
    }

    /// The same for another list of routes, with all that did not change shared with this table.
    ///
    /// A route is unchanged as long as it is the same `Arc`. The cost grows with the change and,
    /// by a small constant, with the number of routes and of the changed host's neighbours.
    pub fn update(&self, routes: &[Arc<CompiledRoute>]) -> Self {
        let change = Change::between(&self.slots, routes);
        if change.remove.len() > change.keep.len() {
            // Most are new: taking the old ones out one by one would cost more than a fresh start.
            return Self::build_for(routes, self.listeners());
        }
        let mut slots = self.slots.clone();
        for &(slot, position) in &change.keep {
            slots.set_position(slot, position);
        }
        let removed: Vec<_> = change
            .remove
            .iter()
            .filter_map(|&slot| Some((slot, slots.remove(slot)?)))
            .collect();
        let added: Vec<_> = change
            .add
            .into_iter()
            .map(|(position, route)| (slots.add(Arc::clone(&route), position), route))
            .collect();
        let mut table = Self {
            slots,
            listeners: Vec::with_capacity(self.listeners.len()),
            asks_local_address: routes.iter().any(|route| route.asks_local_address()),
        };
        let mut done: Vec<Edited> = Vec::new();
        for listener in &self.listeners {
            let edit = Edit {
                remove: on(listener, &removed),
                add: on(listener, &added),
            };
            // Listeners with the same routes share one table, before and after.
            let same = done
                .iter()
                .find(|other| Arc::ptr_eq(&other.before, &listener.hosts) && other.edit == edit);
            let hosts = match same {
                Some(other) => Arc::clone(&other.after),
                None => edit.apply(&listener.hosts, &table.slots),
            };
            done.push(Edited {
                before: Arc::clone(&listener.hosts),
                edit,
                after: Arc::clone(&hosts),
            });
            table.listeners.push(Listener {
                name: listener.name.clone(),
                named_only: listener.named_only,
                hosts,
            });
        }
        table
    }

    /// The route that takes a request which came in on the listener with this index in the list
    /// that the table was made of; `None` when no route does.
    pub fn find(&self, listener: usize, request: &Request, ends: Ends) -> Option<Found> {
        let hit = self.search(listener, request, &mut Decide { request, ends })?;
        self.found(hit, request)
    }

    /// The route that would take the request which a browser asks about by `request`.
    pub fn find_asked(
        &self,
        listener: usize,
        asked: Asked<'_>,
        request: &Request,
        ends: Ends,
    ) -> Option<Found> {
        let mut foresee = Foresee {
            asked,
            request,
            ends,
        };
        let hit = self.search(listener, request, &mut foresee)?;
        self.found(hit, request)
    }

    #[inline]
    fn found(&self, hit: Hit, request: &Request) -> Option<Found> {
        let place = self.slots.place(hit.slot)?;
        let parameters = match place.is_template.then(|| place.route.path()) {
            Some(PathPattern::Template(template)) => template.parameters(request.path()),
            _ => Parameters::new(),
        };
        Some(Found {
            route: place.position as usize,
            parameters,
            prefix_len: hit.prefix_length,
        })
    }

    pub(crate) fn search<V: Visit>(
        &self,
        listener: usize,
        request: &Request,
        visit: &mut V,
    ) -> Option<Hit> {
        self.listeners
            .get(listener)?
            .hosts
            .find(&self.slots, request.host(), request.path(), visit)
    }
}

/// Routes to take out of and put into one listener's table.
struct Edit<'c> {
    remove: Vec<&'c (u32, Arc<CompiledRoute>)>,
    add: Vec<&'c (u32, Arc<CompiledRoute>)>,
}

struct Edited<'c> {
    before: Arc<Hosts>,
    edit: Edit<'c>,
    after: Arc<Hosts>,
}

impl PartialEq for Edit<'_> {
    fn eq(&self, other: &Self) -> bool {
        let slots = |list: &[&(u32, Arc<CompiledRoute>)], others: &[&(u32, Arc<CompiledRoute>)]| {
            list.iter()
                .map(|item| item.0)
                .eq(others.iter().map(|item| item.0))
        };
        slots(&self.remove, &other.remove) && slots(&self.add, &other.add)
    }
}

impl Edit<'_> {
    fn apply(&self, before: &Arc<Hosts>, slots: &Slots) -> Arc<Hosts> {
        if self.remove.is_empty() && self.add.is_empty() {
            return Arc::clone(before);
        }
        let mut hosts = Hosts::clone(before);
        for (slot, route) in &self.remove {
            hosts.remove(*slot, route);
        }
        for (slot, route) in &self.add {
            hosts.insert(slots, *slot, route);
        }
        Arc::new(hosts)
    }
}

fn on<'c>(
    listener: &Listener,
    routes: &'c [(u32, Arc<CompiledRoute>)],
) -> Vec<&'c (u32, Arc<CompiledRoute>)> {
    routes
        .iter()
        .filter(|(_, route)| listener.has(route))
        .collect()
}
