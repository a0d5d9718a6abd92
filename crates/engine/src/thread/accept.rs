// SPDX-License-Identifier: Apache-2.0
use super::Thread;
use crate::downstream::{Downstream, Serving};
use crate::snapshot::{Counted, ListenerPlan};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidegate_net::{Accepted, Listener, Peer, Stream};
use tokio::task::JoinHandle;

/// How long accepting pauses when the process is out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// Connections accepted before other tasks get their turn.
const BATCH: usize = 16;

/// The open listening sockets of one thread, by key.
#[derive(Default)]
pub(crate) struct Doors {
    open: HashMap<String, JoinHandle<()>>,
}

impl Doors {
    /// Opens sockets that are new and closes those no listener has any more. A socket whose
    /// listener stays is not touched, whatever else changed about the listener.
    pub(crate) fn reconcile(&mut self, thread: &Rc<Thread>, sockets: Vec<(String, OwnedFd)>) {
        let current = thread.current();
        let is_wanted = |key: &String| {
            current
                .snapshot
                .listeners
                .iter()
                .any(|listener| listener.key == *key)
        };
        self.open.retain(|key, task| {
            let stays = is_wanted(key);
            if !stays {
                task.abort();
            }
            stays
        });
        for (key, fd) in sockets {
            if self.open.contains_key(&key) || !is_wanted(&key) {
                continue;
            }
            if let Ok(listener) = Listener::new(fd) {
                let task = accept(thread.clone(), listener, key.clone());
                self.open.insert(key, tokio::task::spawn_local(task));
            }
        }
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        for (_, task) in self.open.drain() {
            task.abort();
        }
    }
}

async fn accept(thread: Rc<Thread>, listener: Listener, key: String) {
    let mut in_a_row = 0;
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Accepted::Connection(stream, peer) => admit(&thread, &key, stream, peer),
            Accepted::Gone => {}
            Accepted::Exhausted(_) => {
                // Idle connections of the pool are the first to give their descriptors back.
                thread.pool.clear();
                thread.stats.count(|stats| &stats.refused);
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
        in_a_row += 1;
        if in_a_row >= BATCH {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// A client connection as its limits see it; gives its place back when dropped.
pub(crate) struct Seat {
    thread: Rc<Thread>,
    counted: Arc<Counted>,
    address: IpAddr,
    per_address: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.counted.leave(self.address, self.per_address);
        self.thread
            .connections
            .set(self.thread.connections.get().saturating_sub(1));
    }
}

fn admit(thread: &Rc<Thread>, key: &str, stream: Stream, peer: Peer) {
    let current = thread.current();
    let found = current
        .snapshot
        .listeners
        .iter()
        .enumerate()
        .find(|(_, plan)| plan.key == key);
    let Some((index, plan)) = found else { return };
    thread.stats.count(|stats| &stats.accepted);
    let Some(seat) = seat(thread, &current.snapshot.settings, plan, peer) else {
        thread.stats.count(|stats| &stats.refused);
        stream.reset_on_close();
        return;
    };
    let connection = Downstream::new(thread.clone(), plan.clone(), index, stream, peer, seat);
    tokio::task::spawn_local(Serving::new(connection));
}

fn seat(
    thread: &Rc<Thread>,
    settings: &crate::snapshot::Settings,
    plan: &ListenerPlan,
    peer: Peer,
) -> Option<Seat> {
    let address = peer.address();
    let limits = &plan.config.limits;
    let is_exempt = peer == Peer::Unix || settings.is_trusted(address);
    let per_address = if is_exempt {
        0
    } else {
        limits.connections_per_address
    };
    if !plan.counted.enter(address, limits.connections, per_address) {
        return None;
    }
    thread.connections.set(thread.connections.get() + 1);
    Some(Seat {
        thread: thread.clone(),
        counted: plan.counted.clone(),
        address,
        per_address,
    })
}
