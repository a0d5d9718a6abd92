// SPDX-License-Identifier: Apache-2.0
use super::flow::Flow;
use super::open::open;
use crate::downstream::Downstream;
use crate::thread::Thread;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

type Opening = Pin<Box<dyn Future<Output = Option<Box<Flow>>>>>;

/// Where a connection stands.
enum State {
    /// On its way to an endpoint: the memory for that goes when it is there.
    Opening(Opening),
    Flowing(Box<Flow>),
    Over,
}

/// One client connection's task.
struct Serving {
    state: State,
    thread: Rc<Thread>,
}

/// What is known of a connection before it is served.
pub(crate) enum Says {
    /// TLS, which is passed on by what its first message says.
    Hello,
    /// Something else, that begins with these bytes; of TLS that ends here none are known.
    Anything(Vec<u8>),
}

/// Serves a connection that was let in, in a task of its own.
pub(crate) fn start(connection: Box<Downstream>, says: Says) {
    let thread = connection.thread.clone();
    let place = connection.holding.place();
    let task = tokio::task::spawn_local(Serving {
        state: State::Opening(Box::pin(open(connection, says))),
        thread: thread.clone(),
    });
    thread.holders.attach(place, task.abort_handle());
}

impl Serving {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Opening(opening) => {
                    self.state = match ready!(opening.as_mut().poll(cx)) {
                        Some(flow) => State::Flowing(flow),
                        None => State::Over,
                    };
                }
                State::Flowing(flow) => {
                    ready!(flow.poll(cx));
                    self.state = State::Over;
                }
                State::Over => return Poll::Ready(()),
            }
        }
    }
}

impl Future for Serving {
    type Output = ();

    /// Ready at the connection's end. A defect in here ends this connection, counted, and nothing
    /// else.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.thread.timers.look();
        catch_unwind(AssertUnwindSafe(|| self.advance(cx))).unwrap_or_else(|_| {
            self.thread.stats.count(|stats| &stats.panics);
            self.state = State::Over;
            Poll::Ready(())
        })
    }
}
