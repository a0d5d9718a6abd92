// SPDX-License-Identifier: Apache-2.0
use crate::watch::watch;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A connected TCP or Unix stream socket. Reads and writes need only `&self`, so both directions
/// can be driven by one task without splitting.
#[derive(Debug)]
pub struct Stream {
    fd: AsyncFd<OwnedFd>,
}

impl Stream {
    /// Takes a connected, non-blocking socket.
    ///
    /// # Errors
    /// When the runtime cannot watch it (out of memory or watches).
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            fd: watch(fd, Interest::READABLE | Interest::WRITABLE)?,
        })
    }

    /// Reads into `buffer`; `Ok(0)` is the end of the stream (or an empty buffer).
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match rustix::net::recv(self.fd.get_ref(), &mut *buffer, RecvFlags::empty()) {
                Ok((count, _)) => {
                    // A short read emptied the socket: the next poll can wait at once.
                    if count > 0 && count < buffer.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Reads what is there without waiting and without asking the runtime first: for a connection
    /// that was just accepted, whose first bytes are usually there already.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(self.fd.get_ref(), buffer, RecvFlags::empty())?;
        Ok(count)
    }

    /// Writes from `bytes`; may take less. Tries first and asks the runtime only when the socket
    /// is full.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match rustix::net::send(self.fd.get_ref(), bytes, SendFlags::NOSIGNAL) {
            Ok(count) => return Poll::Ready(Ok(count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        loop {
            // Taken before the call it judges: an edge that comes in between is not lost.
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            match rustix::net::send(self.fd.get_ref(), bytes, SendFlags::NOSIGNAL) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Waits until there is something to read, or the peer has closed.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.fd.poll_read_ready(cx))?;
        guard.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Waits until a connection attempt has ended, well or not.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.fd.poll_write_ready(cx))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Whether an idle connection may still be used: nothing to read and not closed, as far as the
    /// runtime has been told. Costs no system call.
    pub fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        pin!(std::future::poll_fn(|cx| self.poll_readable(cx)))
            .as_mut()
            .poll(&mut cx)
            .is_pending()
    }

    /// Tells the peer that nothing more will be written.
    pub fn shutdown_write(&self) {
        // The peer may be gone already; there is nothing to do about it.
        let _ = rustix::net::shutdown(self.fd.get_ref(), Shutdown::Write);
    }

    /// Makes the close of this socket a reset, so that the peer cannot take a cut message for a whole one.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(
            self.fd.get_ref(),
            Some(std::time::Duration::ZERO),
        );
    }
}

impl Stream {
    /// Whether its descriptor is one of the last: see [`crate::Listener::is_short_of_descriptors`].
    pub fn is_one_of_the_last(&self) -> bool {
        crate::listener::is_high(self.fd.get_ref())
    }

    /// Gives the socket back, no longer watched by the runtime.
    pub fn into_fd(self) -> OwnedFd {
        self.fd.into_inner()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

/// Raises the soft limit of open descriptors to the hard one; returns the limit in force.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Keeps other processes of the same user from reading this one's memory, and its secrets out of
/// core files.
///
/// # Errors
/// When the kernel refuses.
pub fn set_not_dumpable() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
