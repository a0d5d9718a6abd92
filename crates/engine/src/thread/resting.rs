// SPDX-License-Identifier: Apache-2.0
use super::Thread;
use crate::downstream::{Rest, Serving};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tidegate_core::Moment;
use tidegate_net::RestingSet;

/// Idle connections that have been quiet for a while. Here each is an entry of a list: its task,
/// its timer and the runtime's watch of its socket are gone until it has something to say.
#[derive(Default)]
pub(crate) struct Resting {
    set: OnceCell<RestingSet>,
    places: RefCell<Places>,
    /// Counts every entry ever made, so that word of an old one does not reach its successor.
    made: Cell<u32>,
}

#[derive(Default)]
struct Places {
    entries: Vec<Option<(u32, Rest)>>,
    free: Vec<u32>,
}

impl Places {
    fn take(&mut self, place: u32, is_meant: impl Fn(u32, &Rest) -> bool) -> Option<Rest> {
        let entry = self.entries.get_mut(place as usize)?;
        let (_, rest) = entry.take_if(|(made, rest)| is_meant(*made, rest))?;
        self.free.push(place);
        if self.free.len() == self.entries.len() {
            *self = Self::default(); // the last one: thousands may have rested before
        }
        Some(rest)
    }
}

impl Resting {
    /// Opens the set.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(crate) fn open(&self) -> io::Result<()> {
        let fresh = RestingSet::new()?;
        let _ = self.set.set(fresh); // opened once
        Ok(())
    }

    /// Puts a connection to rest; gives it back when it cannot be watched.
    pub(crate) fn put(&self, rest: Rest) -> Result<(), Rest> {
        let Some(set) = self.set.get() else {
            return Err(rest);
        };
        let made = self.made.get().wrapping_add(1);
        self.made.set(made);
        let mut places = self.places.borrow_mut();
        let place = match places.free.pop() {
            Some(place) => place,
            None => {
                places.entries.push(None);
                places.entries.len() as u32 - 1
            }
        };
        if set.add(&rest.fd, pack(place, made)).is_err() {
            places.free.push(place);
            return Err(rest);
        }
        if let Some(entry) = places.entries.get_mut(place as usize) {
            self.tell(&rest, 1);
            *entry = Some((made, rest));
        }
        Ok(())
    }

    fn wake(&self, rest: Rest) {
        self.forget(&rest);
        Serving::start(rest.resume());
    }

    fn forget(&self, rest: &Rest) {
        self.tell(rest, -1);
        if let Some(set) = self.set.get() {
            set.remove(&rest.fd);
        }
    }

    fn tell(&self, rest: &Rest, change: i64) {
        let count = &rest.thread().stats.resting;
        let now = count.load(Ordering::Relaxed);
        count.store(now.wrapping_add_signed(change), Ordering::Relaxed);
    }

    /// Wakes those that have been idle for too long.
    pub(crate) fn sweep(&self, now: Moment) {
        self.each(|rest| rest.idle_until <= now, |rest| self.wake(rest));
    }

    /// Wakes all, so that each looks at the world again.
    pub(crate) fn wake_all(&self) {
        self.each(|_| true, |rest| self.wake(rest));
    }

    /// Closes all but those of our own pages, without a task for each: memory is short.
    pub(crate) fn close(&self) {
        self.each(|rest| !rest.is_own(), |rest| self.forget(&rest));
    }

    fn each(&self, is_meant: impl Fn(&Rest) -> bool, act: impl Fn(Rest)) {
        let count = self.places.borrow().entries.len() as u32;
        for place in 0..count {
            let found = self
                .places
                .borrow_mut()
                .take(place, |_, rest| is_meant(rest));
            if let Some(rest) = found {
                act(rest);
            }
        }
    }
}

/// Wakes resting connections that have something to say, for as long as the thread lives.
pub(crate) async fn listen(thread: Rc<Thread>) {
    let resting = &thread.resting;
    let Some(set) = resting.set.get() else {
        return;
    };
    let mut ready = Vec::new();
    while poll_fn(|cx| set.poll_ready(cx, &mut ready)).await.is_ok() {
        for number in ready.drain(..) {
            let (place, made) = unpack(number);
            let found = (resting.places.borrow_mut()).take(place, |found, _| found == made);
            if let Some(rest) = found {
                resting.wake(rest);
            }
        }
    }
}

fn pack(place: u32, made: u32) -> usize {
    (made as usize) << 32 | place as usize
}

fn unpack(number: usize) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}
