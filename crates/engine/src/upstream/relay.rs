// SPDX-License-Identifier: Apache-2.0
//! Bytes both ways between a client and an endpoint, unread: what a switched protocol and a connection
//! of layer 4 have in common.
use super::messages::Frames;
use crate::thread::{Buffer, LARGE, Thread, Turn};
use std::io;
use std::task::{Context, Poll, ready};
use tidegate_core::Moment;
use tidegate_net::Stream;

/// Pieces passed on in one direction before others get their turn, if they do not take too long before.
const PIECES: usize = 16;

/// One end of a relay.
pub(crate) trait Pipe {
    /// Reads into `buffer`; `Ok(0)` is the end.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes from `bytes`; may take less.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// Whether a read may find something; while it may not, whoever found nothing is going to be woken.
    #[inline]
    fn may_read(&self) -> bool {
        true
    }
    /// Says that nothing more will be written.
    fn shutdown_write(&self);
    /// Makes the end a reset.
    fn reset_on_close(&self);
}

impl Pipe for Stream {
    #[inline]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read_freely(self, cx, buffer)
    }

    #[inline]
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write_freely(self, cx, bytes)
    }

    #[inline]
    fn may_read(&self) -> bool {
        Self::may_read(self)
    }

    fn shutdown_write(&self) {
        Self::shutdown_write(self);
    }

    fn reset_on_close(&self) {
        Self::reset_on_close(self);
    }
}

/// How a relay came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// Both sides have sent their end, and everything was passed on.
    Whole,
    /// The client has reset its connection, and the endpoint's ends likewise.
    ClientReset,
    /// The other way round.
    EndpointReset,
    /// The client sent what may not pass; everything before it has. With the status code for it.
    Refused(u16),
}

/// Which end of one direction broke.
enum Broken {
    Source,
    Sink,
    Refused(u16),
}

/// One direction, with back pressure, and the end of one side told to the other. It holds a buffer
/// while there is something in it.
struct OneWay {
    buffer: Buffer,
    bytes: u64,
    has_ended: bool,
    /// The source had nothing, and is going to wake the task.
    is_waiting: bool,
    /// Whether buffers are filled to the brim, so that larger ones are worth it.
    is_bulky: bool,
    /// Of a WebSocket.
    frames: Option<Box<Frames>>,
    /// What may not pass comes next.
    refused: Option<u16>,
    /// It has passed on as much as it may at a time.
    has_more: bool,
}

impl OneWay {
    fn new(buffer: Buffer) -> Self {
        Self {
            buffer,
            bytes: 0,
            has_ended: false,
            is_waiting: false,
            is_bulky: false,
            frames: None,
            refused: None,
            has_more: false,
        }
    }

    /// Follows what has been read, and drops what may not pass.
    #[inline]
    fn watch(&mut self) {
        if let Some(frames) = &mut self.frames
            && let Err((passing, code)) = frames.see(self.buffer.data())
        {
            self.buffer.truncate(passing);
            self.refused = Some(code);
        }
    }

    /// Says something of ours between two messages; false where it would stand inside of one.
    fn say(&mut self, thread: &Thread, bytes: &[u8]) -> bool {
        let frames = self.frames.as_ref();
        let may = self.buffer.is_empty() && frames.is_some_and(|frames| frames.is_between());
        if may {
            self.let_go(thread);
            self.buffer = thread.buffers.take_with(bytes);
        }
        may
    }

    /// Writes what waits, and takes nothing more.
    fn poll_flush(&mut self, to: &impl Pipe, cx: &mut Context<'_>) -> Poll<()> {
        while !self.buffer.is_empty() {
            match ready!(to.poll_write(cx, self.buffer.data())) {
                Ok(count) => self.buffer.consume(count),
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// Ready once the source has ended and everything was passed on.
    #[inline]
    fn poll(
        &mut self,
        thread: &Thread,
        from: &impl Pipe,
        to: &impl Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..PIECES {
            if self.buffer.is_empty() {
                if let Some(code) = self.refused {
                    return Poll::Ready(Err(Broken::Refused(code)));
                }
                if self.has_ended {
                    return Poll::Ready(Ok(()));
                }
                let outcome = ready!(self.poll_fill(thread, from, cx));
                match outcome {
                    Ok(()) if self.has_ended => to.shutdown_write(),
                    Ok(()) => {}
                    Err(broken) => return Poll::Ready(Err(broken)),
                }
            }
            while !self.buffer.is_empty() {
                let Ok(count) = ready!(to.poll_write(cx, self.buffer.data())) else {
                    return Poll::Ready(Err(Broken::Sink));
                };
                self.buffer.consume(count);
                self.bytes += count as u64;
            }
            if thread.is_over_time() {
                break;
            }
        }
        self.has_more = true;
        Poll::Pending
    }

    /// Takes a piece from the source; without one it gives its buffer back.
    #[inline]
    fn poll_fill(
        &mut self,
        thread: &Thread,
        from: &impl Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        // Most often it was the other side that had the task woken.
        if std::mem::take(&mut self.is_waiting) && !from.may_read() {
            self.is_waiting = true;
            if self.buffer.size() > 0 {
                self.let_go(thread);
            }
            return Poll::Pending;
        }
        if self.is_bulky && self.buffer.size() < LARGE {
            self.let_go(thread);
            self.buffer = thread.buffers.take_large();
        } else if self.buffer.size() == 0 {
            self.buffer = thread.buffers.take();
        }
        let size = self.buffer.size();
        match from.poll_read(cx, self.buffer.room(size)) {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.is_bulky = count == size;
                self.buffer.filled(count);
                self.watch();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(outcome) => {
                self.has_ended = true;
                self.let_go(thread);
                Poll::Ready(outcome.map(drop).map_err(|_| Broken::Source))
            }
            Poll::Pending => {
                self.is_waiting = true;
                self.let_go(thread);
                Poll::Pending
            }
        }
    }

    fn let_go(&mut self, thread: &Thread) {
        thread.buffers.give(std::mem::take(&mut self.buffer));
    }
}

/// Both directions.
pub(crate) struct Relay {
    inwards: OneWay,
    outwards: OneWay,
    /// When something moved last.
    progress: Moment,
    /// Its place in the line, if it has more to pass on than it may at a time.
    turn: Option<Turn>,
}

impl Relay {
    /// Begins with what was read from each side already.
    pub(crate) fn new(from_client: Buffer, from_endpoint: Buffer, now: Moment) -> Self {
        Self {
            inwards: OneWay::new(from_client),
            outwards: OneWay::new(from_endpoint),
            progress: now,
            turn: None,
        }
    }

    /// Follows the messages of a WebSocket from here on; the client's may hold at most `most` bytes.
    pub(crate) fn follow_messages(&mut self, most: Option<u64>) {
        self.inwards.frames = Some(Box::new(Frames::new(true, most)));
        self.outwards.frames = Some(Box::new(Frames::new(false, None)));
        self.inwards.watch();
        self.outwards.watch();
    }

    /// Says something between two messages to the client; false where it would stand inside of one.
    pub(crate) fn say_to_client(&mut self, thread: &Thread, bytes: &[u8]) -> bool {
        self.outwards.say(thread, bytes)
    }

    /// The same to the endpoint.
    pub(crate) fn say_to_endpoint(&mut self, thread: &Thread, bytes: &[u8]) -> bool {
        self.inwards.say(thread, bytes)
    }

    /// Writes what waits on both sides, and takes nothing more.
    pub(crate) fn poll_flush(
        &mut self,
        client: &impl Pipe,
        endpoint: &impl Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let inwards = self.inwards.poll_flush(endpoint, cx);
        ready!(self.outwards.poll_flush(client, cx));
        inwards
    }

    /// Bytes from and to the client so far.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.inwards.bytes, self.outwards.bytes)
    }

    /// Bytes that came from the client so far.
    pub(crate) fn heard(&self) -> u64 {
        self.inwards.bytes + self.inwards.buffer.len() as u64
    }

    /// When something moved last.
    pub(crate) fn progress(&self) -> Moment {
        self.progress
    }

    /// What does not move is held back here.
    pub(crate) fn hold_back(&mut self, now: Moment) {
        self.progress = now;
    }

    /// Bytes of memory that wait to be passed on.
    pub(crate) fn held(&self) -> usize {
        self.inwards.buffer.size() + self.outwards.buffer.size()
    }

    /// Whether the endpoint has said nothing at all.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.outwards.bytes == 0 && self.outwards.buffer.is_empty()
    }

    /// Passes on what there is. A reset of one side makes the close of the other one a reset as well.
    pub(crate) fn poll(
        &mut self,
        thread: &Thread,
        client: &impl Pipe,
        endpoint: &impl Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Relayed> {
        if let Some(turn) = &mut self.turn {
            ready!(thread.busy.poll(turn, cx));
            self.turn = None;
        }
        let before = self.moved();
        let inwards = self.inwards.poll(thread, client, endpoint, cx);
        let outwards = self.outwards.poll(thread, endpoint, client, cx);
        if self.moved() != before {
            self.progress = thread.moment();
        }
        let relayed = match (inwards, outwards) {
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                endpoint.reset_on_close();
                Relayed::ClientReset
            }
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                client.reset_on_close();
                Relayed::EndpointReset
            }
            (Poll::Ready(Err(Broken::Refused(code))), _) => Relayed::Refused(code),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Relayed::Whole,
            _ => {
                let has_more = [&mut self.inwards, &mut self.outwards]
                    .map(|way| std::mem::take(&mut way.has_more));
                if has_more != [false; 2] {
                    let turn = self.turn.insert(Turn::default());
                    thread.busy.stand(turn, cx);
                }
                return Poll::Pending;
            }
        };
        Poll::Ready(relayed)
    }

    /// Gives its memory back.
    pub(crate) fn end(&mut self, thread: &Thread) {
        self.inwards.let_go(thread);
        self.outwards.let_go(thread);
    }
}
