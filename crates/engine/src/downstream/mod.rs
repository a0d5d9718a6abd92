// SPDX-License-Identifier: Apache-2.0
//! The client's side of the request path.
//!
//! [`Serving`] is one connection's task. While it is idle it owns no buffer and no request: those
//! live in [`Downstream::busy`], which is boxed when the first byte arrives and dropped after the
//! last one.

mod absence;
mod body;
mod connection;
mod cookies;
mod exchange;
mod filters;
mod internal;
mod journey;
mod mapping;
mod record;
mod reply;
mod trace;
mod upload;

use crate::thread::Thread;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub(crate) use absence::{Absence, Expired};
use connection::Waited;
pub(crate) use connection::{Downstream, Rest};
pub(crate) use exchange::head_limits;
pub(crate) use internal::metrics_text;
pub(crate) use journey::Journey;
#[cfg(test)]
pub(crate) use mapping::map_back;
pub(crate) use record::Record;
pub(crate) use reply::fixed_answer;
pub(crate) use upload::{Upload, UploadError};

type Busy = Pin<Box<dyn Future<Output = (Option<Box<Downstream>>, bool)>>>;

/// A connection with a request under way. Dropped before its end, by a defect or for want of
/// memory, it is reset: after half a response, a close could pass for its end.
struct UnderWay(Option<Box<Downstream>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.stream.reset_on_close();
        }
    }
}

/// One client connection's task. Written out by hand: an async function would keep room for every
/// state at once, and thousands of idle connections would pay for what few of them do.
pub(crate) struct Serving {
    /// Here while the connection is idle.
    idle: Option<Box<Downstream>>,
    /// Requests under way.
    busy: Option<Busy>,
    /// Whether nothing has been read since it came, or came back from its rest.
    is_fresh: bool,
    thread: Rc<Thread>,
}

impl Serving {
    /// Serves a connection, in a task of its own, until it is over or rests.
    pub(crate) fn start(connection: Box<Downstream>) {
        let thread = connection.thread.clone();
        let place = connection.holding.place();
        let task = tokio::task::spawn_local(Self {
            idle: Some(connection),
            busy: None,
            is_fresh: true,
            thread: thread.clone(),
        });
        thread.holders.attach(place, task.abort_handle());
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(busy) = &mut self.busy {
                let (connection, stays) = ready!(busy.as_mut().poll(cx));
                self.busy = None;
                let Some(mut connection) = connection.filter(|_| stays) else {
                    return Poll::Ready(());
                };
                connection.become_idle();
                self.idle = Some(connection);
            }
            let Some(connection) = &mut self.idle else {
                return Poll::Ready(());
            };
            let tried = match std::mem::take(&mut self.is_fresh) {
                true => {
                    connection.set_idle_timer();
                    connection.try_read()
                }
                false => None,
            };
            let waited = match tried {
                Some(waited) => waited,
                None => ready!(connection.poll_request(cx)),
            };
            match (waited, self.idle.take()) {
                (Waited::Request, Some(connection)) => {
                    let mut under_way = UnderWay(Some(connection));
                    let busy = async move {
                        let stays = match &mut under_way.0 {
                            Some(connection) => connection.busy().await,
                            None => false,
                        };
                        (under_way.0.take(), stays)
                    };
                    // Into its place: `Box::pin` would copy all of it, though one word is all it is yet.
                    let busy = Box::write(Box::new_uninit(), busy);
                    self.busy = Some(Box::into_pin(busy));
                }
                (Waited::Quiet, Some(connection)) => {
                    let thread = connection.thread.clone();
                    let Err(rest) = thread.resting.put(connection.rest()) else {
                        return Poll::Ready(());
                    };
                    self.idle = Some(rest.resume());
                    self.is_fresh = true;
                }
                _ => return Poll::Ready(()),
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
            (self.idle, self.busy) = (None, None);
            Poll::Ready(())
        })
    }
}
