// SPDX-License-Identifier: Apache-2.0
use super::drain::Drain;
use super::resolve;
use crate::functions::Checkers;
use crate::node::Node;
use crate::snapshot::{Problem, Snapshot, Stored};
use crate::thread::Command;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::{AccessLogFormat, Delta, EndpointSet};
use tidegate_contract::Health;
use tidegate_telemetry::LogFormat;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Notify, oneshot};

/// How long an acknowledgement waits for the disk.
const SLOW_DISK: Duration = Duration::from_secs(5);

/// What the service thread holds.
pub(crate) struct Service {
    pub(crate) node: Arc<Node>,
    pub(super) threads: Vec<UnboundedSender<Command>>,
    snapshot: RefCell<Arc<Snapshot>>,
    /// Listening sockets by key, one for each thread where there are several.
    pub(crate) sockets: RefCell<BTreeMap<String, Vec<OwnedFd>>>,
    /// The newest endpoint list of every backend, for the disk.
    endpoints: RefCell<HashMap<String, EndpointSet>>,
    /// One change at a time.
    pub(super) changing: Mutex<()>,
    /// Connections to the workers whose functions are health checks.
    pub(super) checkers: Checkers,
    /// Told when backends, checks or endpoints may have changed.
    pub(crate) changed: Notify,
    pub(crate) is_started: RefCell<bool>,
    /// Sockets of UDP are another node's until it leaves them to this one.
    pub(super) waits_for_datagrams: Cell<bool>,
    pub(crate) drain: Drain,
    /// What the checks of the node before this one had found, by backend and endpoint, until the
    /// first snapshot.
    learnt: RefCell<HashMap<(String, String), Health>>,
}

/// What taking a snapshot came to.
pub(crate) struct Taken {
    pub(crate) number: u64,
    /// Microseconds spent compiling.
    pub(crate) build_us: u64,
    /// Microseconds until the last thread had it.
    pub(crate) swap_us: u64,
}

impl Service {
    pub(crate) fn new(
        node: Arc<Node>,
        snapshot: Arc<Snapshot>,
        threads: Vec<UnboundedSender<Command>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            node,
            threads,
            snapshot: RefCell::new(snapshot),
            sockets: RefCell::default(),
            endpoints: RefCell::default(),
            changing: Mutex::new(()),
            checkers: Checkers::default(),
            changed: Notify::new(),
            is_started: RefCell::new(false),
            waits_for_datagrams: Cell::new(false),
            drain: Drain::default(),
            learnt: RefCell::default(),
        })
    }

    /// The snapshot in force.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    pub(crate) fn graceful_stop(&self) -> Duration {
        self.snapshot().settings.config.graceful_stop.duration()
    }

    /// Sees to it that every exchange that is over is in the log, unless that takes over `limit`.
    pub(crate) async fn flush_log(&self, limit: Duration) {
        let mut waits = Vec::new();
        for thread in &self.threads {
            let (done, wait) = oneshot::channel();
            if thread.send(Command::FlushLog(done)).is_ok() {
                waits.push(wait);
            }
        }
        let all = async {
            for wait in waits {
                let _ = wait.await;
            }
        };
        if tokio::time::timeout(limit, all).await.is_ok() {
            let node = self.node.clone();
            let _ = tokio::task::spawn_blocking(move || node.log.flush(limit)).await;
        }
    }

    /// Starts from the disk, if something usable is there.
    ///
    /// # Errors
    /// What is wrong with it; the node then waits for control.
    pub(crate) async fn start(&self, from_disk: bool) -> Result<u64, Vec<Problem>> {
        *self.is_started.borrow_mut() = true;
        if !from_disk {
            // What is there is the snapshot of the node that this one replaces.
            return Ok(0);
        }
        match self.node.store.load() {
            Stored::Nothing => Ok(0),
            Stored::Unusable(why) => Err(vec![Problem::new("snapshot.json", why)]),
            Stored::Snapshot(delta) => self.take(&delta).await.map(|taken| taken.number),
        }
    }

    /// Compiles a delta and puts it in force on every thread, or changes nothing.
    ///
    /// # Errors
    /// All problems at once.
    pub(crate) async fn take(&self, delta: &Delta) -> Result<Taken, Vec<Problem>> {
        let _turn = self.changing.lock().await;
        let clock = &self.node.clock;
        let begun = clock.now();
        let base = self.snapshot();
        let base = (base.number > 0).then_some(base);
        let fresh = Arc::new(Snapshot::apply(
            base.as_deref(),
            delta,
            &self.node.registry,
        )?);
        self.check_sockets(&fresh)?;
        for set in &delta.endpoints {
            self.set_endpoints(set);
        }
        resolve::settle(&fresh).await;
        self.apply_learnt(&fresh);
        let built = clock.now();
        self.swap(&fresh).await;
        let swapped = clock.now();
        self.set_log(&fresh);
        super::affinity_key::warn(&self.snapshot(), &fresh);
        *self.snapshot.borrow_mut() = fresh.clone();
        self.endpoints
            .borrow_mut()
            .retain(|name, _| fresh.backends.contains_key(name.as_str()));
        self.node.registry.sweep();
        self.changed.notify_waiters();
        self.save();
        Ok(Taken {
            number: fresh.number,
            build_us: built.micros_since(begun),
            swap_us: swapped.micros_since(built),
        })
    }

    /// Takes what another node's checks had found: else a node that replaces it would send requests
    /// to endpoints that are down until its own checks have found out.
    pub(crate) fn learn(&self, found: impl IntoIterator<Item = ((String, String), Health)>) {
        self.learnt.borrow_mut().extend(found);
    }

    fn apply_learnt(&self, fresh: &Snapshot) {
        let learnt = self.learnt.take();
        if learnt.is_empty() {
            return;
        }
        // An endpoint that nothing checks would stay down for ever.
        for plan in fresh.backends.values().filter(|plan| plan.check.is_some()) {
            for endpoint in &plan.shared.list.load().endpoints {
                let key = (plan.name.to_string(), endpoint.address.clone());
                if let Some(health) = learnt.get(&key) {
                    endpoint.state.set_health(*health);
                }
            }
        }
    }

    fn check_sockets(&self, snapshot: &Snapshot) -> Result<(), Vec<Problem>> {
        let sockets = self.sockets.borrow();
        let wanted = snapshot
            .listeners
            .iter()
            .flat_map(|plan| plan.keys().map(move |key| (plan, key)));
        let problems: Vec<Problem> = wanted
            .filter(|(_, key)| !sockets.contains_key(*key))
            .map(|(plan, key)| {
                let message = format!("no socket was handed over for {key}");
                Problem::new(format!("Listener {}", plan.name), message)
            })
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    /// Takes a newer endpoint list; an older one is ignored.
    pub(crate) fn set_endpoints(&self, set: &EndpointSet) {
        let shared = self.node.registry.backend(&set.backend);
        if shared.set_endpoints(set, self.node.clock.now()) {
            self.endpoints
                .borrow_mut()
                .insert(set.backend.clone(), set.clone());
        }
    }

    pub(super) async fn swap(&self, snapshot: &Arc<Snapshot>) {
        let mut waits = Vec::new();
        for (index, thread) in self.threads.iter().enumerate() {
            let (done, wait) = oneshot::channel();
            let sockets = self.sockets_of(index, snapshot);
            if thread
                .send(Command::Swap(snapshot.clone(), sockets, done))
                .is_ok()
            {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
    }

    /// Descriptors of the sockets of one thread.
    fn sockets_of(&self, thread: usize, snapshot: &Snapshot) -> Vec<(String, OwnedFd)> {
        let sockets = self.sockets.borrow();
        let keys = snapshot.listeners.iter().flat_map(|plan| plan.keys());
        let waits = self.waits_for_datagrams.get();
        let own = keys.filter(|key| !waits || !key.starts_with("udp:"));
        own.filter_map(|key| {
            let all = sockets.get(key)?;
            let own = all.get(thread % all.len().max(1))?;
            Some((key.clone(), own.as_fd().try_clone_to_owned().ok()?))
        })
        .collect()
    }

    fn set_log(&self, fresh: &Snapshot) {
        let before = self.snapshot();
        let (old, settings) = (&before.settings.config, &fresh.settings.config);
        let new = &settings.access_log;
        let is_same = old.access_log == *new
            && old.slow_request == settings.slow_request
            && old.redact_query == settings.redact_query
            && old.redact_fields == settings.redact_fields;
        if is_same && before.number > 0 {
            return;
        }
        let format = LogFormat {
            redact_query: settings.redact_query.clone(),
            redact_fields: settings.redact_fields.clone(),
            is_combined: new
                .as_ref()
                .is_some_and(|log| log.format == AccessLogFormat::Combined),
            constants: new
                .iter()
                .flat_map(|log| &log.constants)
                .map(|constant| (constant.name.clone(), constant.value.clone()))
                .collect(),
            one_in: new.as_ref().map_or(1, |log| log.one_in),
            slow_us: settings.slow_request.map(|limit| limit.0 * 1000),
        };
        self.node
            .log
            .set_output(new.as_ref().map(|log| log.path.clone().into()), format);
    }

    /// Waits until what was saved before is on disk, so that what is acknowledged then outlives the
    /// node. A disk that fails or takes very long keeps nobody from going on: it is told, and the
    /// snapshot is in force.
    pub(crate) async fn until_saved(&self) {
        let store = &self.node.store;
        let saved = store.until_dealt_with(store.offered());
        if tokio::time::timeout(SLOW_DISK, saved).await.is_err() {
            super::warn("the disk is slow: a snapshot is in force and not yet kept");
        }
    }

    /// Writes the snapshot to disk beside the traffic; a failure is told and changes nothing.
    pub(crate) fn save(&self) {
        let endpoints = self.endpoints.borrow().values().cloned().collect();
        let whole = self.snapshot().to_delta(endpoints);
        if !self.node.store.offer(whole) {
            return;
        }
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || {
            while let Some(outcome) = node.store.write_offered() {
                if let Err(error) = outcome {
                    super::warn(&format!("the snapshot could not be kept on disk: {error}"));
                }
            }
        });
    }
}
