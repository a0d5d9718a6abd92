// SPDX-License-Identifier: Apache-2.0
use super::exchange::Exchange;
use super::given::Given;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_functions::{Frames, Malformed, NodeMessage};

/// Read at once: several bodies or a few hundred heads, and bounded so that one connection cannot
/// keep the loop from the others.
const READ: usize = 256 << 10;
/// An output buffer above this is given back once it is empty.
const KEEP: usize = 256 << 10;

/// What became of the bytes that waited to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All are with the kernel, or someone watches the socket already.
    Done,
    /// The node does not read: watch the socket for room.
    Blocked,
    /// The node is gone.
    Gone,
}

/// What one read brought.
pub(super) enum Heard {
    /// Frames, perhaps none whole.
    Some,
    /// Nothing was there.
    Nothing,
    /// The node closed, or the socket broke.
    Gone,
}

/// One node thread's connection.
pub(super) struct Connection {
    pub(super) id: u32,
    socket: UnixStream,
    frames: Mutex<Frames>,
    out: Mutex<Outbox>,
    /// Exchanges whose code has not ended or whose answer is not all sent.
    pub(super) exchanges: Mutex<HashMap<u32, Arc<Exchange>>>,
    /// Settings of policies by the number that requests name them by.
    pub(super) settings: Mutex<HashMap<u32, Arc<Given>>>,
    is_open: AtomicBool,
}

#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    is_watched: bool,
    is_scheduled: bool,
}

/// A lock whose holder panicked is taken all the same: each holder leaves its data whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(super) fn new(id: u32, socket: UnixStream) -> Self {
        Self {
            id,
            socket,
            frames: Mutex::default(),
            out: Mutex::default(),
            exchanges: Mutex::default(),
            settings: Mutex::default(),
            is_open: AtomicBool::new(true),
        }
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Reads what is there, once. The GIL is kept: the socket does not block, and giving the GIL up
    /// would hand it to a busy thread of the user's for its whole switch interval.
    pub(super) fn read(&self) -> Heard {
        let mut frames = lock(&self.frames);
        loop {
            return match (&self.socket).read(frames.space(READ)) {
                Ok(0) => Heard::Gone,
                Ok(count) => {
                    frames.filled(count);
                    Heard::Some
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::Nothing,
                Err(_) => Heard::Gone,
            };
        }
    }

    /// Hands every whole message to `each`, without running any Python.
    pub(super) fn messages(
        &self,
        mut each: impl FnMut(u32, NodeMessage<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut frames = lock(&self.frames);
        while let Some(frame) = frames.next()? {
            each(frame.exchange, NodeMessage::decode(frame)?)?;
        }
        Ok(())
    }

    /// Lets `write` append frames; they leave with the next [`Connection::flush`].
    pub(super) fn put<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut lock(&self.out).bytes)
    }

    /// Whether the caller is the first since the last flush and so has to see to one.
    pub(super) fn schedule(&self) -> bool {
        !std::mem::replace(&mut lock(&self.out).is_scheduled, true)
    }

    /// Sends what it can.
    pub(super) fn flush(&self) -> Flushed {
        let mut out = lock(&self.out);
        out.is_scheduled = false;
        while out.start < out.bytes.len() {
            let sent = (&self.socket).write(out.bytes.get(out.start..).unwrap_or_default());
            match sent {
                Ok(count) => out.start += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let was_watched = std::mem::replace(&mut out.is_watched, true);
                    return if was_watched {
                        Flushed::Done
                    } else {
                        Flushed::Blocked
                    };
                }
                Err(_) => return Flushed::Gone,
            }
        }
        out.start = 0;
        if out.bytes.capacity() > KEEP {
            out.bytes = Vec::new();
        }
        out.bytes.clear();
        Flushed::Done
    }

    /// The socket is not watched for room any more; answers whether something still waits.
    pub(super) fn unwatch(&self) -> bool {
        let mut out = lock(&self.out);
        out.is_watched = false;
        out.start < out.bytes.len()
    }

    /// Marks the connection as gone and takes its exchanges.
    pub(super) fn close(&self) -> Vec<Arc<Exchange>> {
        self.is_open.store(false, Ordering::Relaxed);
        // A failure means that the node closed first.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        lock(&self.exchanges).values().cloned().collect()
    }
}
