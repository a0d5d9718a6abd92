// SPDX-License-Identifier: Apache-2.0
//! One event loop of the node and everything that belongs to it alone.

mod accept;
mod announced;
mod buffers;
mod debts;
mod holders;
mod kin;
mod main;
mod packets;
mod parcel;
mod pool;
mod resting;
mod suspects;
#[cfg(test)]
mod tests;
mod timers;
mod turns;

use crate::files::FilesPlan;
use crate::l4::Ports;
use crate::memory::Level;
use crate::node::Node;
use crate::snapshot::Snapshot;
use crate::upstream::Links;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use tidegate_core::digits::hex;
use tidegate_core::{Clock, Draw, Moment};
use tidegate_http::HttpDate;
use tidegate_request::Storage;
use tidegate_telemetry::{LogBatch, LogEntry, LogSender, RouteStats, TEXTS, ThreadStats};

pub(crate) use accept::Refused;
pub(crate) use buffers::{BUFFER, Buffer, Buffers, LARGE};
pub(crate) use holders::{Holders, Holding};
pub(crate) use kin::Kin;
pub(crate) use main::{Command, run};
use packets::Gates;
pub(crate) use packets::{Handed, Origin, WAITING};
pub(crate) use parcel::Parcel;
pub(crate) use pool::{Connection, Pool};
pub(crate) use resting::Resting;
use suspects::Suspects;
pub(crate) use timers::{Timer, Timers};
pub(crate) use turns::{Turn, Turns};

/// Storages a thread keeps, and the bytes one of them may hold.
const STORAGES: usize = 256;
const STORAGE_BYTES: usize = 16 << 10;
/// Failed handshakes that the log is told of in a second.
const HANDSHAKES_LOGGED: u32 = 10;
/// Bytes of log text after which a batch is handed over.
const LOG_BATCH: usize = 32 << 10;

/// What the tasks of one thread share. Never leaves its thread.
pub(crate) struct Thread {
    pub(crate) index: usize,
    pub(crate) node: Arc<Node>,
    pub(crate) clock: Clock,
    pub(crate) timers: Rc<Timers>,
    pub(crate) buffers: Buffers,
    pub(crate) pool: Pool,
    pub(crate) links: Links,
    pub(crate) resting: Resting,
    pub(crate) turns: Turns,
    pub(crate) heads: Turns,
    pub(crate) handshakes: Turns,
    pub(crate) busy: Turns,
    pub(crate) suspects: Suspects,
    pub(crate) holders: Holders,
    gates: RefCell<Gates>,
    ports: RefCell<Ports>,
    /// The nodes before and after this one.
    pub(crate) kin: Kin,
    pub(crate) draw: RefCell<Draw>,
    pub(crate) stats: Arc<ThreadStats>,
    /// Set once: no new connections, and an answer is the last one on its connection.
    pub(crate) is_draining: Cell<bool>,
    /// Set some time after: idle connections are closed.
    pub(crate) closes_idle: Cell<bool>,
    /// What can say between two of its messages that it ends does so: the rest is about to be cut.
    pub(crate) leaves: Cell<bool>,
    /// Open client connections.
    pub(crate) connections: Cell<usize>,
    snapshot: RefCell<Rc<Current>>,
    log: RefCell<LogBatch>,
    log_sender: LogSender,
    storages: RefCell<Vec<Storage>>,
    /// Folders of which something is remembered here.
    files: RefCell<Vec<Weak<FilesPlan>>>,
    request_prefix: String,
    /// The last second asked for, and its text.
    date: Cell<(u64, HttpDate)>,
    request_count: Cell<u64>,
    /// A second, and how many failed handshakes the log was told of in it.
    handshakes_logged: Cell<(u64, u32)>,
}

/// The snapshot as one thread holds it: requests clone the `Rc`, so that the count shared by all
/// threads is touched once per change instead of once per request.
pub(crate) struct Current {
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Current {
    fn new(snapshot: Arc<Snapshot>) -> Rc<Self> {
        Rc::new(Self { snapshot })
    }
}

impl Thread {
    fn new(index: usize, node: Arc<Node>, snapshot: Arc<Snapshot>) -> Rc<Self> {
        let clock = node.clock.clone();
        let mut draw = Draw::from_entropy();
        let request_prefix = format!("{:012x}{:02x}", draw.bits() >> 16, index & 0xff);
        Rc::new(Self {
            index,
            timers: Timers::new(clock.clone()),
            buffers: Buffers::default(),
            pool: Pool::default(),
            links: Links::default(),
            resting: Resting::default(),
            turns: Turns::new(turns::PIECES),
            heads: Turns::new(turns::HEADS),
            handshakes: Turns::new(turns::HANDSHAKES),
            busy: Turns::new(turns::BUSY),
            suspects: Suspects::default(),
            holders: Holders::default(),
            gates: RefCell::default(),
            ports: RefCell::default(),
            kin: Kin::default(),
            draw: RefCell::new(draw),
            stats: node.thread_stats(index),
            is_draining: Cell::new(false),
            closes_idle: Cell::new(false),
            leaves: Cell::new(false),
            connections: Cell::new(0),
            snapshot: RefCell::new(Current::new(snapshot)),
            log: RefCell::default(),
            log_sender: node.log.sender(),
            storages: RefCell::default(),
            files: RefCell::default(),
            request_prefix,
            date: Cell::new((0, HttpDate::at(0))),
            request_count: Cell::new(0),
            handshakes_logged: Cell::default(),
            clock,
            node,
        })
    }

    /// The snapshot in force; keep it for the whole of a request.
    #[inline]
    pub(crate) fn current(&self) -> Rc<Current> {
        self.snapshot.borrow().clone()
    }

    fn swap(&self, snapshot: Arc<Snapshot>) {
        // The old one is dropped after the borrow: its end may be long.
        let old = std::mem::replace(&mut *self.snapshot.borrow_mut(), Current::new(snapshot));
        drop(old);
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// When the poll of the connection that is served now began: good enough for most, and a request
    /// asks for the time a dozen times. Only for what connections do; elsewhere it may be old.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        self.timers.moment()
    }

    /// A name no other request has: 14 characters of this thread, 12 of a count.
    pub(crate) fn request_id(&self, out: &mut String) {
        let count = self.request_count.get();
        self.request_count.set(count + 1);
        out.clear();
        out.reserve_exact(self.request_prefix.len() + 12);
        out.push_str(&self.request_prefix);
        out.push_str(std::str::from_utf8(&hex::<12>(count)).unwrap_or_default());
    }

    /// Whether a failed handshake is to be in the log: a few in a second tell as much as thousands.
    pub(crate) fn may_log_handshake(&self) -> bool {
        let second = self.wall_seconds();
        let (last, count) = self.handshakes_logged.get();
        let count = if last == second { count } else { 0 };
        self.handshakes_logged
            .set((second, count.saturating_add(1)));
        count < HANDSHAKES_LOGGED
    }

    /// Seconds since 1970.
    pub(crate) fn wall_seconds(&self) -> u64 {
        self.clock.wall_micros(self.now()) / 1_000_000
    }

    /// The time now, for `Date`.
    pub(crate) fn date(&self) -> HttpDate {
        let seconds = self.clock.wall_micros(self.moment()) / 1_000_000;
        let (known, date) = self.date.get();
        if known == seconds {
            return date;
        }
        let date = HttpDate::at(seconds);
        self.date.set((seconds, date));
        date
    }

    /// Memory for the fields of a message, left from an earlier one if there is some.
    pub(crate) fn take_storage(&self) -> Option<Storage> {
        self.storages.borrow_mut().pop()
    }

    /// Keeps the memory of a message for a later one, unless it has grown large.
    pub(crate) fn give_storage(&self, storage: Option<Storage>) {
        let mut storages = self.storages.borrow_mut();
        if let Some(storage) = storage
            && storages.len() < STORAGES
            && storage.memory() <= STORAGE_BYTES
        {
            storages.push(storage);
        }
    }

    /// Gives back memory that only waits for its next use, and what idle connections hold.
    fn spare(&self) {
        self.buffers.clear();
        *self.storages.borrow_mut() = Vec::new();
        self.pool.clear();
        self.links.clear();
        if self.node.memory.level() == Level::Closes {
            self.resting.close();
            // Those that do not rest yet look whether they are still wanted.
            self.timers.wake_all();
        }
    }

    /// Counts a finished exchange.
    pub(crate) fn count(&self, stats: Option<&RouteStats>, entry: &LogEntry) {
        self.stats.count(|stats| &stats.requests);
        if let Some(error) = entry.error {
            self.stats.count_error(error);
        }
        if let Some(stats) = stats {
            stats.record(
                entry.status,
                entry.duration_us,
                entry.bytes_in,
                entry.bytes_out,
                entry.retries,
            );
            if let Some(code) = entry.grpc_status {
                stats.count_call(code);
            }
        }
    }

    /// Puts a finished exchange in the log.
    pub(crate) fn log(&self, entry: LogEntry, texts: [&[u8]; TEXTS]) {
        let mut log = self.log.borrow_mut();
        log.push(entry, texts);
        if log.size() >= LOG_BATCH {
            self.log_sender.send(std::mem::take(&mut *log));
        }
    }

    /// Has a folder's memory looked through from time to time, now that it holds something.
    pub(crate) fn remember_files(&self, plan: &Arc<FilesPlan>) {
        let mut files = self.files.borrow_mut();
        if !files
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(plan))
        {
            files.push(Arc::downgrade(plan));
        }
    }

    /// Lets go of files that nobody asked for in a while.
    fn sweep_files(&self) {
        let now = self.now();
        self.files.borrow_mut().retain(|plan| {
            let plan = plan.upgrade();
            plan.is_some_and(|plan| {
                plan.store(self.index)
                    .is_some_and(|mut store| store.sweep(now))
            })
        });
    }

    /// Wakes every idle connection, so that it looks at the world again.
    pub(crate) fn wake_all(&self) {
        self.timers.wake_all();
        self.resting.wake_all();
    }

    /// Hands over what has gathered in the log.
    pub(crate) fn flush_log(&self) {
        let mut log = self.log.borrow_mut();
        if !log.is_empty() {
            self.log_sender.send(std::mem::take(&mut *log));
        }
    }
}
