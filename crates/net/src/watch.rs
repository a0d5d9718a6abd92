// SPDX-License-Identifier: Apache-2.0
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime of this thread.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names one open file from its making to its drop, and the AsyncFd owns it:
    // no code of this crate takes it out or replaces it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// The same for a descriptor that something else owns, both directions.
///
/// # Safety
/// The descriptor must stay open until what is returned has been dropped.
pub(crate) unsafe fn watch_number(fd: RawFd) -> io::Result<AsyncFd<RawFd>> {
    // SAFETY: the caller keeps it open.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) }
        .map_err(io::Error::from)
}
