// SPDX-License-Identifier: Apache-2.0
//! Packets of UDP: the sockets of one thread, and those that come to another than the one their connection
//! belongs to. The kernel spreads packets by their sender's address, which may change.
use super::Thread;
use crate::downstream::Endpoint;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tidegate_net::Arrival;
use tokio::sync::mpsc;

/// Packets that may wait for a thread to take them over. More are lost, as in any other queue on their way.
pub(crate) const WAITING: usize = 1024;

/// By whom a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The kernel.
    Socket,
    /// The node that has replaced this one. `is_strict`: it has a session of the same client, so that only one
    /// of which it can be told takes the packet here.
    Heir { is_strict: bool },
    /// The node that this one has replaced, which does not know it either.
    Elder,
}

/// A packet that came to another thread than it belongs to.
pub(crate) struct Handed {
    pub(crate) origin: Origin,
    /// The listener's socket it came by.
    pub(crate) key: String,
    pub(crate) arrival: Arrival,
    pub(crate) packet: Vec<u8>,
}

/// Where the packets of one thread are taken, by the socket's key.
#[derive(Default)]
pub(crate) struct Gates {
    open: HashMap<String, Rc<Endpoint>>,
}

impl Gates {
    /// Takes packets from a socket that is new.
    pub(super) fn open(&mut self, thread: &Rc<Thread>, key: String, fd: OwnedFd) {
        if self.open.contains_key(&key) {
            return;
        }
        if let Ok(endpoint) = Endpoint::open(thread, &key, fd) {
            tokio::task::spawn_local(endpoint.clone().run());
            self.open.insert(key, endpoint);
        }
    }

    /// Lets go of sockets that no listener has any more, once their last connection is over.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&String) -> bool) {
        self.open.retain(|key, endpoint| {
            let stays = is_wanted(key);
            if !stays {
                endpoint.close();
            }
            stays
        });
    }

    /// Leaves all sockets to the node that takes this one's place, and brings the packets that are not its own.
    pub(super) fn leave(&self) {
        for endpoint in self.open.values() {
            endpoint.leave();
        }
    }

    /// Leaves all sockets to a node that brings nothing.
    pub(super) fn abandon(&mut self) {
        for (_, endpoint) in self.open.drain() {
            endpoint.leave();
            endpoint.abandon();
        }
    }

    /// Has all connections look whether they are wanted.
    pub(super) fn wake(&self) {
        for endpoint in self.open.values() {
            endpoint.wake_connections();
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<Rc<Endpoint>> {
        self.open.get(key).cloned()
    }
}

/// Takes over what other threads hand on.
pub(super) async fn take_over(thread: Rc<Thread>, mut handed: mpsc::Receiver<Handed>) {
    while let Some(Handed {
        origin,
        key,
        arrival,
        packet,
    }) = handed.recv().await
    {
        let endpoint = thread.gates.borrow().find(&key);
        if let Some(endpoint) = endpoint {
            endpoint.take_over(origin, arrival, &packet);
        }
    }
}
