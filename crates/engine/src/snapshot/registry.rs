// SPDX-License-Identifier: Apache-2.0
use super::approach::ApproachPlan;
use super::backend::BackendShared;
use super::challenges::Challenges;
use super::data::Data;
use super::filters::PolicyCounts;
use super::plans::Counted;
use super::sources::Sources;
use crate::egress::UserCounts;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidegate_config::{BackendTls, PolicyUse};
use tidegate_contract::{Document, Filter, Source};
use tidegate_core::Clock;
use tidegate_telemetry::{SharedL4Stats, SharedRouteStats};
use tidegate_tls::{Authorities, Tickets};

/// Where the instance's own key for cookies comes from.
type KeySource = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// What outlives snapshots: the state of backends, endpoints and balancers, and counters, by name.
pub(crate) struct Registry {
    pub(crate) clock: Clock,
    pub(crate) threads: usize,
    /// What proves host names to certificate authorities.
    pub(crate) challenges: Challenges,
    /// How endpoints are found, as control says.
    pub(crate) sources: Sources,
    backends: Mutex<HashMap<String, Arc<BackendShared>>>,
    routes: Mutex<HashMap<String, Arc<SharedRouteStats>>>,
    l4_routes: Mutex<HashMap<String, Arc<SharedL4Stats>>>,
    listeners: Mutex<HashMap<String, Arc<Counted>>>,
    proxy_users: Mutex<HashMap<(String, String), Arc<UserCounts>>>,
    policies: Mutex<HashMap<String, Arc<PolicyCounts>>>,
    /// What settings of policies refer to, and the policies made of it.
    pub(crate) data: Data,
    documents: Mutex<BTreeMap<Source, Arc<Document>>>,
    tickets: Mutex<HashMap<(String, Vec<u8>), Tickets>>,
    approaches: Mutex<HashMap<String, Arc<ApproachPlan>>>,
    /// Whom the system trusts, and how its store looked when it was read.
    system: Mutex<Option<(String, Authorities)>>,
    drained: Mutex<Arc<BTreeSet<String>>>,
    affinity_key: OnceLock<Arc<[u8]>>,
    affinity_source: OnceLock<KeySource>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(crate) fn new(clock: Clock, threads: usize) -> Self {
        Self {
            clock,
            threads,
            challenges: Challenges::default(),
            sources: Sources::default(),
            backends: Mutex::new(HashMap::new()),
            routes: Mutex::new(HashMap::new()),
            l4_routes: Mutex::default(),
            listeners: Mutex::new(HashMap::new()),
            proxy_users: Mutex::default(),
            policies: Mutex::default(),
            data: Data::default(),
            documents: Mutex::default(),
            tickets: Mutex::default(),
            approaches: Mutex::default(),
            system: Mutex::default(),
            drained: Mutex::default(),
            affinity_key: OnceLock::new(),
            affinity_source: OnceLock::new(),
        }
    }

    /// The state of a backend, made at its first mention.
    pub(crate) fn backend(&self, name: &str) -> Arc<BackendShared> {
        let mut backends = lock(&self.backends);
        if let Some(shared) = backends.get(name) {
            return shared.clone();
        }
        let shared = Arc::new(BackendShared::new(
            name,
            self.clock.now(),
            self.drained_zones(),
        ));
        backends.insert(name.to_owned(), shared.clone());
        shared
    }

    /// The counters of a route, made at its first mention.
    pub(crate) fn route_stats(&self, name: &str) -> Arc<SharedRouteStats> {
        let mut routes = lock(&self.routes);
        if let Some(stats) = routes.get(name) {
            return stats.clone();
        }
        let stats = Arc::new(SharedRouteStats::new(self.threads));
        routes.insert(name.to_owned(), stats.clone());
        stats
    }

    /// The counters of a route of connections, made at its first mention.
    pub(crate) fn l4_stats(&self, name: &str) -> Arc<SharedL4Stats> {
        let mut routes = lock(&self.l4_routes);
        let made = || Arc::new(SharedL4Stats::new(self.threads));
        routes.entry(name.to_owned()).or_insert_with(made).clone()
    }

    /// The connections of a listener, by its name: one that goes on under a new snapshot is counted
    /// out where it was counted in, even when nothing of the old snapshot was the new one's base.
    pub(crate) fn counted(&self, listener: &str) -> Arc<Counted> {
        let mut listeners = lock(&self.listeners);
        if let Some(counted) = listeners.get(listener) {
            return counted.clone();
        }
        let counted = Arc::<Counted>::default();
        listeners.insert(listener.to_owned(), counted.clone());
        counted
    }

    /// What became of exchanges at the policies of a name.
    pub(crate) fn policy(&self, name: &str) -> Arc<PolicyCounts> {
        let mut policies = lock(&self.policies);
        policies.entry(name.to_owned()).or_default().clone()
    }

    /// The same of all policies, by name.
    pub(crate) fn policies(&self) -> BTreeMap<String, Arc<PolicyCounts>> {
        let policies = lock(&self.policies);
        policies
            .iter()
            .map(|(name, counts)| (name.clone(), counts.clone()))
            .collect()
    }

    /// The node's document of the same source; this one, where there is none yet.
    pub(crate) fn document(&self, document: Arc<Document>) -> Arc<Document> {
        let mut documents = lock(&self.documents);
        let known = documents.entry(document.source.clone());
        known.or_insert(document).clone()
    }

    /// The policy of these settings.
    ///
    /// # Errors
    /// The room does not read them, or they refer to what is not there.
    pub(crate) fn filter(&self, own: &PolicyUse) -> Result<Arc<dyn Filter>, String> {
        self.data.filter(own, &|document| self.document(document))
    }

    /// The documents that policies work with, by source.
    pub(crate) fn documents(&self) -> Vec<Arc<Document>> {
        lock(&self.documents).values().cloned().collect()
    }

    /// What a forward proxy's user does.
    pub(crate) fn proxy_user(&self, listener: &str, user: &str) -> Arc<UserCounts> {
        let mut users = lock(&self.proxy_users);
        let key = (listener.to_owned(), user.to_owned());
        users.entry(key).or_default().clone()
    }

    /// The keys that seal the sessions of a listener with clients of whom `asked` is asked, made at the
    /// first mention: they are the same on all threads and under every snapshot that has them.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn tickets(&self, listener: &str, asked: &[u8]) -> Result<Tickets, String> {
        let mut tickets = lock(&self.tickets);
        let key = (listener.to_owned(), asked.to_vec());
        if let Some(known) = tickets.get(&key) {
            return Ok(known.clone());
        }
        let made = Tickets::new(&self.clock)?;
        tickets.insert(key, made.clone());
        Ok(made)
    }

    /// How TLS is spoken to a backend: the same one, with its sessions, while the settings and the files
    /// behind them are the same.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn approach(
        &self,
        backend: &str,
        config: &BackendTls,
    ) -> Result<Arc<ApproachPlan>, String> {
        let known = lock(&self.approaches).get(backend).cloned();
        if let Some(known) = known.filter(|known| known.config == *config) {
            return Ok(known);
        }
        let made = Arc::new(ApproachPlan::build(config, self)?);
        lock(&self.approaches).insert(backend.to_owned(), made.clone());
        Ok(made)
    }

    /// Whom the system trusts; read anew when its store looks otherwise than `look`.
    ///
    /// # Errors
    /// It trusts nobody.
    pub(crate) fn system_authorities(&self, look: &str) -> Result<Authorities, String> {
        let mut system = lock(&self.system);
        if let Some((_, known)) = system.as_ref().filter(|(before, _)| before == look) {
            return Ok(known.clone());
        }
        let read = Authorities::system()?;
        *system = Some((look.to_owned(), read.clone()));
        Ok(read)
    }

    /// Open connections of all listeners, those of listeners that are gone included.
    pub(crate) fn connections(&self) -> u64 {
        let listeners = lock(&self.listeners);
        let open = listeners
            .values()
            .map(|counted| u64::from(counted.all.load(Ordering::Relaxed)));
        open.sum()
    }

    /// The instance's own key for cookies, which the first backend that needs it makes; empty without
    /// a source, as offline.
    pub(crate) fn affinity_key(&self) -> Arc<[u8]> {
        let make = || self.affinity_source.get().map(|source| source().into());
        let key = self.affinity_key.get_or_init(|| make().unwrap_or_default());
        key.clone()
    }

    /// Says where the instance's own key for cookies comes from; the first word counts.
    pub(crate) fn set_affinity_source(&self, source: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
        let _first = self.affinity_source.set(Box::new(source));
    }

    /// Zones that are being drained: they outlive snapshots.
    pub(crate) fn drained_zones(&self) -> Arc<BTreeSet<String>> {
        lock(&self.drained).clone()
    }

    /// Takes the zones that are being drained, for every backend there is and will be.
    pub(crate) fn drain_zones(&self, zones: BTreeSet<String>) {
        let zones = Arc::new(zones);
        let backends = lock(&self.backends);
        *lock(&self.drained) = zones.clone();
        for shared in backends.values() {
            shared.set_drained(&zones);
        }
    }

    /// Requests that are under way at endpoints which no list has any more: `(backend, address, requests)`.
    ///
    /// Those that wait at a backend that is in no snapshot count at each of its endpoints.
    pub(crate) fn departed(&self, is_there: impl Fn(&str) -> bool) -> Vec<(String, String, u32)> {
        let mut found = Vec::new();
        for (name, shared) in &*lock(&self.backends) {
            let mut add = |address: String, busy: u32| found.push((name.clone(), address, busy));
            for (address, busy) in shared.departed() {
                add(address, busy);
            }
            if is_there(name) {
                continue;
            }
            let waiting = shared.pending.load(Ordering::Relaxed);
            for endpoint in &shared.list.load().endpoints {
                let busy = endpoint.state.in_flight.load(Ordering::Relaxed);
                add(endpoint.address.clone(), busy.saturating_add(waiting));
            }
        }
        found.retain(|(_, _, busy)| *busy > 0);
        found
    }

    /// Forgets what nothing but the registry holds any more.
    pub(crate) fn sweep(&self) {
        lock(&self.backends).retain(|_, shared| Arc::strong_count(shared) > 1);
        lock(&self.approaches).retain(|_, approach| Arc::strong_count(approach) > 1);
        lock(&self.documents).retain(|_, document| Arc::strong_count(document) > 1);
        lock(&self.routes).retain(|_, stats| Arc::strong_count(stats) > 1);
        lock(&self.l4_routes).retain(|_, stats| Arc::strong_count(stats) > 1);
        lock(&self.listeners).retain(|_, counted| Arc::strong_count(counted) > 1);
        lock(&self.proxy_users).retain(|_, counts| Arc::strong_count(counts) > 1);
        lock(&self.tickets).retain(|_, tickets| tickets.is_used());
        self.data.sweep();
    }
}
