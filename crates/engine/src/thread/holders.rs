// SPDX-License-Identifier: Apache-2.0
use super::Thread;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::rc::Rc;
use tokio::task::AbortHandle;

/// The client connections of one thread and how much memory each holds, so that those that hold
/// most can be ended when there is too little.
#[derive(Default)]
pub(crate) struct Holders {
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
}

/// One connection's place among them, given back when it is dropped.
pub(crate) struct Holding {
    thread: Rc<Thread>,
    place: u32,
}

impl Holding {
    pub(crate) fn new(thread: Rc<Thread>) -> Self {
        let place = thread.holders.enter();
        Self { thread, place }
    }

    /// Its number, for [`Holders::attach`].
    pub(crate) fn place(&self) -> u32 {
        self.place
    }

    /// Says how many bytes it holds now.
    #[inline]
    pub(crate) fn hold(&self, bytes: usize) {
        self.thread.holders.hold(self.place, bytes);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.thread.holders.leave(self.place);
    }
}

#[derive(Default)]
struct Place {
    /// Bytes held; 0 while it is idle.
    bytes: u32,
    task: Option<AbortHandle>,
}

impl Holders {
    /// A place for one more connection.
    fn enter(&self) -> u32 {
        if let Some(place) = self.free.borrow_mut().pop() {
            return place;
        }
        let mut places = self.places.borrow_mut();
        places.push(Place::default());
        places.len() as u32 - 1
    }

    /// The task that is to be ended for the connection to end.
    pub(crate) fn attach(&self, place: u32, task: AbortHandle) {
        if let Some(found) = self.places.borrow_mut().get_mut(place as usize) {
            found.task = Some(task);
        }
    }

    /// Says how many bytes the connection holds now.
    #[inline]
    fn hold(&self, place: u32, bytes: usize) {
        if let Some(found) = self.places.borrow_mut().get_mut(place as usize) {
            found.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
    }

    /// The connection is gone.
    fn leave(&self, place: u32) {
        let gone = self
            .places
            .borrow_mut()
            .get_mut(place as usize)
            .map(std::mem::take);
        drop(gone);
        self.free.borrow_mut().push(place);
    }

    /// Bytes held by each connection that is not idle, greatest first.
    pub(crate) fn sizes(&self) -> Vec<u32> {
        let places = self.places.borrow();
        let known = places.iter().filter(|place| place.task.is_some());
        let mut sizes: Vec<u32> = known.map(|place| place.bytes).collect();
        sizes.retain(|bytes| *bytes > 0);
        sizes.sort_unstable_by_key(|bytes| Reverse(*bytes));
        sizes
    }

    /// Ends the connections that hold most, at most `count` of them; returns how many.
    pub(crate) fn end(&self, count: usize) -> usize {
        let mut places = self.places.borrow_mut();
        let mut found: Vec<&mut Place> = places
            .iter_mut()
            .filter(|place| place.bytes > 0 && place.task.is_some())
            .collect();
        found.sort_unstable_by_key(|place| Reverse(place.bytes));
        let mut ended = 0;
        for place in found.into_iter().take(count) {
            place.bytes = 0;
            if let Some(task) = place.task.take() {
                task.abort();
                ended += 1;
            }
        }
        ended
    }
}
