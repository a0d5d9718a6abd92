// SPDX-License-Identifier: Apache-2.0
//! The client's side of the request path.
//!
//! [`Serving`] is one connection's task. While it is idle it owns no buffer and no request. The
//! request lives in [`Downstream::busy`], for which there is room from the first head that is whole
//! until the connection rests; a head of which more is to come lies in memory of its own size.

mod absence;
mod body;
mod connection;
mod cookies;
mod exchange;
mod filters;
mod head;
mod internal;
mod journey;
mod mapping;
mod record;
mod reply;
mod requests;
mod trace;
mod upload;

use crate::thread::Thread;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub(crate) use absence::{Absence, Expired};
use connection::{After, Waited};
pub(crate) use connection::{Downstream, Rest};
pub(crate) use exchange::head_limits;
use head::{Head, Reading};
pub(crate) use internal::metrics_text;
pub(crate) use journey::Journey;
#[cfg(test)]
pub(crate) use mapping::map_back;
pub(crate) use record::Record;
pub(crate) use reply::fixed_answer;
use requests::Requests;
pub(crate) use upload::{Upload, UploadError};

/// A connection with a request begun. Dropped before its end, by a defect or for want of
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
    /// Here while more of a head is to come.
    begun: Option<(UnderWay, Reading)>,
    /// A request is under way, in `requests`.
    is_busy: bool,
    requests: Option<Requests>,
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
            begun: None,
            is_busy: false,
            requests: None,
            is_fresh: true,
            thread: thread.clone(),
        });
        thread.holders.attach(place, task.abort_handle());
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(requests) = &mut self.requests
                && self.is_busy
            {
                let (mut connection, after) = ready!(requests.poll(cx));
                self.is_busy = false;
                match after {
                    After::Idle => {
                        connection.become_idle();
                        self.idle = Some(connection);
                    }
                    After::Begun => {
                        self.begun = Some((UnderWay(Some(connection)), Reading::default()));
                    }
                    After::Over => return Poll::Ready(()),
                }
            }
            if let Some((connection, reading)) = self.begun.take() {
                ready!(self.read(connection, reading, cx));
                continue;
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
                    let connection = UnderWay(Some(connection));
                    ready!(self.read(connection, Reading::default(), cx));
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

    /// Reads a head; ready when the connection is idle, busy or over.
    #[inline]
    fn read(
        &mut self,
        mut under_way: UnderWay,
        mut reading: Reading,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(connection) = &mut under_way.0 else {
            return Poll::Ready(());
        };
        match connection.poll_head(&mut reading, cx) {
            Poll::Ready(Head::Closed) => drop(under_way.0.take()),
            Poll::Ready(head) => {
                if let Some(connection) = under_way.0.take() {
                    let requests = self.requests.get_or_insert_with(Requests::new);
                    requests.begin(connection, head);
                    self.is_busy = true;
                }
            }
            // Woken for nothing.
            Poll::Pending if connection.buffer.is_empty() => self.idle = under_way.0.take(),
            Poll::Pending => {
                self.begun = Some((under_way, reading));
                return Poll::Pending;
            }
        }
        Poll::Ready(())
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
            (self.idle, self.begun, self.requests) = (None, None, None);
            Poll::Ready(())
        })
    }
}
