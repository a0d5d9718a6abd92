// SPDX-License-Identifier: Apache-2.0
use super::driver::STREAMS;
use super::link::{Link, Reserved, Terms};
use crate::http2::Shared;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_contract::EndpointState;
use tidegate_core::{ErrorKind, Moment};
use tokio::sync::Notify;

/// One thread's connections of HTTP/2, by endpoint.
#[derive(Default)]
pub(crate) struct Links {
    all: RefCell<HashMap<usize, Entry, foldhash::fast::RandomState>>,
}

struct Entry {
    links: Vec<Rc<Shared<Link>>>,
    openings: Vec<Rc<Opening>>,
    /// Streams that it allowed at a time on its last connection, or that are taken to be allowed.
    streams: u32,
    /// It chose HTTP/1.1 when it was asked last.
    is_plain: bool,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            openings: Vec::new(),
            streams: STREAMS,
            is_plain: false,
        }
    }
}

/// How an opening stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    UnderWay,
    /// There is a connection, or whoever was to open one has left.
    Over,
    Failed(ErrorKind, &'static str),
}

/// A connection that somebody opens, and for which others wait.
pub(super) struct Opening {
    terms: Terms,
    waiters: Cell<u32>,
    standing: Cell<Standing>,
    pub(super) told: Notify,
}

impl Opening {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            waiters: Cell::new(0),
            standing: Cell::new(Standing::UnderWay),
            told: Notify::new(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.get()
    }

    pub(super) fn settle(&self, standing: Standing) {
        if matches!(self.standing.get(), Standing::UnderWay) {
            self.standing.set(standing);
            self.told.notify_waiters();
        }
    }
}

/// Somebody who waits for a connection that another opens.
pub(super) struct Waiter(pub(super) Rc<Opening>);

impl Waiter {
    fn new(opening: &Rc<Opening>) -> Self {
        opening.waiters.set(opening.waiters.get() + 1);
        Self(Rc::clone(opening))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiters.set(self.0.waiters.get().saturating_sub(1));
    }
}

/// Who opens a connection; dropped without one, those who wait look again.
pub(super) struct Opener(Option<Rc<Opening>>);

impl Opener {
    pub(super) fn fail(&self, kind: ErrorKind, detail: &'static str) {
        if let Some(opening) = &self.0 {
            opening.settle(Standing::Failed(kind, detail));
        }
    }

    /// Leaves it to the connection to tell those who wait.
    pub(super) fn hand_over(mut self) -> Option<Rc<Opening>> {
        self.0.take()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if let Some(opening) = &self.0 {
            opening.settle(Standing::Over);
        }
    }
}

/// What a request that wants a stream finds.
pub(super) enum Found {
    /// A connection with room.
    Room(Reserved),
    /// One that is being opened and will have room.
    Soon(Waiter),
    /// None: the request is to open one.
    Nothing(Opener),
    /// The endpoint speaks HTTP/1.1.
    Plain,
}

/// A state outlives every connection counted in it, so its address names the endpoint.
fn key(state: &Arc<EndpointState>) -> usize {
    Arc::as_ptr(state) as usize
}

impl Links {
    /// Looks for room on a connection of these terms that has not been idle for more than `max_idle_ms`.
    pub(super) fn find(
        &self,
        state: &Arc<EndpointState>,
        terms: Terms,
        now: Moment,
        max_idle_ms: u64,
    ) -> Found {
        let mut all = self.all.borrow_mut();
        let entry = all.entry(key(state)).or_default();
        entry.links.retain(|link| !link.is_over());
        // The oldest first, so that the others can grow idle.
        let link = entry
            .links
            .iter()
            .find(|link| link.takes(terms, now, max_idle_ms));
        if let Some(link) = link {
            return Found::Room(Reserved::new(Rc::clone(link)));
        }
        if entry.is_plain {
            return Found::Plain;
        }
        let is_open = |opening: &&Rc<Opening>| {
            opening.terms == terms && opening.waiters.get() + 1 < entry.streams
        };
        entry
            .openings
            .retain(|opening| matches!(opening.standing(), Standing::UnderWay));
        if let Some(opening) = entry.openings.iter().find(is_open) {
            return Found::Soon(Waiter::new(opening));
        }
        let opening = Rc::new(Opening::new(terms));
        entry.openings.push(Rc::clone(&opening));
        Found::Nothing(Opener(Some(opening)))
    }

    /// Notes which version the endpoint chose.
    pub(super) fn note_plain(&self, state: &Arc<EndpointState>, is_plain: bool) {
        self.all
            .borrow_mut()
            .entry(key(state))
            .or_default()
            .is_plain = is_plain;
    }

    /// Takes a new connection.
    pub(super) fn add(&self, link: Rc<Shared<Link>>) {
        let mut all = self.all.borrow_mut();
        all.entry(key(&link.facts.state))
            .or_default()
            .links
            .push(link);
    }

    /// Notes how many streams an endpoint allows at a time.
    pub(super) fn note_streams(&self, state: &Arc<EndpointState>, streams: u32) {
        if let Some(entry) = self.all.borrow_mut().get_mut(&key(state)) {
            entry.streams = streams.clamp(1, STREAMS);
        }
    }

    /// Connections to the endpoint that carry nothing.
    pub(super) fn unused(&self, state: &Arc<EndpointState>) -> usize {
        let all = self.all.borrow();
        let links = all.get(&key(state)).map(|entry| entry.links.iter());
        let is_unused = |link: &&Rc<Shared<Link>>| link.is_unused() && !link.facts.is_ending.get();
        links.into_iter().flatten().filter(is_unused).count()
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&self) {
        self.all.borrow_mut().retain(|_, entry| {
            entry.links.retain(|link| !link.is_over());
            entry
                .openings
                .retain(|opening| matches!(opening.standing(), Standing::UnderWay));
            !entry.links.is_empty() || !entry.openings.is_empty()
        });
    }

    /// Ends the connections to one endpoint that carry nothing.
    pub(crate) fn forget(&self, state: &Arc<EndpointState>) {
        let all = self.all.borrow();
        let links = all.get(&key(state)).map(|entry| entry.links.iter());
        let unused = links.into_iter().flatten();
        unused
            .filter(|link| link.is_unused())
            .for_each(|link| link.retire());
    }

    /// Ends all that carry nothing.
    pub(crate) fn clear(&self) {
        for entry in self.all.borrow().values() {
            let unused = entry.links.iter().filter(|link| link.is_unused());
            unused.for_each(|link| link.retire());
        }
    }
}
