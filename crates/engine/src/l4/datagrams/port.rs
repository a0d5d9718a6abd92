// SPDX-License-Identifier: Apache-2.0
use super::open::open;
use super::session::Session;
use crate::thread::Thread;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tidegate_net::{Arrival, Datagrams, Reception};
use tokio::task::JoinHandle;

/// How long a socket is left alone after an error that is not about a datagram.
const FAULT: Duration = Duration::from_millis(50);

/// By what sessions are told apart: the client's address and port, and what it sent to.
pub(super) type Key = (SocketAddr, Option<IpAddr>);

/// The sockets of one thread that take datagrams for routes, by the listener's key.
#[derive(Default)]
pub(crate) struct Ports {
    open: HashMap<String, (Rc<Port>, JoinHandle<()>)>,
}

impl Ports {
    /// Takes datagrams from a socket that is new.
    pub(crate) fn open(&mut self, thread: &Rc<Thread>, key: String, fd: OwnedFd) {
        if self.open.contains_key(&key) {
            return;
        }
        let Ok(socket) = Datagrams::new(fd) else {
            return;
        };
        socket.allow_fragments();
        let port = Rc::new(Port {
            thread: thread.clone(),
            key: key.clone(),
            socket,
            sessions: RefCell::default(),
            replies: RefCell::default(),
            is_closed: Cell::new(false),
        });
        let task = tokio::task::spawn_local(read(port.clone()));
        self.open.insert(key, (port, task));
    }

    /// Closes those whose listener is gone, and their sessions: without the socket nobody is answered.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&String) -> bool) {
        self.open.retain(|key, (port, task)| {
            let stays = is_wanted(key);
            if !stays {
                task.abort();
                port.close();
            }
            stays
        });
    }

    /// Has sessions end that are silent, now that no new ones begin.
    pub(crate) fn drain(&self) {
        for (port, _) in self.open.values() {
            port.each(|session| session.set_timer());
        }
    }
}

/// A listener's socket on one thread.
pub(super) struct Port {
    pub(super) thread: Rc<Thread>,
    pub(super) key: String,
    pub(super) socket: Datagrams,
    sessions: RefCell<HashMap<Key, Rc<Session>>>,
    /// Where answers lie between two sockets: nothing stays in it.
    pub(super) replies: RefCell<Reception>,
    pub(super) is_closed: Cell<bool>,
}

impl Port {
    fn take(self: &Rc<Self>, arrival: Arrival, bytes: &[u8], stride: usize) {
        let key = (arrival.peer, arrival.local);
        let known = self.sessions.borrow().get(&key).cloned();
        let session = match known {
            Some(session) => session,
            None if self.thread.is_draining.get() => return,
            None => {
                let Some(session) = open(self, key) else {
                    return;
                };
                let session = Rc::new(session);
                self.sessions.borrow_mut().insert(key, session.clone());
                tokio::task::spawn_local(session.clone().run(self.clone()));
                session
            }
        };
        session.forward(bytes, stride, arrival.ecn);
    }

    pub(super) fn forget(&self, key: &Key) {
        self.sessions.borrow_mut().remove(key);
    }

    fn each(&self, act: impl Fn(&Session)) {
        self.sessions.borrow().values().for_each(|each| act(each));
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.each(Session::look);
    }
}

async fn read(port: Rc<Port>) {
    let mut reception = Reception::default();
    loop {
        match poll_fn(|cx| port.socket.poll_receive(cx, &mut reception)).await {
            Ok(count) => {
                port.thread.timers.look();
                for (arrival, bytes, stride) in reception.trains(count) {
                    port.take(arrival, bytes, stride);
                }
                // Sessions and everybody else get their turn.
                tokio::task::yield_now().await;
            }
            Err(_) => tokio::time::sleep(FAULT).await,
        }
    }
}
