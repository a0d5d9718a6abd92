// SPDX-License-Identifier: Apache-2.0
//! Reading the head of a request, before the request has a future of its own.
use super::connection::Downstream;
use super::http2::PREFACE_HEAD;
use super::receive::head_limits;
use crate::thread::{BUFFER, Thread, Turn};
use std::io;
use std::task::{Context, Poll, ready};
use tidegate_core::ErrorKind;
use tidegate_http::{HeadLimits, HeadScanner};
use tidegate_request::{Reject, Request};

/// About what a connection takes besides the bytes of a head of which more is to come: itself, its
/// task, the runtime's watch.
const WAITING: usize = 2 << 10;

/// What reading a head came to.
pub(crate) enum Head {
    /// The buffer begins with a head of this many bytes.
    Complete(usize),
    /// A head that was read elsewhere.
    Whole(Box<Request>),
    /// The client is gone.
    Closed,
    /// What was sent is no head.
    Refused(Reject),
}

/// A head of which more is to come.
#[derive(Default)]
pub(crate) struct Reading {
    scanner: HeadScanner,
    /// The deadline was set.
    has_timer: bool,
    /// What came lies in memory of its own, just large enough, and the thread has its buffer back:
    /// thousands of clients may send a line every ten seconds.
    is_aside: bool,
    turn: Turn,
    /// The requests before it took long enough: others go first.
    is_behind: bool,
}

impl Reading {
    /// A head that has begun behind another request.
    pub(super) fn behind(thread: &Thread) -> Self {
        Self {
            is_behind: thread.is_over_time(),
            ..Self::default()
        }
    }
}

impl Downstream {
    /// Reads until a head is whole, or never will be. Pending with an empty buffer: nothing has
    /// come, and the connection is idle.
    pub(crate) fn poll_head(&mut self, reading: &mut Reading, cx: &mut Context<'_>) -> Poll<Head> {
        if reading.is_behind {
            ready!(self.thread.busy.poll(&mut reading.turn, cx));
            reading.is_behind = false;
        }
        if reading.is_aside {
            ready!(self.thread.turns.poll(&mut reading.turn, cx));
        }
        let limits = head_limits(&self.listener.config.limits);
        loop {
            if let Some(head) = self.scan(&mut reading.scanner, &limits) {
                self.put_back(reading);
                return Poll::Ready(head);
            }
            let outcome = match reading.is_aside {
                true => self.poll_more(cx),
                false => self.poll_first(&limits, cx),
            };
            match outcome {
                // Line ends after the last message are no request (RFC 9112 §2.2).
                Poll::Ready(Ok(0))
                    if self.buffer.data().iter().all(|byte| b"\r\n".contains(byte)) =>
                {
                    return Poll::Ready(Head::Closed);
                }
                Poll::Ready(Ok(0)) => {
                    let reject = Reject::new(ErrorKind::HttpRequestError, "the head was cut short");
                    return Poll::Ready(Head::Refused(reject));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Head::Closed),
                Poll::Pending => return self.wait_for_head(reading, cx),
            }
        }
    }

    /// What the bytes that are there come to by themselves; `None` when more are needed.
    pub(super) fn scan(&self, scanner: &mut HeadScanner, limits: &HeadLimits) -> Option<Head> {
        if self.buffer.is_empty() {
            return None;
        }
        match scanner.scan(self.buffer.data(), limits) {
            Ok(end) => end.map(Head::Complete),
            // The first byte of a TLS handshake.
            Err(_) if self.buffer.data().first() == Some(&22) => Some(Head::Refused(Reject::new(
                ErrorKind::HttpRequestError,
                "TLS was sent to a port without TLS",
            ))),
            Err(reject) => Some(Head::Refused(reject)),
        }
    }

    /// Whether it goes on in HTTP/2, as a client does that knows it is spoken here without TLS.
    pub(super) fn begins_http2(&self) -> bool {
        let config = &self.listener.config;
        config.http2 == Some(true)
            && config.tls.is_none()
            && self.buffer.data().starts_with(PREFACE_HEAD)
    }

    /// Reads into the thread's buffer, where most heads come in one piece.
    fn poll_first(&mut self, limits: &HeadLimits, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.size() == 0 {
            self.buffer = self.thread.buffers.take();
        }
        let room = self.buffer.room(limits.header_size + limits.target_size);
        let outcome = self.stream.poll_read(cx, room);
        if let Poll::Ready(Ok(count)) = outcome {
            self.buffer.filled(count);
        }
        outcome
    }

    /// Reads more of a head that was put aside.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = self.thread.buffers.take();
        let outcome = self.stream.poll_read(cx, buffer.room(BUFFER));
        if let Poll::Ready(Ok(count)) = outcome {
            buffer.filled(count);
            self.buffer.append(buffer.data());
        }
        self.thread.buffers.give(buffer);
        outcome
    }

    fn wait_for_head(&mut self, reading: &mut Reading, cx: &mut Context<'_>) -> Poll<Head> {
        if self.buffer.is_empty() {
            self.thread.buffers.give(std::mem::take(&mut self.buffer));
            return Poll::Pending;
        }
        if !reading.is_aside {
            let aside = self.buffer.shrunk();
            self.thread
                .buffers
                .give(std::mem::replace(&mut self.buffer, aside));
            reading.is_aside = true;
        }
        if !reading.has_timer {
            let limit = self.listener.config.timeouts.header.0;
            self.timer.set(self.thread.moment().after_millis(limit));
            reading.has_timer = true;
        }
        self.holding.hold(WAITING + self.buffer.memory());
        self.timer.poll_expired(cx).map(|()| {
            let reject = Reject::new(ErrorKind::RequestTimeout, "the head took too long");
            Head::Refused(reject)
        })
    }

    /// Moves a head that was put aside, and is whole, into one of the thread's buffers, where the
    /// rest of the request is read.
    fn put_back(&mut self, reading: &mut Reading) {
        if std::mem::take(&mut reading.is_aside) && self.buffer.len() < BUFFER {
            self.buffer = self.thread.buffers.take_with(self.buffer.data());
        }
    }
}
