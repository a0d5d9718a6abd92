// SPDX-License-Identifier: Apache-2.0
use crate::downstream::Identifiers;
use crate::l4::Connections;
use crate::memory::Budget;
use crate::service;
use crate::snapshot::{Registry, Snapshot, Store};
use crate::thread::{self, Command, Handed, WAITING};
use serde::Deserialize;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Clock, Moment};
use tidegate_net::{raise_descriptor_limit, set_not_dumpable};
use tidegate_telemetry::{LogWriter, ThreadStats};
use tokio::sync::mpsc;

/// How long the last lines of the log may take when the node ends.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How a node is started: JSON from the supervisor.
///
/// What it does not know it passes over: the supervisor may be of another version, before an
/// upgrade or after one that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeConfig {
    /// The instance's name.
    pub instance: String,
    /// Where the snapshot is kept.
    pub runtime_directory: PathBuf,
    /// Event loops for traffic; at least 1.
    pub threads: usize,
    /// The package's version, for `status`.
    pub version: String,
    /// Names the compiled module, so that a supervisor can tell its own from another.
    pub build: String,
    /// Where lines on standard error are for people: local time, in seconds east of UTC. JSON without it.
    pub log_offset_s: Option<i64>,
}

/// What every thread of the node may reach.
pub(crate) struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) clock: Clock,
    pub(crate) started: Moment,
    pub(crate) registry: Registry,
    pub(crate) log: LogWriter,
    pub(crate) store: Store,
    pub(crate) memory: Budget,
    /// Of connections of QUIC.
    pub(crate) identifiers: Identifiers,
    /// Connections of QUIC that are passed on.
    pub(crate) passed: Connections,
    stats: Vec<Arc<ThreadStats>>,
    /// Where a thread is handed packets that came to another.
    handed: Vec<mpsc::Sender<Handed>>,
}

impl Node {
    fn new(config: NodeConfig, handed: Vec<mpsc::Sender<Handed>>) -> io::Result<Arc<Self>> {
        if let Some(offset) = config.log_offset_s {
            crate::service::for_people(offset);
        }
        let clock = Clock::system();
        Ok(Arc::new(Self {
            started: clock.now(),
            registry: Registry::new(clock.clone(), config.threads),
            log: LogWriter::start(crate::service::warn)?,
            store: Store::new(&config.runtime_directory),
            memory: Budget::new(),
            stats: (0..config.threads).map(|_| Arc::default()).collect(),
            identifiers: Identifiers::default(),
            passed: Connections::default(),
            handed,
            clock,
            config,
        }))
    }

    /// Hands a packet to the thread it belongs to; it is lost if that has too many waiting.
    pub(crate) fn hand_over(&self, thread: usize, packet: Handed) {
        if let Some(other) = self.handed.get(thread) {
            let _ = other.try_send(packet);
        }
    }

    /// The counters of one thread.
    pub(crate) fn thread_stats(&self, index: usize) -> Arc<ThreadStats> {
        self.stats.get(index).cloned().unwrap_or_default()
    }

    /// The counters of all threads.
    pub(crate) fn all_thread_stats(&self) -> Vec<Arc<ThreadStats>> {
        self.stats.clone()
    }
}

/// Runs a node until it is told to stop. `control` is the listening Unix socket of the control
/// protocol, bound by the supervisor.
///
/// # Errors
/// When threads or runtimes cannot be made; what goes wrong later is logged and survived.
pub fn run_node(mut config: NodeConfig, control: OwnedFd) -> io::Result<()> {
    config.threads = config.threads.clamp(1, 256);
    set_not_dumpable()?;
    raise_descriptor_limit();
    let (handed, taken): (Vec<_>, Vec<_>) =
        (0..config.threads).map(|_| mpsc::channel(WAITING)).unzip();
    let node = Node::new(config, handed)?;
    let empty = Arc::new(Snapshot::empty());
    let mut commands = Vec::new();
    let mut handles = Vec::new();
    for (index, taken) in taken.into_iter().enumerate() {
        let (sender, receiver) = mpsc::unbounded_channel::<Command>();
        let (node, empty) = (node.clone(), empty.clone());
        let handle = std::thread::Builder::new()
            .name(format!("tidegate-{index}"))
            .spawn(move || thread::run(index, node, empty, receiver, taken))?;
        commands.push(sender);
        handles.push(handle);
    }
    let outcome = service::run(node.clone(), empty, commands, control);
    for handle in handles {
        // Its channel is closed: it ends by itself, unless it panicked, which was counted.
        let _ = handle.join();
    }
    // A sink that takes nothing must not keep a stopped node alive.
    node.log.flush(LAST_LINES);
    outcome
}
