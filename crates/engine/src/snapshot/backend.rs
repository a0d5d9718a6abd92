// SPDX-License-Identifier: Apache-2.0
use super::approach::{ApproachPlan, Handshakes};
use super::filters::Filters;
use super::key::KeyPlan;
use super::line::Line;
use super::registry::Registry;
use super::retries::RetryBudget;
use crate::adaptive::Adaptive;
use crate::affinity::AffinityPlan;
use crate::levels::{Levels, Terms};
use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_config::{Backend, EndpointSet, ZonePreference};
use tidegate_contract::{Balancer, BalancerState, Check, Endpoint, EndpointState};
use tidegate_core::{Moment, Padded};
use tidegate_net::Target;
use tokio::sync::Notify;

/// The endpoints of a backend and where to connect for each: same length, same order.
#[derive(Debug, Default)]
pub(crate) struct EndpointList {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// Several where a name has several addresses; none while a name is not resolved yet.
    pub(crate) targets: Vec<Arc<ArcSwap<Vec<Target>>>>,
    /// Another number whenever endpoints or their effective weights are others; it only grows.
    pub(crate) version: AtomicU64,
    /// Which ones stand in a zone that is being drained; empty when none does.
    drained: Vec<bool>,
    /// Whether there are priorities or drained zones: requests are divided.
    pub(crate) is_divided: bool,
    /// Whether any endpoint says where it stands.
    pub(crate) has_zones: bool,
}

impl EndpointList {
    /// Whether the endpoint with this index stands in a drained zone.
    pub(crate) fn is_drained(&self, index: u16) -> bool {
        self.drained
            .get(usize::from(index))
            .copied()
            .unwrap_or_default()
    }

    /// Whether every endpoint that could take requests stands in a drained zone: they then do.
    pub(crate) fn is_all_drained(&self) -> bool {
        let mut open = (0u16..)
            .zip(&self.endpoints)
            .filter(|(_, endpoint)| endpoint.weight > 0 && !endpoint.is_draining);
        !self.drained.is_empty() && open.all(|(index, _)| self.is_drained(index))
    }

    /// Requests in flight at all endpoints.
    pub(crate) fn in_flight(&self) -> u32 {
        let each = self.endpoints.iter();
        let each = each.map(|endpoint| endpoint.state.in_flight.load(Ordering::Relaxed));
        each.fold(0, u32::saturating_add)
    }

    /// Open connections to all endpoints.
    pub(crate) fn connections(&self) -> u32 {
        let each = self.endpoints.iter();
        let each = each.map(|endpoint| endpoint.state.connections.load(Ordering::Relaxed));
        each.fold(0, u32::saturating_add)
    }

    fn mark(&mut self, drained: &BTreeSet<String>) {
        let is_in = |endpoint: &Arc<Endpoint>| {
            let zone = endpoint.zone.as_ref();
            zone.is_some_and(|zone| drained.contains(zone))
        };
        self.drained = match self.endpoints.iter().any(is_in) {
            true => self.endpoints.iter().map(is_in).collect(),
            false => Vec::new(),
        };
        let first = self.endpoints.first().map(|endpoint| endpoint.priority);
        let has_priorities = self
            .endpoints
            .iter()
            .any(|endpoint| Some(endpoint.priority) != first);
        self.has_zones = self
            .endpoints
            .iter()
            .any(|endpoint| endpoint.zone.is_some());
        self.is_divided = has_priorities || !self.drained.is_empty();
    }
}

/// What the whole node knows of a backend. Lives as long as any snapshot names it.
pub(crate) struct BackendShared {
    /// Routes share it, so that it lies in one place however many lead here.
    pub(crate) name: Arc<str>,
    pub(crate) list: ArcSwap<EndpointList>,
    /// Exchanges that wait for an endpoint with room.
    pub(crate) pending: Padded<AtomicU32>,
    /// Of these, the ones that would take any endpoint: who comes later stands behind them.
    pub(crate) line: Line,
    /// Requests that were not let in because too many waited, and that waited in vain.
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_late: AtomicU64,
    /// Told when room came up while somebody waited.
    pub(crate) room: Notify,
    /// Grows when an endpoint is excluded: a division of requests made before is out of date.
    pub(crate) changes: AtomicU64,
    /// Whom traffic has excluded and nobody has told yet: address, milliseconds, failures in a row.
    pub(crate) excluded: Mutex<Vec<(String, u64, u32)>>,
    /// What came of TLS with the endpoints.
    pub(crate) handshakes: Handshakes,
    drained: Mutex<Arc<BTreeSet<String>>>,
    /// Since when no endpoint takes requests, in microseconds of the engine's clock; 0 while one does.
    absent_since: AtomicU64,
    /// Endpoints that are in the list no more and may still have requests, by address.
    departed: Mutex<Vec<(String, Weak<EndpointState>)>>,
    sequence: AtomicU64,
    versions: AtomicU64,
    balancers: Mutex<HashMap<String, BalancerState>>,
    retries: Mutex<RetryBudget>,
}

impl BackendShared {
    pub(crate) fn new(name: &str, now: Moment, drained: Arc<BTreeSet<String>>) -> Self {
        Self {
            name: name.into(),
            list: ArcSwap::default(),
            pending: Padded::default(),
            line: Line::default(),
            refused_full: AtomicU64::new(0),
            refused_late: AtomicU64::new(0),
            room: Notify::new(),
            changes: AtomicU64::new(0),
            excluded: Mutex::default(),
            handshakes: Handshakes::default(),
            drained: Mutex::new(drained),
            absent_since: AtomicU64::new(now.0.max(1)),
            departed: Mutex::default(),
            sequence: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            balancers: Mutex::new(HashMap::new()),
            retries: Mutex::new(RetryBudget::new(now)),
        }
    }

    /// Takes a newer endpoint list; states and resolved addresses of addresses that stay are kept.
    /// Returns false for a list that is not newer.
    ///
    /// Endpoints that come to others are new at `now`; those that a backend begins with are not.
    pub(crate) fn set_endpoints(&self, set: &EndpointSet, now: Moment) -> bool {
        if self.sequence.fetch_max(set.sequence, Ordering::Relaxed) >= set.sequence {
            return false;
        }
        let old = self.list.load();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (index, endpoint) in old.endpoints.iter().enumerate() {
            known.insert(&endpoint.address, index);
        }
        let since = match old.endpoints.is_empty() {
            true => 0,
            false => now.millis().max(1),
        };
        let mut list = EndpointList::default();
        for config in &set.endpoints {
            let before = known.get(config.address.as_str()).copied();
            let state = before
                .and_then(|index| old.endpoints.get(index))
                .map_or_else(
                    || {
                        let state = EndpointState::default();
                        state.since.store(since, Ordering::Relaxed);
                        Arc::new(state)
                    },
                    |old| old.state.clone(),
                );
            let targets = before.and_then(|index| old.targets.get(index)).cloned();
            list.endpoints.push(Arc::new(Endpoint {
                address: config.address.clone(),
                zone: config.zone.clone(),
                priority: config.priority,
                weight: config.weight,
                is_draining: config.draining,
                source: config.found_by.clone(),
                state,
            }));
            list.targets.push(targets.unwrap_or_else(|| {
                Arc::new(ArcSwap::from_pointee(
                    literal_target(&config.address).into_iter().collect(),
                ))
            }));
        }
        list.mark(&self.drained.lock().unwrap_or_else(PoisonError::into_inner));
        list.version = AtomicU64::new(self.next_version());
        self.note_departed(&old, &list);
        self.note_absence(&list, now);
        self.list.store(Arc::new(list));
        self.room.notify_waiters();
        self.line.tell();
        true
    }

    fn note_departed(&self, old: &EndpointList, fresh: &EndpointList) {
        let stay: HashSet<&str> = fresh
            .endpoints
            .iter()
            .map(|each| each.address.as_str())
            .collect();
        let gone = old.endpoints.iter();
        let gone = gone.filter(|each| !stay.contains(each.address.as_str()));
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        departed.retain(|(_, state)| busy(state) > 0);
        departed.extend(gone.map(|each| (each.address.clone(), Arc::downgrade(&each.state))));
    }

    fn note_absence(&self, list: &EndpointList, now: Moment) {
        let is_open = |each: &Arc<Endpoint>| each.weight > 0 && !each.is_draining;
        if list.endpoints.iter().any(is_open) {
            self.absent_since.store(0, Ordering::Relaxed);
        } else if self.absent_since.load(Ordering::Relaxed) == 0 {
            self.absent_since.store(now.0.max(1), Ordering::Relaxed);
        }
    }

    /// Since when no endpoint takes requests; `None` while one does.
    pub(crate) fn absent_since(&self) -> Option<Moment> {
        match self.absent_since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Moment(since)),
        }
    }

    /// Requests in flight, by address, at endpoints that are in the list no more.
    pub(crate) fn departed(&self) -> Vec<(String, u32)> {
        let departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        let each = departed.iter();
        let each = each.map(|(address, state)| (address.clone(), busy(state)));
        each.filter(|(_, busy)| *busy > 0).collect()
    }

    /// Makes effective weights that have changed known to balancers that keep tables.
    pub(crate) fn weights_changed(&self) {
        let version = self.next_version();
        self.list.load().version.store(version, Ordering::Release);
    }

    /// Takes the zones that are being drained.
    pub(crate) fn set_drained(&self, zones: &Arc<BTreeSet<String>>) {
        *self.drained.lock().unwrap_or_else(PoisonError::into_inner) = zones.clone();
        let old = self.list.load();
        let mut list = EndpointList {
            endpoints: old.endpoints.clone(),
            targets: old.targets.clone(),
            version: AtomicU64::new(self.next_version()),
            ..EndpointList::default()
        };
        list.mark(zones);
        self.list.store(Arc::new(list));
        self.room.notify_waiters();
        self.line.tell();
    }

    fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells one waiting exchange that an endpoint may have room. Cheap when nobody waits.
    #[inline]
    pub(crate) fn made_room(&self) {
        if self.pending.load(Ordering::Relaxed) > 0 {
            self.line.tell();
            self.room.notify_one();
        }
    }

    fn requests(&self) -> u64 {
        let list = self.list.load();
        list.endpoints
            .iter()
            .map(|endpoint| endpoint.state.requests.load(Ordering::Relaxed))
            .sum()
    }

    /// Whether one more retry stays within the budget: `percent` of the requests of the last ten
    /// seconds, and at least `floor` a second. Spends it if so.
    pub(crate) fn spend_retry(&self, now: Moment, percent: u8, floor: u32) -> bool {
        let requests = self.requests();
        self.budget().spend(now, requests, percent, floor)
    }

    /// Notes how many requests there have been, which the retry budget is counted by; once a second.
    pub(crate) fn note_requests(&self, now: Moment) {
        let requests = self.requests();
        self.budget().note(now, requests);
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn balancer_state(&self, room: &str, balancer: &dyn Balancer) -> BalancerState {
        let mut states = self
            .balancers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        states
            .entry(room.to_owned())
            .or_insert_with(|| balancer.new_state())
            .clone()
    }
}

/// Requests in flight at an endpoint that only they may hold.
fn busy(state: &Weak<EndpointState>) -> u32 {
    let state = state.upgrade();
    state.map_or(0, |state| state.in_flight.load(Ordering::Relaxed))
}

/// The address of an endpoint that needs no resolving.
fn literal_target(address: &str) -> Option<Target> {
    match address.strip_prefix("unix:") {
        Some(path) => Some(Target::Unix(path.into())),
        None => address.parse::<SocketAddr>().ok().map(Target::Ip),
    }
}

/// A backend as the engine runs it.
pub(crate) struct BackendPlan {
    pub(crate) name: Arc<str>,
    pub(crate) config: Backend,
    /// How TLS is spoken to its endpoints, where it is.
    pub(crate) tls: Option<Arc<ApproachPlan>>,
    pub(crate) balancer: Arc<dyn Balancer>,
    pub(crate) balancer_state: BalancerState,
    /// What the balancer's key is made from; `None` where it has no key.
    pub(crate) key: Option<KeyPlan>,
    /// Whether anyone is told how requests went.
    pub(crate) observes: bool,
    pub(crate) check: Option<Arc<dyn Check>>,
    /// Its own filters, after those of routes.
    pub(crate) filters: Filters,
    pub(crate) shared: Arc<BackendShared>,
    /// What the division of its requests depends on.
    pub(crate) terms: Terms,
    /// Requests at a time that one endpoint may have.
    pub(crate) endpoint_limit: u32,
    /// Whether all endpoints together have a limit.
    has_total: bool,
    /// The limit that follows the latency, where one does.
    pub(crate) adaptive: Option<Adaptive>,
    /// Whether requests are divided whatever the endpoints.
    pub(crate) is_divided: bool,
    /// How sessions stay at an endpoint, where they do.
    pub(crate) affinity: Option<AffinityPlan>,
    /// The division made last.
    pub(crate) levels: ArcSwap<Levels>,
}

impl BackendPlan {
    /// # Errors
    /// What is wrong, for the operator.
    pub(crate) fn build(
        name: &str,
        config: Backend,
        registry: &Registry,
        zone: Option<&str>,
    ) -> Result<Self, String> {
        let room = &config.balancing;
        let balancer = tidegate_balancing::build(room)?;
        let check = match &config.health_check {
            Some(room) => Some(tidegate_health::build(room)?),
            None => None,
        };
        let shared = registry.backend(name);
        let key = format!("{} {}", room.kind, room.settings.get());
        let balancer_state = shared.balancer_state(&key, &*balancer);
        let filters = Filters::build(&config.policies, registry)?;
        let tls = config.tls.as_ref();
        let tls = tls.map(|tls| registry.approach(name, tls)).transpose()?;
        let prefers_local = config.zones.prefer == ZonePreference::Local;
        let limits = &config.limits;
        let adaptive = config.adaptive_concurrency.as_ref();
        let adaptive = adaptive.map(|own| Adaptive::new(own, registry.clock.now()));
        let affinity = config.affinity.as_ref();
        let affinity = affinity.map(|config| AffinityPlan::build(config, registry));
        let terms = Terms {
            zone: zone.filter(|_| prefers_local).map(Into::into),
            overprovisioning_percent: config.failover.overprovisioning_percent,
            panic_percent: config.failover.panic_percent,
        };
        Ok(Self {
            name: name.into(),
            // One group with the panic of one: `decide::usable` does that by itself.
            is_divided: terms.panic_percent != 1,
            terms,
            affinity: affinity.transpose()?,
            levels: ArcSwap::default(),
            key: KeyPlan::build(&*balancer, &config.hash),
            observes: balancer.observes()
                || adaptive.is_some()
                || config.passive_health.latency.is_some(),
            endpoint_limit: limits.requests.unwrap_or(u32::MAX).min(limits.connections),
            has_total: limits.total_requests.is_some() || adaptive.is_some(),
            adaptive,
            config,
            tls,
            filters,
            balancer,
            balancer_state,
            check,
            shared,
        })
    }

    /// The terms under which connections to its endpoints are opened: those of other terms are another's.
    #[inline]
    pub(crate) fn terms_of_tls(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| tls.number)
    }

    /// What an endpoint is called in `Host`: 443 is the port that everybody expects inside of TLS
    /// (RFC 9110 §4.2.2).
    pub(crate) fn authority<'a>(&self, address: &'a str) -> &'a str {
        let bare = address.strip_suffix(":443");
        bare.filter(|_| self.tls.is_some()).unwrap_or(address)
    }

    /// Whether all endpoints together have as many requests as they may.
    #[inline]
    pub(crate) fn is_full(&self, list: &EndpointList) -> bool {
        self.has_total && list.in_flight() >= self.total_limit()
    }

    /// Until when requests wait for an endpoint where none takes requests; `None` where one does, or
    /// where nobody waits for one.
    pub(crate) fn start_until(&self) -> Option<Moment> {
        let wait = self.config.start_wait?;
        Some(self.shared.absent_since()?.after_millis(wait.0))
    }

    fn total_limit(&self) -> u32 {
        let configured = self.config.limits.total_requests.unwrap_or(u32::MAX);
        let adaptive = self.adaptive.as_ref().map_or(u32::MAX, Adaptive::limit);
        configured.min(adaptive)
    }
}
