// SPDX-License-Identifier: Apache-2.0
//! How a client's connection ends.
use super::connection::Downstream;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tidegate_core::Moment;

/// Bytes and milliseconds spent on reading what a client still sends after its last response: a
/// close with unread bytes would be a reset, and take the response with it.
pub(super) const LINGER_BYTES: usize = 256 << 10;
pub(super) const LINGER_MS: u64 = 2000;

impl Downstream {
    /// Tells the client, inside of TLS, that the end is near and nothing was cut off.
    pub(crate) fn say_end(&self) {
        if !self.is_cut {
            self.stream.say_end();
        }
    }

    /// Makes the connection end by a reset: after half a response, a close could pass for its end.
    pub(crate) fn cut(&mut self) {
        self.stream.reset_on_close();
        self.is_cut = true;
    }

    /// Says that nothing more will come, and reads on for a while; nothing of the kind after a cut.
    pub(crate) async fn linger(&mut self) {
        if self.is_cut || self.stream.stream().is_some() {
            return;
        }
        self.stop_reading();
        let until = self.thread.now().after_millis(LINGER_MS);
        let mut left = LINGER_BYTES;
        while left > 0 {
            match poll_fn(|cx| self.poll_unread(until, cx)).await {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
    }

    /// Says that nothing more will come, and lets go of all that understands what does: thousands that were
    /// cut may linger.
    pub(super) fn stop_reading(&mut self) {
        self.stream.shutdown_write();
        self.stream.lay_bare();
        self.thread.buffers.give(std::mem::take(&mut self.buffer));
    }

    /// Waits for what the client still sends, of which nothing is kept: how much it was; 0 at its end, or
    /// when it is `until`.
    pub(super) fn poll_unread(&self, until: Moment, cx: &mut Context<'_>) -> Poll<usize> {
        let mut sink = self.thread.buffers.take();
        self.timer.set(until);
        let outcome = match self.stream.poll_read(cx, sink.room(1)) {
            Poll::Ready(outcome) => Poll::Ready(outcome.unwrap_or(0)),
            Poll::Pending => self.timer.poll_expired(cx).map(|()| 0),
        };
        self.thread.buffers.give(sink);
        outcome
    }
}
