// SPDX-License-Identifier: Apache-2.0
use super::link::Link;
use crate::thread::Thread;
use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Milliseconds before a connection that ended is made again, the first time and at most.
const PAUSE_MS: (u64, u64) = (20, 1000);

thread_local! {
    /// A filter is shared by all threads and is handed an exchange only: this is how a policy finds
    /// the connections of the thread it runs on.
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// The function workers as one thread reaches them.
///
/// A connection is made to every worker that the snapshot names, before there is a call for it, and
/// made again when it ends. It takes calls once the worker has said `Ready`. So a worker that is
/// loading, that hangs or that waits for its restart gets none: its socket stays open all the time,
/// and the connection in its queue is the probe that tells when somebody serves there.
pub(crate) struct Here {
    pub(crate) thread: Rc<Thread>,
    links: RefCell<HashMap<String, Rc<Link>, foldhash::fast::RandomState>>,
    /// Told when a connection takes calls, or does so no more.
    changed: Rc<Notify>,
}

/// Says which thread this is; once, before it serves anything.
pub(crate) fn enter(thread: &Rc<Thread>) {
    let here = Here {
        thread: thread.clone(),
        links: RefCell::default(),
        changed: Rc::default(),
    };
    HERE.with(|place| *place.borrow_mut() = Some(Rc::new(here)));
    dial();
}

/// This thread; `None` where nothing is served.
pub(crate) fn here() -> Option<Rc<Here>> {
    HERE.with(|place| place.borrow().clone())
}

/// Connects to the workers of this thread's snapshot that it knows no connection to.
pub(crate) fn dial() {
    let Some(here) = here() else { return };
    let current = here.thread.current();
    let functions = current.snapshot.functions.values();
    for path in functions.flat_map(|function| &function.config.workers) {
        if !here.links.borrow().contains_key(path) {
            let link = here.connect(path);
            tokio::task::spawn_local(here.clone().keep(path.clone(), link));
        }
    }
}

impl Here {
    /// The connection to the worker that listens at `path`, if it takes calls.
    pub(crate) fn link(&self, path: &str) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        links.get(path).filter(|link| link.is_ready()).cloned()
    }

    /// Told when a connection takes calls, or does so no more.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    fn connect(&self, path: &str) -> Rc<Link> {
        let link = Rc::new(Link::new(self.changed.clone()));
        self.links
            .borrow_mut()
            .insert(path.to_owned(), link.clone());
        // One that is closing lives on in its task until its calls are over.
        tokio::task::spawn_local(link.clone().drive(path.into()));
        link
    }

    /// Makes the connection again whenever it ends, as long as the snapshot names the worker.
    async fn keep(self: Rc<Self>, path: String, mut link: Rc<Link>) {
        let (first, longest) = PAUSE_MS;
        let mut pause = first;
        loop {
            self.until_finished(&link).await;
            if link.has_been_ready() {
                pause = first;
            }
            // A worker that closes in good order has a successor at the same socket.
            if !link.is_closing() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                pause = (pause * 2).min(longest);
            }
            if !self.is_wanted(&path) {
                self.links.borrow_mut().remove(&path);
                return;
            }
            link = self.connect(&path);
        }
    }

    async fn until_finished(&self, link: &Link) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Listens before it looks.
            changed.as_mut().enable();
            if link.is_finished() {
                return;
            }
            changed.await;
        }
    }

    fn is_wanted(&self, path: &str) -> bool {
        let current = self.thread.current();
        let mut functions = current.snapshot.functions.values();
        functions.any(|function| function.config.workers.iter().any(|worker| worker == path))
    }
}
