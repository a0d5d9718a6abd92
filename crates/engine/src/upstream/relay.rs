// SPDX-License-Identifier: Apache-2.0
use crate::thread::Buffer;
use std::io;
use std::task::{Context, Poll, ready};
use tidegate_net::Stream;

/// Bytes in one direction, with back pressure, and the end of one side told to the other.
pub(crate) struct OneWay {
    pub(crate) buffer: Buffer,
    pub(crate) bytes: u64,
    has_ended: bool,
}

impl OneWay {
    /// Begins with what was already read.
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self {
            buffer,
            bytes: 0,
            has_ended: false,
        }
    }

    /// Ready once the source has closed and everything was passed on.
    pub(crate) fn poll(
        &mut self,
        from: &Stream,
        to: &Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.has_ended || !self.buffer.is_empty() {
            if self.buffer.is_empty() {
                match ready!(from.poll_read(cx, self.buffer.room(16 << 10)))? {
                    0 => {
                        self.has_ended = true;
                        to.shutdown_write();
                    }
                    count => self.buffer.filled(count),
                }
            } else {
                let count = ready!(to.poll_write(cx, self.buffer.data()))?;
                self.buffer.consume(count);
                self.bytes += count as u64;
            }
        }
        Poll::Ready(Ok(()))
    }
}
