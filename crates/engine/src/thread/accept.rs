// SPDX-License-Identifier: Apache-2.0
use super::{Thread, announced, suspects};
use crate::downstream::{Downstream, Serving};
use crate::l4::{self, Says};
use crate::memory::Level;
use crate::snapshot::ListenerPlan;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tidegate_net::{Accepted, Listener, Peer, Stream, descriptor_limit};
use tokio::task::JoinHandle;

/// How long accepting pauses when the process is out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// Connections accepted between two questions for the limit of descriptors: fewer than are kept in
/// reserve of any sensible limit.
const LIMIT_ASKED: usize = 8;
/// Connections let in from a queue that is about to be closed; it holds no more.
const MOST_QUEUED: usize = 4096;
/// Connections accepted before other tasks get their turn.
const BATCH: usize = 16;

struct Door {
    listener: Rc<Listener>,
    task: JoinHandle<()>,
}

/// The open listening sockets of one thread, by key.
#[derive(Default)]
pub(crate) struct Doors {
    open: HashMap<String, Door>,
}

impl Doors {
    /// Opens sockets that are new and closes those no listener has any more. A socket whose
    /// listener stays is not touched, whatever else changed about the listener.
    pub(crate) fn reconcile(&mut self, thread: &Rc<Thread>, sockets: Vec<(String, OwnedFd)>) {
        let current = thread.current();
        let is_wanted = |key: &String| {
            let mut listeners = current.snapshot.listeners.iter();
            listeners.any(|listener| listener.keys().any(|each| each == key))
        };
        thread.ports.borrow_mut().keep(is_wanted);
        thread.gates.borrow_mut().keep(is_wanted);
        self.open.retain(|key, door| {
            let stays = is_wanted(key);
            if !stays {
                door.task.abort();
            }
            stays
        });
        for (key, fd) in sockets {
            if self.open.contains_key(&key) || !is_wanted(&key) {
                continue;
            }
            if key.starts_with("udp:") {
                if thread.kin.has_left() {
                    continue;
                }
                let mut listeners = current.snapshot.listeners.iter();
                match listeners.any(|listener| listener.key == key) {
                    true => thread.ports.borrow_mut().open(thread, key, fd),
                    false => thread.gates.borrow_mut().open(thread, key, fd),
                }
                continue;
            }
            if let Ok(listener) = Listener::new(fd) {
                let listener = Rc::new(listener);
                let task = accept(thread.clone(), listener.clone(), key.clone());
                let task = tokio::task::spawn_local(task);
                self.open.insert(key, Door { listener, task });
            }
        }
    }

    /// Closes all. Whoever waits in a queue that nobody else looks after is let in first: closing it
    /// would reset connections whose requests have been sent.
    pub(crate) fn close(&mut self, thread: &Rc<Thread>, has_heir: bool) {
        match (thread.kin.has_left(), has_heir) {
            (true, _) => thread.gates.borrow().wake(),
            // Whoever comes next reads from the same sockets, and brings nothing here.
            (false, true) => {
                thread.ports.borrow_mut().keep(|_| false);
                thread.gates.borrow_mut().abandon();
            }
            (false, false) => {
                thread.ports.borrow().drain();
                thread.gates.borrow_mut().keep(|_| false);
            }
        }
        for (key, Door { listener, task }) in self.open.drain() {
            task.abort();
            for _ in 0..if has_heir { 0 } else { MOST_QUEUED } {
                match listener.accept_now() {
                    Some(Accepted::Connection(stream, peer)) => admit(thread, &key, stream, peer),
                    Some(Accepted::Gone) => {}
                    Some(Accepted::Exhausted(_)) | None => break,
                }
            }
        }
    }
}

async fn accept(thread: Rc<Thread>, listener: Rc<Listener>, key: String) {
    let mut in_a_row = 0;
    let mut limit = 0;
    loop {
        if in_a_row % LIMIT_ASKED == 0 {
            limit = descriptor_limit();
        }
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Accepted::Connection(stream, peer) => {
                let is_one_of_the_last = stream.is_one_of_the_last(limit);
                admit(&thread, &key, stream, peer);
                if is_one_of_the_last {
                    pause(&thread, &listener).await;
                }
            }
            Accepted::Gone => {}
            Accepted::Exhausted(_) => pause(&thread, &listener).await,
        }
        in_a_row += 1;
        if in_a_row >= BATCH {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until there are descriptors for more clients. What is left of them is for those that are
/// there, for endpoints, logs, the disk and whoever asks for the node's status.
async fn pause(thread: &Rc<Thread>, listener: &Listener) {
    thread.stats.count(|stats| &stats.refused_descriptors);
    loop {
        // Idle connections of the pool are the first to give their descriptors back.
        thread.pool.clear();
        thread.links.clear();
        tokio::time::sleep(EXHAUSTED).await;
        if !listener.is_short_of_descriptors() {
            return;
        }
    }
}

fn admit(thread: &Rc<Thread>, key: &str, mut stream: Stream, peer: Peer) {
    let current = thread.current();
    let Some(plan) = current
        .snapshot
        .listeners
        .iter()
        .find(|plan| plan.key == key)
    else {
        return;
    };
    // What is measured from now on must not be from when this thread was last busy.
    thread.timers.look();
    let is_proxy = peer != Peer::Unix && plan.is_proxy(peer.address());
    let is_exempt = peer == Peer::Unix || is_proxy;
    let Ok(per_address) = thread.admit(plan, peer.address(), is_exempt) else {
        stream.reset_on_close();
        return;
    };
    if plan.tls.is_some() && !plan.is_mixed() {
        stream.secure();
    }
    let connection = Downstream::new(thread.clone(), plan.clone(), stream, peer, per_address);
    match is_proxy {
        true => announced::wait(connection),
        false => begin_in_turn(connection),
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its client is one of those that get no answer.
    Unseen,
    /// There are too many, or there is too little memory.
    Full,
}

impl Thread {
    /// Counts a new connection in, if its listener takes it; by which limit for its address. `is_exempt`: it
    /// is no client's, or a proxy's, whose clients are judged.
    pub(crate) fn admit(
        &self,
        plan: &ListenerPlan,
        address: IpAddr,
        is_exempt: bool,
    ) -> Result<u32, Refused> {
        self.stats.count(|stats| &stats.accepted);
        if !is_exempt && !plan.admission.admits(address) {
            self.stats.count(|stats| &stats.refused_client);
            return Err(Refused::Unseen);
        }
        // Whoever asks how the node is should learn it: that listener has limits of its own.
        if self.node.memory.level() > Level::Ample && !plan.config.named_only {
            self.stats.count(|stats| &stats.refused_memory);
            return Err(Refused::Full);
        }
        let limits = &plan.config.limits;
        let pace = &plan.counted.pace;
        if let Some(rate) = limits.connection_rate
            && !pace.take(self.now(), rate, limits.connection_burst)
        {
            self.stats.count(|stats| &stats.refused_rate);
            return Err(Refused::Full);
        }
        let is_trusted = || self.current().snapshot.settings.is_trusted(address);
        let per_address = match is_exempt || is_trusted() {
            true => 0,
            false => limits.connections_per_address,
        };
        match plan.counted.enter(address, limits.connections, per_address) {
            true => Ok(per_address),
            false => {
                self.stats.count(|stats| &stats.refused);
                Err(Refused::Full)
            }
        }
    }
}

/// Serves a connection of which it is known whose it is, when it may begin.
pub(super) fn begin_in_turn(connection: Box<Downstream>) {
    match connection.is_suspect() {
        true => suspects::wait(connection),
        false => begin(connection),
    }
}

/// Serves a connection.
pub(super) fn begin(connection: Box<Downstream>) {
    let listener = &connection.listener;
    match (listener.is_mixed(), listener.is_l4()) {
        (true, _) => l4::sort(connection),
        (_, true) => {
            let says = match listener.is_passing() {
                true => Says::Hello,
                false => Says::Anything(Vec::new()),
            };
            l4::start(connection, says);
        }
        (_, false) => Serving::start(connection),
    }
}
