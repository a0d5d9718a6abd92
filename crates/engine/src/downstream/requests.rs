// SPDX-License-Identifier: Apache-2.0
//! Where the requests of a connection are carried out.
use super::UnderWay;
use super::connection::{After, Downstream};
use super::head::Head;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A connection on its way into the future and out of it.
#[derive(Default)]
enum Desk {
    #[default]
    Empty,
    /// The request that begins with this head is to be carried out.
    Begun(Box<Downstream>, Head),
    Ended(Box<Downstream>, After),
}

/// Carries out requests, one after the other.
///
/// The future that does is some 6 KiB, and to allocate it, move it there and free it takes 1,200
/// instructions, a twentieth of a request. So it is made for the first request and kept for the next,
/// until the connection rests.
pub(super) struct Requests {
    desk: Rc<Cell<Desk>>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// Futures kept for the next stream, which lives for one request only.
const KEPT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Requests>> = const { RefCell::new(Vec::new()) };
}

impl Requests {
    /// One that was kept, or a new one.
    pub(super) fn take() -> Self {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(Self::new)
    }

    /// Keeps one whose last request is over.
    pub(super) fn keep(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(self);
            }
        });
    }

    pub(super) fn new() -> Self {
        let desk = Rc::new(Cell::default());
        let future = Box::pin(carry_out(Rc::clone(&desk)));
        Self { desk, future }
    }

    /// Has the request that begins with `head` carried out by the next polls.
    pub(super) fn begin(&self, connection: Box<Downstream>, head: Head) {
        self.desk.set(Desk::Begun(connection, head));
    }

    /// Ready when it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Box<Downstream>, After)> {
        let _ = self.future.as_mut().poll(cx); // it has no end
        match self.desk.take() {
            Desk::Ended(connection, after) => Poll::Ready((connection, after)),
            _ => Poll::Pending,
        }
    }
}

async fn carry_out(desk: Rc<Cell<Desk>>) {
    loop {
        if let Desk::Begun(connection, head) = desk.take() {
            let mut under_way = UnderWay(Some(connection));
            if let Some(connection) = &mut under_way.0 {
                let after = connection.busy(head).await;
                if let Some(connection) = under_way.0.take() {
                    desk.set(Desk::Ended(connection, after));
                }
            }
        }
        // Until it is polled for the next one.
        let mut is_over = false;
        poll_fn(|_| match std::mem::replace(&mut is_over, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_out_a_request_has_no_room_for_what_is_rare() {
        // A client's connection may have a hundred.
        let future = carry_out(Rc::default());
        assert!(size_of_val(&future) <= 6 << 10, "{}", size_of_val(&future));
    }
}
