// SPDX-License-Identifier: Apache-2.0
use crate::secured::Secured;
use crate::watch::watch_number;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, sockopt};
use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The peer has sent its end; there is a word for it on Linux only.
#[cfg(target_os = "linux")]
const HALF_CLOSED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const HALF_CLOSED: PollFlags = PollFlags::empty();
/// How often a peer's host is asked for a connection whose peer has sent its end.
const PROBE: Duration = Duration::from_secs(5);

/// A connected TCP or Unix stream socket. Reads and writes need only `&self`, so both directions
/// can be driven by one task without splitting.
///
/// The runtime is told of the socket when it must be waited for the first time. A connection that
/// brings its request, gets its answer and is closed never must, and saves two system calls.
#[derive(Debug)]
pub struct Stream {
    // Before `fd`: a descriptor is forgotten by the runtime before it is closed.
    watched: OnceCell<AsyncFd<RawFd>>,
    pub(crate) fd: OwnedFd,
    pub(crate) tls: Option<Box<Secured>>,
}

impl Stream {
    /// Takes a connected, non-blocking socket.
    pub fn new(fd: OwnedFd) -> Self {
        Self::resumed(fd, None)
    }

    /// Takes what [`Self::into_parts`] gave.
    pub fn resumed(fd: OwnedFd, tls: Option<Box<Secured>>) -> Self {
        let watched = OnceCell::new();
        Self { watched, fd, tls }
    }

    /// The runtime's view of the socket.
    ///
    /// # Errors
    /// When the runtime cannot watch it (out of memory or watches).
    #[inline]
    fn watched(&self) -> io::Result<&AsyncFd<RawFd>> {
        match self.watched.get() {
            Some(watched) => Ok(watched),
            None => self.start_watching(),
        }
    }

    #[cold]
    fn start_watching(&self) -> io::Result<&AsyncFd<RawFd>> {
        // SAFETY: `self.fd` stays open for as long as `self.watched` is there: nothing takes it out
        // but `into_parts`, which drops `watched` first, and fields are dropped in their order.
        let fresh = unsafe { watch_number(self.fd.as_raw_fd()) }?;
        Ok(self.watched.get_or_init(|| fresh))
    }

    /// Reads into `buffer`; `Ok(0)` is the end of the stream (or an empty buffer).
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &self.tls {
            None => self.poll_read_bare(cx, buffer),
            Some(tls) => self.poll_read_secured(tls, cx, buffer),
        }
    }

    pub(crate) fn poll_read_bare(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.watched.get().is_none() {
            match self.read_bare_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
        let watched = self.watched()?;
        loop {
            let mut guard = ready!(watched.poll_read_ready(cx))?;
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
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

    /// As [`Self::poll_read`], for callers that by themselves let others have their turn: the runtime is
    /// asked when there is nothing to read, and does not charge the task for what is there.
    #[inline]
    pub fn poll_read_freely(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(watched) = self.watched.get().filter(|_| self.tls.is_none()) else {
            return self.poll_read(cx, buffer);
        };
        let room = buffer.len();
        let read =
            || rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()).map(|read| read.0);
        match freely(watched, Interest::READABLE, room, read) {
            Some(outcome) => Poll::Ready(outcome),
            None => self.poll_read_bare(cx, buffer),
        }
    }

    /// [`Self::poll_write`] in the same way.
    #[inline]
    pub fn poll_write_freely(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(watched) = self.watched.get().filter(|_| self.tls.is_none()) else {
            return self.poll_write(cx, bytes);
        };
        let write = || rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL);
        match freely(watched, Interest::WRITABLE, bytes.len(), write) {
            Some(outcome) => Poll::Ready(outcome),
            None => self.poll_write(cx, bytes),
        }
    }

    /// Whether a read may find something, as far as the runtime has been told. While it may not,
    /// whoever was told to wait is still going to be woken.
    #[inline]
    pub fn may_read(&self) -> bool {
        self.tls.is_some()
            || self
                .watched
                .get()
                .is_none_or(|watched| watched.try_io(Interest::READABLE, |_| Ok(())).is_ok())
    }

    /// Reads what is there, without waiting and without the runtime: for a connection that was just
    /// accepted, whose first bytes are usually there already.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.read_bare_now(buffer),
            Some(tls) => self.read_secured_now(tls, buffer),
        }
    }

    pub(crate) fn read_bare_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks at what has come and leaves it there; ready when that is more than the `known` bytes that
    /// were seen before, or with 0 at the end of a stream of which nothing was read. Without TLS.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        known: usize,
    ) -> Poll<io::Result<usize>> {
        let watched = self.watched()?;
        loop {
            let mut guard = ready!(watched.poll_read_ready(cx))?;
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::PEEK) {
                // What is there stays there: whoever reads next is to be told at once.
                Ok((count, _)) if count == 0 || count > known => {
                    return Poll::Ready(Ok(count));
                }
                Ok(_) | Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Takes bytes that were seen by [`Self::poll_peek`], as many as `buffer` has room for.
    ///
    /// # Errors
    /// When they are not there.
    pub fn skip(&self, buffer: &mut [u8]) -> io::Result<()> {
        match self.read_bare_now(buffer)? == buffer.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Writes from `bytes`; may take less.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(tls) = &self.tls {
            return self.poll_write_secured(tls, cx, bytes, SendFlags::NOSIGNAL);
        }
        self.poll_writing(cx, bytes.len(), || {
            rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL)
        })
    }

    /// Tries first while the runtime does not watch, and from then on when it knows of room: a peer
    /// that takes little would cost one call in vain for each that is not.
    #[inline]
    pub(crate) fn poll_writing(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        write: impl Fn() -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.watched.get().is_none() {
            match write() {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let watched = self.watched()?;
        loop {
            // Taken before the call it judges: an edge that comes in between is not lost.
            let mut guard = ready!(watched.poll_write_ready(cx))?;
            match write() {
                Ok(count) => {
                    // A short write filled the socket: the next poll can wait at once.
                    if count > 0 && count < wanted {
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

    /// As [`Self::poll_write`]; with `has_more` the kernel may wait for what follows before it sends a
    /// packet that is not full.
    pub fn poll_write_part(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        has_more: bool,
    ) -> Poll<io::Result<usize>> {
        let mut flags = SendFlags::NOSIGNAL;
        if has_more {
            flags |= SendFlags::MORE;
        }
        if let Some(tls) = &self.tls {
            return self.poll_write_secured(tls, cx, bytes, flags);
        }
        self.poll_writing(cx, bytes.len(), || {
            rustix::net::send(&self.fd, bytes, flags)
        })
    }

    /// Sends up to `count` bytes of `file` from `offset` on, without a copy where the kernel can;
    /// `Ok(0)` is the file's end.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        if let Some(tls) = &self.tls {
            return self.poll_send_file_secured(tls, cx, file, offset, count);
        }
        self.poll_writing(cx, count, || send_file(&self.fd, file, offset, count))
    }

    /// Waits until there is something to read, or the peer has closed.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &self.tls {
            return self.poll_readable_secured(tls, cx);
        }
        let mut guard = ready!(self.watched()?.poll_read_ready(cx))?;
        guard.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Waits until a connection attempt has ended, well or not.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.watched()?.poll_write_ready(cx))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Whether an idle connection may still be used: nothing to read and not closed, as far as the
    /// runtime has been told. Costs no system call.
    pub fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_readable(&mut cx).is_pending()
    }

    /// Whether the peer is known to be gone altogether: it has reset the connection, or closed both
    /// directions of a Unix socket. Asks the kernel, and leaves the runtime out of it.
    ///
    /// A peer that has only sent its end may still be reading, and most that have closed look the
    /// same: TCP has one word for both (RFC 9293 §3.6). From then on the kernel asks the peer's host
    /// now and then, which resets the connection when it knows of none any more.
    pub fn is_gone(&self) -> bool {
        let mut asked = [PollFd::new(self, HALF_CLOSED)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(1)) {
            return false;
        }
        let found = asked[0].revents();
        if found.intersects(HALF_CLOSED) && !found.contains(PollFlags::HUP) {
            self.probe();
        }
        found.intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Has the kernel probe the peer's host; does nothing on a Unix socket.
    fn probe(&self) {
        let fd = self.as_fd();
        if sockopt::socket_keepalive(fd).unwrap_or(true) {
            return;
        }
        let _ = sockopt::set_tcp_keepidle(fd, PROBE);
        let _ = sockopt::set_tcp_keepintvl(fd, PROBE);
        let _ = sockopt::set_socket_keepalive(fd, true);
    }

    /// The address of this machine that the peer dialled, one of IPv4 as such over IPv6 as well;
    /// `None` on a Unix socket.
    pub fn local_address(&self) -> Option<IpAddr> {
        let own = rustix::net::getsockname(&self.fd).ok()?;
        let own = SocketAddr::try_from(own).ok()?;
        Some(own.ip().to_canonical())
    }

    /// Tells the peer that nothing more will be written.
    pub fn shutdown_write(&self) {
        self.say_end();
        // The peer may be gone already; there is nothing to do about it.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }

    /// Makes the close of this socket a reset, so that the peer cannot take a cut message for a whole one.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.fd, Some(std::time::Duration::ZERO));
    }
}

impl Stream {
    /// Whether its descriptor is one of the last of `limit`: see
    /// [`crate::Listener::is_short_of_descriptors`].
    pub fn is_one_of_the_last(&self, limit: u64) -> bool {
        crate::listener::is_high(&self.fd, limit)
    }

    /// Gives the socket back, no longer watched by the runtime, and its TLS, without which nobody can
    /// go on with it.
    pub fn into_parts(self) -> (OwnedFd, Option<Box<Secured>>) {
        drop(self.watched);
        (self.fd, self.tls)
    }
}

/// Makes one call where the runtime knows that the socket is ready for it, and leaves its account of
/// tasks alone; `None` if the call must be waited for.
#[inline]
fn freely(
    watched: &AsyncFd<RawFd>,
    interest: Interest,
    wanted: usize,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut short = None;
    let outcome = watched.try_io(interest, |_| {
        loop {
            match call() {
                // Less than was asked for: nothing is left, and the next try can wait at once.
                Ok(count) if count > 0 && count < wanted => {
                    short = Some(count);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    });
    match (short, outcome) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        (None, outcome) => Some(outcome),
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
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
    crate::descriptor_limit()
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

#[cfg(target_os = "linux")]
fn send_file(
    socket: &OwnedFd,
    file: &OwnedFd,
    offset: u64,
    count: usize,
) -> rustix::io::Result<usize> {
    let mut offset = offset;
    rustix::fs::sendfile(socket, file, Some(&mut offset), count)
}

/// Other kernels have other calls, or none.
#[cfg(not(target_os = "linux"))]
fn send_file(
    socket: &OwnedFd,
    file: &OwnedFd,
    offset: u64,
    count: usize,
) -> rustix::io::Result<usize> {
    let mut bytes = vec![0; count.min(64 << 10)];
    let filled = rustix::io::pread(file, &mut bytes, offset)?;
    let bytes = bytes.get(..filled).unwrap_or_default();
    match bytes {
        [] => Ok(0),
        bytes => rustix::net::send(socket, bytes, SendFlags::NOSIGNAL),
    }
}
