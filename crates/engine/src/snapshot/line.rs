// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who waits, first come, first served: the first alone is told of room, and passes on what is left
/// when it goes.
#[derive(Debug, Default)]
pub(crate) struct Line {
    length: AtomicU32,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_turn: BTreeMap<u64, Waiter>,
}

#[derive(Debug, Default)]
struct Waiter {
    is_told: bool,
    waker: Option<Waker>,
}

impl Waiting {
    fn tell_first(&mut self) -> Option<Waker> {
        let mut first = self.by_turn.first_entry()?;
        first.get_mut().is_told = true;
        first.get_mut().waker.take()
    }
}

/// A place in a line; dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    line: &'a Line,
    number: u64,
}

impl Line {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anyone waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
    }

    /// The last place. Who is first is told at once: there may be room by now.
    pub(crate) fn enter(&self) -> Turn<'_> {
        self.length.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        let waiter = Waiter {
            is_told: waiting.by_turn.is_empty(),
            waker: None,
        };
        waiting.by_turn.insert(number, waiter);
        Turn { line: self, number }
    }

    /// Tells the first that there may be room.
    pub(crate) fn tell(&self) {
        let waker = self.waiting().tell_first();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Turn<'_> {
    /// Ready once this is the first and was told since it was asked last.
    pub(crate) fn poll_told(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.line.waiting();
        let Some(waiter) = waiting.by_turn.get_mut(&self.number) else {
            return Poll::Ready(());
        };
        if std::mem::take(&mut waiter.is_told) {
            return Poll::Ready(());
        }
        waiter.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn is_first(&self) -> bool {
        let waiting = self.line.waiting();
        let first = waiting.by_turn.first_key_value();
        first.is_some_and(|(number, _)| *number == self.number)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waker = {
            let mut waiting = self.line.waiting();
            waiting.by_turn.remove(&self.number);
            waiting.tell_first()
        };
        self.line.length.fetch_sub(1, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use std::task::{Context, Waker};

    #[test]
    fn the_first_alone_is_told_and_the_next_when_it_goes() {
        let line = Line::default();
        let cx = Context::from_waker(Waker::noop());
        assert!(line.is_empty());
        let first = line.enter();
        let (second, third) = (line.enter(), line.enter());
        assert!(first.poll_told(&cx).is_ready(), "it may look at once");
        assert!(first.poll_told(&cx).is_pending());
        line.tell();
        assert!(second.poll_told(&cx).is_pending());
        assert!(first.poll_told(&cx).is_ready() && first.is_first());
        drop(second);
        assert!(
            third.poll_told(&cx).is_pending(),
            "one that gave up changes nothing"
        );
        assert!(first.poll_told(&cx).is_ready(), "and costs a look");
        drop(first);
        assert!(third.poll_told(&cx).is_ready() && third.is_first());
        drop(third);
        assert!(line.is_empty());
        line.tell();
    }
}
