// SPDX-License-Identifier: Apache-2.0
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tidegate_core::{Clock, Moment};

/// Milliseconds one slot spans: how late a deadline may fire.
const SLOT_MS: u64 = 16;
/// Slots of the wheel; a deadline further away waits in the last one and is put back.
const SLOTS: u64 = 64;

/// The deadlines of one thread: a wheel whose entries are moved lazily.
///
/// Moving a deadline later, which every request does several times, writes one cell: the entry
/// stays in its slot and is put back when that slot comes up. A timer of the runtime would cost a
/// locked list operation each time.
pub(crate) struct Timers {
    clock: Clock,
    slots: RefCell<Vec<Vec<Rc<Entry>>>>,
    /// The next slot to look at, in slots since the clock's origin.
    cursor: Cell<u64>,
    sleeping_until: Cell<u64>,
    sleeper: Cell<Option<Waker>>,
    moment: Cell<Moment>,
}

struct Entry {
    /// Milliseconds of the clock; `u64::MAX` is none.
    deadline: Cell<u64>,
    /// The slot it waits in; `u64::MAX` is none.
    queued: Cell<u64>,
    waker: Cell<Option<Waker>>,
}

/// One deadline of one task.
pub(crate) struct Timer {
    entry: Rc<Entry>,
    timers: Rc<Timers>,
}

impl Timers {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        let now = clock.now();
        let cursor = now.millis() / SLOT_MS;
        Rc::new(Self {
            clock,
            moment: Cell::new(now),
            slots: RefCell::new((0..SLOTS).map(|_| Vec::new()).collect()),
            cursor: Cell::new(cursor),
            sleeping_until: Cell::new(u64::MAX),
            sleeper: Cell::new(None),
        })
    }

    /// Reads the clock, for [`Self::moment`].
    #[inline]
    pub(crate) fn look(&self) {
        self.moment.set(self.clock.now());
    }

    /// When the clock was read last: as the poll of a connection began, and before timers fire.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        self.moment.get()
    }

    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let entry = Entry {
            deadline: Cell::new(u64::MAX),
            queued: Cell::new(u64::MAX),
            waker: Cell::new(None),
        };
        Timer {
            entry: Rc::new(entry),
            timers: self.clone(),
        }
    }

    fn queue(&self, entry: &Rc<Entry>) {
        let cursor = self.cursor.get();
        let due = entry.deadline.get() / SLOT_MS + 1;
        let slot = due.clamp(cursor, cursor + SLOTS - 1);
        if entry.queued.get() <= slot {
            return;
        }
        entry.queued.set(slot);
        if let Some(list) = self.slots.borrow_mut().get_mut((slot % SLOTS) as usize) {
            list.push(entry.clone());
        }
        if slot < self.sleeping_until.get()
            && let Some(waker) = self.sleeper.take()
        {
            waker.wake();
        }
    }

    /// Fires what is due; returns when to look again, or `None` when nothing waits.
    pub(crate) fn turn(&self) -> Option<Moment> {
        self.look();
        let now_slot = self.moment().millis() / SLOT_MS;
        let first = self.cursor.get();
        if first <= now_slot {
            // All that is due is taken out before anything is put back.
            let mut due = Vec::new();
            for slot in first..=now_slot.min(first + SLOTS - 1) {
                if let Some(list) = self.slots.borrow_mut().get_mut((slot % SLOTS) as usize)
                    && !list.is_empty()
                {
                    // Taken with its memory: a list that was long once would stay so.
                    due.push((slot, std::mem::take(list)));
                }
            }
            self.cursor.set(now_slot + 1);
            for (slot, list) in due {
                for entry in list {
                    self.look_at(slot, now_slot, entry);
                }
            }
        }
        let slots = self.slots.borrow();
        let cursor = self.cursor.get();
        let next = (cursor..cursor + SLOTS).find(|slot| {
            slots
                .get((slot % SLOTS) as usize)
                .is_some_and(|list| !list.is_empty())
        });
        self.sleeping_until.set(next.unwrap_or(u64::MAX));
        next.map(|slot| Moment(slot * SLOT_MS * 1000))
    }

    fn look_at(&self, slot: u64, now_slot: u64, entry: Rc<Entry>) {
        // Put into an earlier slot since, or nobody holds the timer any more.
        if entry.queued.get() != slot || Rc::strong_count(&entry) == 1 {
            return;
        }
        entry.queued.set(u64::MAX);
        match entry.deadline.get() {
            u64::MAX => {}
            deadline if deadline / SLOT_MS < now_slot => {
                if let Some(waker) = entry.waker.take() {
                    waker.wake();
                }
            }
            _ => self.queue(&entry),
        }
    }

    /// Wakes every task that has a deadline, fired or not, so that it looks at the world again.
    pub(crate) fn wake_all(&self) {
        for entry in self.slots.borrow().iter().flatten() {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Turns the wheel for as long as the thread lives.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            let next = self.turn();
            let alarm = async {
                match next {
                    Some(moment) => {
                        tokio::time::sleep_until(self.clock.instant(moment).into()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let mut alarm = std::pin::pin!(alarm);
            let mut told = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut told, true) && self.woken_early() {
                    return Poll::Ready(());
                }
                self.sleeper.set(Some(cx.waker().clone()));
                alarm.as_mut().poll(cx)
            })
            .await;
        }
    }

    /// Whether an earlier slot was filled since: then [`Self::queue`] took the waker.
    fn woken_early(&self) -> bool {
        let waker = self.sleeper.take();
        let early = waker.is_none();
        self.sleeper.set(waker);
        early
    }
}

impl Timer {
    /// Sets the deadline; fires at most one slot late.
    #[inline]
    pub(crate) fn set(&self, at: Moment) {
        let deadline = at.millis();
        self.entry.deadline.set(deadline);
        if self.entry.queued.get() > deadline / SLOT_MS + 1 {
            self.timers.queue(&self.entry);
        }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.entry.deadline.get();
        if deadline == u64::MAX {
            return Poll::Pending;
        }
        let waker = match self.entry.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.entry.waker.set(Some(waker));
        match self.timers.moment().millis() > deadline {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
