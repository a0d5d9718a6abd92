// SPDX-License-Identifier: Apache-2.0
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_contract::EndpointState;
use tidegate_core::Moment;
use tidegate_net::Stream;

/// An open connection to an endpoint; counted there for as long as it is open.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    state: Arc<EndpointState>,
    /// The terms of TLS that it was opened under, as [`BackendPlan::terms_of_tls`] numbers them.
    ///
    /// [`BackendPlan::terms_of_tls`]: crate::snapshot::BackendPlan::terms_of_tls
    terms: u64,
    /// Whether a request was sent on it before.
    pub(crate) is_reused: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream, state: Arc<EndpointState>, terms: u64) -> Self {
        state.connections.fetch_add(1, Ordering::Relaxed);
        Self {
            stream,
            state,
            terms,
            is_reused: false,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    connection: Connection,
    since: Moment,
    expires: Moment,
}

/// One thread's idle connections, by endpoint; the one used last is taken first, so that the
/// others can grow old.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<usize, Vec<Idle>, foldhash::fast::RandomState>>,
}

/// A state outlives every connection counted in it, so its address names the endpoint.
fn key(state: &Arc<EndpointState>) -> usize {
    Arc::as_ptr(state) as usize
}

impl Pool {
    /// A connection of these terms that is quiet and has not been idle for more than `max_idle_ms`.
    pub(crate) fn take(
        &self,
        state: &Arc<EndpointState>,
        terms: u64,
        now: Moment,
        max_idle_ms: u64,
    ) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&key(state))?;
        while let Some(entry) = list.pop() {
            // What was opened under other terms was verified otherwise, or not at all.
            let is_other = entry.connection.terms != terms;
            if is_other || now >= entry.expires || !entry.connection.stream.is_quiet() {
                continue; // dropped, and so closed
            }
            if now > entry.since.after_millis(max_idle_ms) {
                // The youngest is too old for an unsafe method, not for the next safe one.
                list.push(entry);
                return None;
            }
            let mut connection = entry.connection;
            connection.is_reused = true;
            return Some(connection);
        }
        None
    }

    /// Keeps a connection until `expires`, if fewer than `limit` wait there.
    pub(crate) fn give(&self, connection: Connection, now: Moment, expires: Moment, limit: usize) {
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(key(&connection.state)).or_default();
        if list.len() < limit {
            list.push(Idle {
                connection,
                since: now,
                expires,
            });
        }
    }

    /// Closes what has expired or was closed by its endpoint.
    pub(crate) fn sweep(&self, now: Moment) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|entry| now < entry.expires && entry.connection.stream.is_quiet());
            !list.is_empty()
        });
    }

    /// Closes the idle connections of one endpoint.
    pub(crate) fn forget(&self, state: &Arc<EndpointState>) {
        self.idle.borrow_mut().remove(&key(state));
    }

    /// Closes everything.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}
