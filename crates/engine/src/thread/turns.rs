// SPDX-License-Identifier: Apache-2.0
use super::Thread;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Pieces that are moved before everybody else's work is looked at again, a few microseconds each.
pub(crate) const PIECES: usize = 16;
/// The same for heads of HTTP/2, of which a turn is some 4 KiB: a tenth of a millisecond for those made to be costly.
pub(crate) const HEADS: usize = 1;
/// The same for steps of TLS handshakes, some of which take a hundred times as long as a piece.
pub(crate) const HANDSHAKES: usize = 2;
/// The same for relays that have more to pass on than they may at a time, and for clients whose requests, sent one behind
/// the other, have taken a `SLICE_US`.
pub(crate) const BUSY: usize = 2;

/// Microseconds that a relay, or a connection of HTTP/1.1, may take for what it brought before everybody else's work is
/// looked at again.
const SLICE_US: u64 = 100;

/// Turns for clients that send a request, or take a response, piece by piece; for heads of HTTP/2, and for TLS handshakes.
///
/// Some thousands of them may do so at once. Each that is woken asks for a turn before it moves
/// anything, which costs a fraction of moving; beyond a few they stand in a line, and whoever sent a
/// whole request waits for a few of them and not for all. A response that goes out as fast as it comes
/// stands in it too, once in a while.
pub(crate) struct Turns {
    /// How many are given at a time.
    count: usize,
    /// Turns that may be had without waiting.
    left: Cell<usize>,
    line: RefCell<VecDeque<Waker>>,
    /// Numbers given to those who stood in the line, and those of them who were called.
    given: Cell<u64>,
    called: Cell<u64>,
    giver: Cell<Option<Waker>>,
}

impl Thread {
    /// Whether the task that is polled now has had its share of the time.
    pub(crate) fn is_over_time(&self) -> bool {
        self.now().micros_since(self.moment()) >= SLICE_US
    }
}

/// A place in the line.
#[derive(Default)]
pub(crate) struct Turn(Option<u64>);

impl Turns {
    /// So many at a time.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            left: Cell::default(),
            line: RefCell::default(),
            given: Cell::default(),
            called: Cell::default(),
            giver: Cell::default(),
        }
    }

    /// Ready once, when it is the turn of `turn`.
    pub(crate) fn poll(&self, turn: &mut Turn, cx: &mut Context<'_>) -> Poll<()> {
        let number = match turn.0 {
            Some(number) => number,
            None => {
                let left = self.left.get();
                if left > 0 && self.line.borrow().is_empty() {
                    self.left.set(left - 1);
                    return Poll::Ready(());
                }
                self.stand(turn, cx)
            }
        };
        if number < self.called.get() {
            turn.0 = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Stands in the line: `turn` comes after those who stand there, and after what has come meanwhile.
    pub(crate) fn stand(&self, turn: &mut Turn, cx: &Context<'_>) -> u64 {
        self.line.borrow_mut().push_back(cx.waker().clone());
        let number = self.given.get();
        self.given.set(number + 1);
        if let Some(giver) = self.giver.take() {
            giver.wake();
        }
        *turn.0.insert(number)
    }

    /// Calls those who are first in the line; false when nobody is in it.
    fn call(&self) -> bool {
        let mut line = self.line.borrow_mut();
        let count = line.len().min(self.count);
        self.left.set(self.count - count);
        self.called.set(self.called.get() + count as u64);
        line.drain(..count).for_each(Waker::wake);
        if line.is_empty() {
            *line = VecDeque::new(); // thousands may have stood in it
        }
        count > 0
    }
}

/// Gives the turns that `of` chooses, with a pause after each call, for as long as the thread lives.
pub(crate) async fn give(thread: Rc<Thread>, of: fn(&Thread) -> &Turns, pause: Duration) {
    let turns = of(&thread);
    loop {
        if turns.call() {
            match pause {
                // What has come meanwhile goes first.
                Duration::ZERO => tokio::task::yield_now().await,
                _ => tokio::time::sleep(pause).await,
            }
            continue;
        }
        let mut is_told = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_told, true) {
                return Poll::Ready(());
            }
            turns.giver.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_and_the_rest_in_their_order() {
        let turns = Turns::new(PIECES);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!turns.call());
        let mut all: Vec<Turn> = (0..3 * PIECES).map(|_| Turn::default()).collect();
        let mut served = Vec::new();
        while served.len() < all.len() {
            for (number, turn) in all.iter_mut().enumerate() {
                if !served.contains(&number) && turns.poll(turn, &mut cx).is_ready() {
                    served.push(number);
                }
            }
            assert_eq!(served.len() % PIECES, 0);
            turns.call();
        }
        assert_eq!(served, Vec::from_iter(0..all.len()));
    }

    #[test]
    fn who_comes_later_does_not_take_the_turn_of_who_was_called() {
        let turns = Turns::new(PIECES);
        let mut cx = Context::from_waker(Waker::noop());
        let mut first: Vec<Turn> = (0..PIECES).map(|_| Turn::default()).collect();
        assert!(
            first
                .iter_mut()
                .all(|turn| turns.poll(turn, &mut cx).is_pending())
        );
        assert!(turns.call());
        assert!(turns.poll(&mut Turn::default(), &mut cx).is_pending());
        assert!(
            first
                .iter_mut()
                .all(|turn| turns.poll(turn, &mut cx).is_ready())
        );
    }
}
