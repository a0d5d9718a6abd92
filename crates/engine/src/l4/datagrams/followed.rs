// SPDX-License-Identifier: Apache-2.0
//! Connections of QUIC that are passed on, by the identifiers that their endpoints chose.
//!
//! A client's address may change while its connection goes on: the NAT in front of it has forgotten it, or it
//! is a phone on its way. What it sends then comes from a stranger, to any thread, and has nothing but the
//! identifier of who it belongs to. So that it gets to the same endpoint, what endpoints say of their
//! identifiers in the clear is remembered for the whole node, for as long as a session of theirs lasts.
use crate::l4::plan::L4RoutePlan;
use crate::snapshot::{BackendPlan, EndpointList};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_net::QuicId;

/// Parts of the table that have a lock each.
const SHARDS: usize = 16;
/// Identifiers remembered of one connection: an endpoint says one of its own, and one more where it demands a
/// token first.
pub(super) const IDS: usize = 4;
/// Bytes of the shortest identifier that tells connections apart.
const SHORTEST: usize = 4;
/// Bytes of the longest (RFC 9000 §17.2).
const LONGEST: usize = 20;

pub(super) type Ids = SmallVec<[QuicId; IDS]>;

type Shard = HashMap<QuicId, Weak<Followed>>;

/// Where one connection goes.
pub(super) struct Followed {
    table: Arc<Table>,
    /// The listener's, by its key: an identifier says nothing at another one.
    listener: String,
    ids: Mutex<Ids>,
    pub(super) route: Arc<L4RoutePlan>,
    pub(super) plan: Arc<BackendPlan>,
    pub(super) list: Arc<EndpointList>,
    /// The endpoint's in `list`.
    pub(super) index: usize,
    pub(super) target: SocketAddr,
    pub(super) host: Option<String>,
}

/// What is to be known of a connection that begins.
pub(super) struct Beginning {
    pub(super) listener: String,
    pub(super) route: Arc<L4RoutePlan>,
    pub(super) plan: Arc<BackendPlan>,
    pub(super) list: Arc<EndpointList>,
    pub(super) index: usize,
    pub(super) target: SocketAddr,
    pub(super) host: Option<String>,
}

/// All of the node's, by identifier. It has no more than [`IDS`] for each session.
#[derive(Default)]
struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// How many identifiers have each length: packets with short headers do not say it.
    lengths: [AtomicUsize; LONGEST + 1],
    hasher: std::hash::RandomState,
}

/// The table, as the node has it.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Table>);

impl Connections {
    /// Remembers a connection, of which no identifier is known yet.
    pub(super) fn follow(&self, beginning: Beginning) -> Arc<Followed> {
        let Beginning {
            listener,
            route,
            plan,
            list,
            index,
            target,
            host,
        } = beginning;
        Arc::new(Followed {
            table: self.0.clone(),
            listener,
            ids: Mutex::default(),
            route,
            plan,
            list,
            index,
            target,
            host,
        })
    }

    /// The connection that has `id` at a listener.
    pub(super) fn find(&self, listener: &str, id: &QuicId) -> Option<Arc<Followed>> {
        let followed = self.0.shard(id).get(id)?.upgrade()?;
        (followed.listener == listener).then_some(followed)
    }

    /// The one that a packet with a short header belongs to.
    pub(super) fn find_short(&self, listener: &str, packet: &[u8]) -> Option<Arc<Followed>> {
        let lengths = self.0.lengths.iter().enumerate().rev();
        let mut used = lengths.filter(|(_, count)| count.load(Ordering::Relaxed) > 0);
        used.find_map(|(length, _)| self.find(listener, &QuicId::of_short(packet, length)?))
    }
}

impl Table {
    fn shard(&self, id: &QuicId) -> MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(id) as usize % SHARDS;
        let shard = self.shards.get(place).unwrap_or(&self.shards[0]);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, id: &QuicId, add: impl Fn(&AtomicUsize)) {
        if let Some(count) = self.lengths.get(id.len()) {
            add(count);
        }
    }
}

impl Followed {
    /// The identifiers that are known by now.
    pub(super) fn ids(&self) -> Ids {
        self.own().clone()
    }

    fn own(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint has said that it is known by `id`; false when that is not remembered. Whoever said it first
    /// keeps it.
    pub(super) fn learn(self: &Arc<Self>, id: QuicId) -> bool {
        let mut own = self.own();
        if id.len() < SHORTEST || own.len() >= IDS {
            return false;
        }
        if own.contains(&id) {
            return true;
        }
        match self.table.shard(&id).entry(id) {
            Entry::Occupied(known) if known.get().strong_count() > 0 => return false,
            Entry::Occupied(mut gone) => {
                gone.insert(Arc::downgrade(self));
            }
            Entry::Vacant(free) => {
                free.insert(Arc::downgrade(self));
                self.table.count(&id, |count| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        }
        own.push(id);
        true
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        for id in self.ids() {
            let mut shard = self.table.shard(&id);
            // Another one may have it by now.
            if shard
                .get(&id)
                .is_some_and(|known| known.strong_count() == 0)
            {
                shard.remove(&id);
                self.table.count(&id, |count| {
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    }
}
