// SPDX-License-Identifier: Apache-2.0
use super::backend::BackendPlan;
use super::plans::{ListenerPlan, RoutePlan, Settings};
use super::registry::Registry;
use super::secrets::Secrets;
use crate::functions::FunctionPlan;
use crate::l4::L4Table;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tidegate_config::{
    Delta, EndpointSet, GatewaySettings, Kind, Millis, Resource, RouteOrder, SCHEMA,
};
use tidegate_routing::{CompiledRoute, RouteTable};

/// Something that keeps a delta from being taken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    /// Kind and name of the resource, or `base` or `schema`.
    #[serde(rename = "where")]
    pub(crate) place: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

/// Plans by name. Names come from the configuration, so no peer can make them collide.
pub(crate) type ByName<T> = HashMap<Arc<str>, Arc<T>, foldhash::fast::RandomState>;

/// The compiled configuration with a number. Immutable.
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    pub(crate) resources: BTreeMap<(Kind, String), Arc<Resource>>,
    pub(crate) secrets: Secrets,
    pub(crate) settings: Arc<Settings>,
    pub(crate) listeners: Vec<Arc<ListenerPlan>>,
    /// In the order of the file; the table's indexes point here.
    pub(crate) routes: Vec<Arc<RoutePlan>>,
    pub(crate) backends: ByName<BackendPlan>,
    pub(crate) functions: ByName<FunctionPlan>,
    pub(crate) table: RouteTable,
    /// The routes of connections.
    pub(crate) l4: L4Table,
}

impl Snapshot {
    /// What a node runs before it has been told anything: no listeners, no routes.
    pub(crate) fn empty() -> Self {
        let config = GatewaySettings {
            name: "tidegate".into(),
            threads: 0,
            trusted_proxies: Vec::new(),
            graceful_stop: Millis(30_000),
            access_log: None,
            redact_query: Vec::new(),
            redact_fields: Vec::new(),
            slow_request: None,
            otlp: None,
            memory: None,
            zone: None,
        };
        Self {
            number: 0,
            resources: BTreeMap::new(),
            secrets: Secrets::default(),
            settings: Arc::new(Settings {
                config,
                trusted: tidegate_core::Networks::default(),
            }),
            listeners: Vec::new(),
            routes: Vec::new(),
            backends: ByName::default(),
            functions: ByName::default(),
            table: RouteTable::build(&[], &[]),
            l4: L4Table::default(),
        }
    }

    /// Builds the snapshot that `delta` leads to from `base`, or tells every problem and leaves
    /// everything as it was. Endpoint lists in the delta are the caller's to apply.
    ///
    /// # Errors
    /// All problems at once, at least one.
    pub(crate) fn apply(
        base: Option<&Self>,
        delta: &Delta,
        registry: &Registry,
    ) -> Result<Self, Vec<Problem>> {
        check_numbers(base, delta).map_err(|problem| vec![problem])?;
        let base = base.filter(|_| delta.base != 0);
        let mut resources = base.map(|base| base.resources.clone()).unwrap_or_default();
        for (kind, name) in &delta.remove {
            resources.remove(&(*kind, name.clone()));
        }
        for resource in &delta.set {
            resources.insert(
                (resource.kind, resource.name.clone()),
                Arc::new(resource.clone()),
            );
        }
        let before = base.map(|base| &base.secrets);
        let secrets = Secrets::changed(before, &delta.set, &delta.remove, &delta.secrets);
        let mut builder = Builder {
            base,
            registry,
            resources: &resources,
            secrets: &secrets,
            problems: Vec::new(),
        };
        registry.data.replace(builder.of_kind(Kind::Data));
        let settings = builder.settings();
        let listeners = builder.listeners();
        let zone = settings.as_ref().and_then(|own| own.config.zone.as_deref());
        let backends = builder.backends(zone);
        let functions = builder.functions();
        let order = builder.order();
        let routes = builder.routes(&order, &backends);
        builder.check_listeners(&listeners, &routes);
        let table = builder.table(&listeners, &routes);
        let l4 = builder.l4_routes(&order, &listeners, &backends);
        let problems = builder.problems;
        match (settings, table) {
            (Some(settings), Some(table)) if problems.is_empty() => Ok(Self {
                number: delta.number,
                settings,
                listeners,
                routes,
                backends,
                functions,
                table,
                l4,
                resources,
                secrets,
            }),
            _ => Err(problems),
        }
    }

    /// The whole snapshot as one delta on nothing, without endpoint lists.
    pub(crate) fn to_delta(&self, endpoints: Vec<EndpointSet>) -> Delta {
        Delta {
            schema: SCHEMA,
            base: 0,
            number: self.number,
            set: self
                .resources
                .values()
                .map(|resource| Resource::clone(resource))
                .collect(),
            secrets: self.secrets.sets(),
            remove: Vec::new(),
            endpoints,
        }
    }
}

fn check_numbers(base: Option<&Snapshot>, delta: &Delta) -> Result<(), Problem> {
    if delta.schema != SCHEMA {
        let message = format!(
            "the snapshot has form {}, this engine reads form {SCHEMA}: run control and node of one version",
            delta.schema
        );
        return Err(Problem::new("schema", message));
    }
    let have = base.map_or(0, |base| base.number);
    if delta.base != 0 && delta.base != have {
        let message = format!(
            "the delta builds on snapshot {}, the node has {have}: send the whole",
            delta.base
        );
        return Err(Problem::new("base", message));
    }
    if delta.number <= delta.base {
        return Err(Problem::new(
            "number",
            "a snapshot's number must be greater than its base's",
        ));
    }
    Ok(())
}

/// Builds the parts one after the other, and gathers what is wrong with them.
pub(super) struct Builder<'a> {
    pub(super) base: Option<&'a Snapshot>,
    pub(super) registry: &'a Registry,
    pub(super) resources: &'a BTreeMap<(Kind, String), Arc<Resource>>,
    secrets: &'a Secrets,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        let from = (kind, String::new());
        self.resources
            .range(from..)
            .take_while(move |((k, _), _)| *k == kind)
            .map(|(_, r)| r)
    }

    /// Whether the base has the very same resource, with the same secrets.
    pub(super) fn is_unchanged(&self, resource: &Resource) -> bool {
        let key = (resource.kind, resource.name.clone());
        self.base.is_some_and(|base| {
            base.resources
                .get(&key)
                .is_some_and(|before| before.hash == resource.hash)
                && base.secrets.of(&key) == self.secrets.of(&key)
        })
    }

    pub(super) fn decode<T: DeserializeOwned>(&mut self, resource: &Resource) -> Option<T> {
        let secrets = self.secrets.of(&(resource.kind, resource.name.clone()));
        let whole = match secrets.map(|secrets| tidegate_config::filled(resource, secrets)) {
            None => None,
            Some(Ok(filled)) => Some(filled),
            Some(Err(error)) => return self.fail(resource, error),
        };
        match serde_json::from_str(whole.as_ref().unwrap_or(&resource.value).get()) {
            Ok(value) => Some(value),
            Err(error) => self.fail(resource, error.to_string()),
        }
    }

    pub(super) fn fail<T>(&mut self, resource: &Resource, message: String) -> Option<T> {
        self.problems.push(Problem::new(
            format!("{:?} {}", resource.kind, resource.name),
            message,
        ));
        None
    }

    fn settings(&mut self) -> Option<Arc<Settings>> {
        let Some(resource) = self.of_kind(Kind::Gateway).next().cloned() else {
            self.problems.push(Problem::new(
                "gateway",
                "the snapshot has no gateway resource",
            ));
            return None;
        };
        if let Some(base) = self.base.filter(|_| self.is_unchanged(&resource)) {
            return Some(base.settings.clone());
        }
        let config = self.decode(&resource)?;
        match Settings::build(config) {
            Ok(settings) => Some(Arc::new(settings)),
            Err(message) => self.fail(&resource, message),
        }
    }

    fn listeners(&mut self) -> Vec<Arc<ListenerPlan>> {
        let resources: Vec<_> = self.of_kind(Kind::Listener).cloned().collect();
        let mut plans = Vec::new();
        for resource in resources {
            let before = self.base.and_then(|base| {
                base.listeners
                    .iter()
                    .find(|plan| *plan.name == *resource.name)
            });
            if let Some(before) = before.filter(|_| self.is_unchanged(&resource)) {
                plans.push(before.clone());
                continue;
            }
            let Some(config) = self.decode(&resource) else {
                continue;
            };
            match ListenerPlan::build(&resource.name, config, self.registry) {
                Ok(plan) => plans.push(Arc::new(plan)),
                Err(message) => drop(self.fail::<()>(&resource, message)),
            }
        }
        plans
    }

    /// The backends, seen from the gateway's own zone.
    fn backends(&mut self, zone: Option<&str>) -> ByName<BackendPlan> {
        let stays = self
            .base
            .is_some_and(|base| base.settings.config.zone.as_deref() == zone);
        let resources: Vec<_> = self.of_kind(Kind::Backend).cloned().collect();
        let mut plans = ByName::with_capacity_and_hasher(resources.len(), Default::default());
        for resource in resources {
            let before = self
                .base
                .and_then(|base| base.backends.get(resource.name.as_str()));
            if let Some(before) = before.filter(|_| stays && self.is_unchanged(&resource)) {
                plans.insert(before.name.clone(), before.clone());
                continue;
            }
            let Some(config) = self.decode(&resource) else {
                continue;
            };
            match BackendPlan::build(&resource.name, config, self.registry, zone) {
                Ok(plan) => drop(plans.insert(plan.name.clone(), Arc::new(plan))),
                Err(message) => drop(self.fail::<()>(&resource, message)),
            }
        }
        plans
    }

    fn functions(&mut self) -> ByName<FunctionPlan> {
        let resources: Vec<_> = self.of_kind(Kind::Function).cloned().collect();
        let mut plans = ByName::with_capacity_and_hasher(resources.len(), Default::default());
        for resource in resources {
            let before = self
                .base
                .and_then(|base| base.functions.get(resource.name.as_str()));
            if let Some(before) = before.filter(|_| self.is_unchanged(&resource)) {
                plans.insert(before.name.clone(), before.clone());
                continue;
            }
            let before = before.cloned();
            if let Some(config) = self.decode(&resource) {
                let plan = FunctionPlan::build(
                    &resource.name,
                    config,
                    before.as_deref(),
                    self.registry.clock.now(),
                );
                plans.insert(plan.name.clone(), Arc::new(plan));
            }
        }
        plans
    }

    /// The order of routes; none without the resource.
    fn order(&mut self) -> RouteOrder {
        let order = self.of_kind(Kind::RouteOrder).next().cloned();
        let order = order.and_then(|order| self.decode::<RouteOrder>(&order));
        order.unwrap_or(RouteOrder {
            names: Vec::new(),
            l4: Vec::new(),
        })
    }

    pub(super) fn missing(&mut self, kind: Kind, name: &str) {
        let place = format!("{kind:?} {name}");
        let message = "named in the order, but not there";
        self.problems.push(Problem::new(place, message));
    }

    fn routes(
        &mut self,
        order: &RouteOrder,
        backends: &ByName<BackendPlan>,
    ) -> Vec<Arc<RoutePlan>> {
        let before: HashMap<&str, &Arc<RoutePlan>> = match self.base {
            Some(base) => base.routes.iter().map(|plan| (&*plan.name, plan)).collect(),
            None => HashMap::new(),
        };
        let mut plans = Vec::with_capacity(order.names.len());
        for name in &order.names {
            let Some(resource) = self.resources.get(&(Kind::Route, name.clone())) else {
                self.missing(Kind::Route, name);
                continue;
            };
            let resource = resource.clone();
            let plan = match before.get(name.as_str()) {
                Some(plan) if self.is_unchanged(&resource) => Arc::clone(plan),
                _ => {
                    let Some(config) = self.decode(&resource) else {
                        continue;
                    };
                    match RoutePlan::build(name, config, self.registry) {
                        Ok(plan) => Arc::new(plan),
                        Err(message) => {
                            self.fail::<()>(&resource, message);
                            continue;
                        }
                    }
                }
            };
            for (backend, _) in plan.backends() {
                if !backends.contains_key(backend) {
                    let message = format!("leads to backend `{backend}`, which is not there");
                    self.fail::<()>(&resource, message);
                }
            }
            plans.push(plan);
        }
        plans
    }

    /// A route on a listener that is not there would never be found, and nobody told.
    fn check_listeners(&mut self, listeners: &[Arc<ListenerPlan>], routes: &[Arc<RoutePlan>]) {
        let known: HashSet<&str> = listeners.iter().map(|listener| &*listener.name).collect();
        for route in routes {
            for listener in route.compiled.listeners() {
                if !known.contains(listener.as_str()) {
                    self.problems.push(Problem::new(
                        format!("{:?} {}", Kind::Route, route.name),
                        format!("is on listener `{listener}`, which is not there"),
                    ));
                }
            }
        }
    }

    fn table(
        &mut self,
        listeners: &[Arc<ListenerPlan>],
        routes: &[Arc<RoutePlan>],
    ) -> Option<RouteTable> {
        let compiled: Vec<Arc<CompiledRoute>> =
            routes.iter().map(|route| route.compiled.clone()).collect();
        let places = || {
            let plans = listeners.iter();
            plans.map(|listener| (&*listener.name, listener.named_only()))
        };
        let same_listeners = self.base.filter(|base| base.table.listeners().eq(places()));
        Some(match same_listeners {
            Some(base) => base.table.update(&compiled),
            None => RouteTable::build_for(&compiled, places()),
        })
    }
}
