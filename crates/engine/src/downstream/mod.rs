// SPDX-License-Identifier: Apache-2.0
//! The client's side of the request path.
//!
//! [`Serving`] is one connection's task. While it is idle it owns no buffer and no request. The
//! request lives in [`Downstream::busy`], for which there is room from the first head that is whole
//! until the connection rests; a head of which more is to come lies in memory of its own size.

mod absence;
mod announced;
mod around;
mod body;
mod client;
mod connection;
mod cookies;
mod ending;
mod exchange;
mod filters;
mod handshake;
mod head;
mod http2;
mod http3;
mod internal;
mod journey;
mod mapping;
mod parent;
mod part;
mod pass_out;
mod proof;
mod receive;
mod record;
mod reply;
mod requests;
mod seat;
mod switched;
mod trace;
mod upload;
mod wire;

use crate::thread::{Thread, Turn};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub(crate) use absence::{Absence, Expired};
use connection::{After, Waited};
pub(crate) use connection::{Downstream, Rest, Stalled};
pub(crate) use filters::begins;
pub(crate) use handshake::Shaken;
use head::{Head, Reading};
use http2::Driver;
pub(crate) use http3::{Endpoint, Identifiers};
pub(crate) use internal::metrics_text;
pub(crate) use journey::Journey;
#[cfg(test)]
pub(crate) use mapping::map_back;
pub(crate) use receive::head_limits;
pub(crate) use record::Record;
pub(crate) use reply::fixed_answer;
use requests::Requests;
pub(crate) use seat::Seat;
pub(crate) use switched::Switched;
pub(crate) use upload::{Upload, UploadError};
pub(crate) use wire::Wire;

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

/// The last words on a connection that has left HTTP, and what is told of it.
type Ending = Pin<Box<dyn Future<Output = ()>>>;

/// Streams of one connection beyond which the answers to them are read in small pieces.
const FEW_STREAMS: usize = 10;

/// Where a connection stands.
enum State {
    /// The TLS handshake is under way.
    Shaking(Box<Downstream>, Turn),
    Idle(Box<Downstream>),
    /// More of a head is to come.
    Begun(UnderWay, Reading),
    /// Its requests have it.
    Busy,
    /// It has left HTTP.
    Switched(UnderWay, Box<Switched>),
    /// What it left HTTP for is over.
    Ending(Ending),
    /// It speaks HTTP/2.
    Shared(Box<Driver>),
    /// It speaks HTTP/3.
    Quic(Box<http3::Driver>),
    Over,
}

/// One client connection's task. Written out by hand: an async function would keep room for every
/// state at once, and thousands of idle connections would pay for what few of them do.
pub(crate) struct Serving {
    state: State,
    requests: Option<Requests>,
    /// Whether nothing has been read since it came, or came back from its rest.
    is_fresh: bool,
    thread: Rc<Thread>,
}

/// Where a connection stands now, and whether that is all that can be done for it.
type Step = (State, Poll<()>);

impl Serving {
    /// Serves a connection, in a task of its own, until it is over or rests.
    pub(crate) fn start(connection: Box<Downstream>) {
        let thread = connection.thread.clone();
        let place = connection.holding.place();
        let state = match connection.stream.is_secured() && connection.stream.told().is_none() {
            true => {
                connection.begin_handshake();
                State::Shaking(connection, Turn::default())
            }
            false => State::Idle(connection),
        };
        let task = tokio::task::spawn_local(Self {
            state,
            requests: None,
            is_fresh: true,
            thread: thread.clone(),
        });
        thread.holders.attach(place, task.abort_handle());
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Where it stands, so that nothing is moved about for a message.
            ready!(self.pass(cx));
            let (state, step) = match std::mem::replace(&mut self.state, State::Over) {
                State::Idle(connection) => self.wait(connection, cx),
                State::Shaking(connection, turn) => self.shake(connection, turn, cx),
                State::Begun(connection, reading) => self.read(connection, reading, cx),
                State::Busy => self.carry_on(cx),
                State::Ending(mut ending) => match ending.as_mut().poll(cx) {
                    Poll::Ready(()) => (State::Over, Poll::Ready(())),
                    Poll::Pending => (State::Ending(ending), Poll::Pending),
                },
                State::Shared(driver) => Self::drive(driver, cx),
                State::Quic(mut driver) => match driver.poll(cx) {
                    Poll::Ready(()) => (State::Over, Poll::Ready(())),
                    Poll::Pending => (State::Quic(driver), Poll::Pending),
                },
                State::Switched(..) | State::Over => return Poll::Ready(()),
            };
            self.state = state;
            ready!(step);
        }
    }

    /// Goes on with the TLS handshake.
    fn shake(
        &mut self,
        mut connection: Box<Downstream>,
        mut turn: Turn,
        cx: &mut Context<'_>,
    ) -> Step {
        if self.thread.handshakes.poll(&mut turn, cx).is_pending() {
            return (State::Shaking(connection, turn), Poll::Pending);
        }
        let Poll::Ready(shaken) = connection.poll_handshake(cx) else {
            return (State::Shaking(connection, turn), Poll::Pending);
        };
        let state = match shaken {
            Shaken::Done if connection.stream.told().is_some_and(|told| told.is_http2) => {
                State::Shared(Driver::new(connection))
            }
            Shaken::Done => State::Idle(connection),
            Shaken::Bare(head) => self.begin(connection, head),
            Shaken::Over => State::Over,
        };
        (state, Poll::Ready(()))
    }

    /// Has the request carried out that begins with `head`.
    fn begin(&mut self, connection: Box<Downstream>, head: Head) -> State {
        let requests = self.requests.get_or_insert_with(Requests::new);
        requests.begin(connection, head);
        State::Busy
    }

    /// Passes on what there is on a connection that has left HTTP; ready if it is none, or none any more.
    #[inline]
    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Switched(UnderWay(Some(connection)), switched) = &mut self.state else {
            return Poll::Ready(());
        };
        let end = ready!(switched.poll(connection, cx));
        if let State::Switched(under_way, switched) =
            std::mem::replace(&mut self.state, State::Over)
        {
            self.state = State::Ending(Box::pin(switched.end(under_way, end)));
        }
        Poll::Ready(())
    }

    /// Goes on with a connection that speaks HTTP/2.
    fn drive(mut driver: Box<Driver>, cx: &mut Context<'_>) -> Step {
        match driver.poll(cx) {
            Poll::Ready(()) => (State::Over, Poll::Ready(())),
            Poll::Pending => (State::Shared(driver), Poll::Pending),
        }
    }

    /// Serves a connection of HTTP/3, in a task of its own.
    fn start_quic(driver: Box<http3::Driver>) {
        let (thread, place) = driver.task();
        let task = tokio::task::spawn_local(Self {
            state: State::Quic(driver),
            requests: None,
            is_fresh: false,
            thread: thread.clone(),
        });
        thread.holders.attach(place, task.abort_handle());
    }

    /// Serves one request of such a connection, in a task of its own.
    pub(super) fn begin_stream(connection: Box<Downstream>, head: Head) {
        let thread = connection.thread.clone();
        let place = connection.holding.place();
        let mut serving = Self {
            state: State::Over,
            requests: Some(Requests::take()),
            is_fresh: false,
            thread: thread.clone(),
        };
        serving.state = serving.begin(connection, head);
        let task = tokio::task::spawn_local(serving);
        thread.holders.attach(place, task.abort_handle());
    }

    /// Waits for the first byte of a request.
    #[inline]
    fn wait(&mut self, mut connection: Box<Downstream>, cx: &mut Context<'_>) -> Step {
        let tried = match std::mem::take(&mut self.is_fresh) {
            true => {
                connection.set_idle_timer();
                connection.try_read()
            }
            false => None,
        };
        let waited = match tried {
            Some(waited) => waited,
            None => match connection.poll_request(cx) {
                Poll::Ready(waited) => waited,
                Poll::Pending => return (State::Idle(connection), Poll::Pending),
            },
        };
        let state = match waited {
            Waited::Request => State::Begun(UnderWay(Some(connection)), Reading::default()),
            Waited::Quiet => {
                let resting = &self.thread.resting;
                match connection.rest().map(|rest| resting.put(rest)) {
                    None | Some(Ok(())) => State::Over,
                    Some(Err(rest)) => {
                        self.is_fresh = true;
                        State::Idle(rest.resume())
                    }
                }
            }
            Waited::Over => {
                connection.blame_if_unused();
                connection.say_end();
                State::Over
            }
        };
        (state, Poll::Ready(()))
    }

    /// Reads a head.
    #[inline]
    fn read(
        &mut self,
        mut under_way: UnderWay,
        mut reading: Reading,
        cx: &mut Context<'_>,
    ) -> Step {
        let Some(connection) = &mut under_way.0 else {
            return (State::Over, Poll::Ready(()));
        };
        let head = connection.poll_head(&mut reading, cx);
        if head.is_pending() && !connection.buffer.is_empty() {
            return (State::Begun(under_way, reading), Poll::Pending);
        }
        let state = match (head, under_way.0.take()) {
            (_, None) => State::Over,
            (Poll::Ready(Head::Closed), Some(connection)) => {
                connection.blame_if_unused();
                connection.say_end();
                State::Over
            }
            (Poll::Ready(Head::Complete(_)), Some(connection)) if connection.begins_http2() => {
                State::Shared(Driver::new(connection))
            }
            (Poll::Ready(head), Some(connection)) => self.begin(connection, head),
            // Woken for nothing.
            (Poll::Pending, Some(connection)) => State::Idle(connection),
        };
        (state, Poll::Ready(()))
    }

    /// Carries out what was begun.
    #[inline]
    fn carry_on(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(requests) = &mut self.requests else {
            return (State::Over, Poll::Ready(()));
        };
        let Poll::Ready((mut connection, after)) = requests.poll(cx) else {
            return (State::Busy, Poll::Pending);
        };
        let state = match after {
            After::Idle => {
                connection.become_idle();
                State::Idle(connection)
            }
            After::Begun => {
                let reading = Reading::behind(&self.thread);
                State::Begun(UnderWay(Some(connection)), reading)
            }
            After::Over => {
                let is_stream = connection.stream.stream().is_some();
                if let Some(requests) = self.requests.take_if(|_| is_stream) {
                    requests.keep();
                }
                match connection.switched.take() {
                    Some(switched) => {
                        // What carried its request out is not kept for hours.
                        self.requests = None;
                        State::Switched(UnderWay(Some(connection)), switched)
                    }
                    None => {
                        connection.say_end();
                        State::Over
                    }
                }
            }
        };
        (state, Poll::Ready(()))
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
            (self.state, self.requests) = (State::Over, None);
            Poll::Ready(())
        })
    }
}
