// SPDX-License-Identifier: Apache-2.0
use super::key::KeyPlan;
use super::plans::FilterPlan;
use super::registry::Registry;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_config::{Backend, EndpointSet};
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
}

/// What the whole node knows of a backend. Lives as long as any snapshot names it.
pub(crate) struct BackendShared {
    /// Routes share it, so that it lies in one place however many lead here.
    pub(crate) name: Arc<str>,
    pub(crate) list: ArcSwap<EndpointList>,
    /// Exchanges that wait for an endpoint with room.
    pub(crate) pending: Padded<AtomicU32>,
    /// Told when room came up while somebody waited.
    pub(crate) room: Notify,
    sequence: AtomicU64,
    versions: AtomicU64,
    balancers: Mutex<HashMap<String, BalancerState>>,
    retries: Mutex<RetryWindow>,
}

struct RetryWindow {
    since: Moment,
    requests: u64,
    spent: u64,
}

/// The window over which retries are compared with requests.
const RETRY_WINDOW_MS: u64 = 10_000;

impl BackendShared {
    pub(crate) fn new(name: &str, now: Moment) -> Self {
        Self {
            name: name.into(),
            list: ArcSwap::default(),
            pending: Padded::default(),
            room: Notify::new(),
            sequence: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            balancers: Mutex::new(HashMap::new()),
            retries: Mutex::new(RetryWindow {
                since: now,
                requests: 0,
                spent: 0,
            }),
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
        list.version = AtomicU64::new(self.next_version());
        self.list.store(Arc::new(list));
        self.room.notify_waiters();
        true
    }

    /// Makes effective weights that have changed known to balancers that keep tables.
    pub(crate) fn weights_changed(&self) {
        let version = self.next_version();
        self.list.load().version.store(version, Ordering::Release);
    }

    fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells one waiting exchange that an endpoint may have room. Cheap when nobody waits.
    #[inline]
    pub(crate) fn made_room(&self) {
        if self.pending.load(Ordering::Relaxed) > 0 {
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
        let mut window = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        if now > window.since.after_millis(RETRY_WINDOW_MS) {
            *window = RetryWindow {
                since: now,
                requests,
                spent: 0,
            };
        }
        // A retry is itself counted as a request: the spent ones do not earn new ones.
        let fresh = requests
            .saturating_sub(window.requests)
            .saturating_sub(window.spent);
        let earned = fresh * u64::from(percent) / 100;
        let allowed = earned.max(u64::from(floor) * RETRY_WINDOW_MS / 1000);
        let is_allowed = window.spent < allowed;
        window.spent += u64::from(is_allowed);
        is_allowed
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
    pub(crate) balancer: Arc<dyn Balancer>,
    pub(crate) balancer_state: BalancerState,
    /// What the balancer's key is made from; `None` where it has no key.
    pub(crate) key: Option<KeyPlan>,
    /// Whether the balancer is told how requests went.
    pub(crate) observes: bool,
    pub(crate) check: Option<Arc<dyn Check>>,
    /// Its own filters, after those of routes.
    pub(crate) filters: Vec<FilterPlan>,
    pub(crate) shared: Arc<BackendShared>,
}

impl BackendPlan {
    /// # Errors
    /// What is wrong, for the operator.
    pub(crate) fn build(name: &str, config: Backend, registry: &Registry) -> Result<Self, String> {
        let room = &config.balancing;
        let balancer = tidegate_balancing::build(room)?;
        let check = match &config.health_check {
            Some(room) => Some(tidegate_health::build(room)?),
            None => None,
        };
        let shared = registry.backend(name);
        let key = format!("{} {}", room.kind, room.settings.get());
        let balancer_state = shared.balancer_state(&key, &*balancer);
        let filters = FilterPlan::build_all(&config.policies)?;
        Ok(Self {
            name: name.into(),
            key: KeyPlan::build(&*balancer, &config.hash),
            observes: balancer.observes(),
            config,
            filters,
            balancer,
            balancer_state,
            check,
            shared,
        })
    }
}
