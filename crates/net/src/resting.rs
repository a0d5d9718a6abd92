// SPDX-License-Identifier: Apache-2.0
use crate::watch::watch_number;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll as Watches, Token};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Events taken from the kernel in one call.
const BATCH: usize = 64;

/// Watches sockets that will be quiet for long, by one number each.
///
/// A socket watched through the runtime costs some 300 bytes, and a task to be woken; here it costs
/// nothing but the kernel's own entry. The runtime watches the set as a whole.
#[derive(Debug)]
pub struct RestingSet {
    // Before `watches`: its descriptor is forgotten by the runtime before it is closed.
    watched: AsyncFd<RawFd>,
    watches: RefCell<(Watches, Events)>,
}

impl RestingSet {
    /// An empty set.
    ///
    /// # Errors
    /// When the process is out of descriptors, or the runtime cannot watch it.
    pub fn new() -> io::Result<Self> {
        let watches = Watches::new()?;
        // SAFETY: `watches` is dropped after `watched`, and nothing takes it out.
        let watched = unsafe { watch_number(watches.as_raw_fd()) }?;
        let watches = RefCell::new((watches, Events::with_capacity(BATCH)));
        Ok(Self { watched, watches })
    }

    /// Watches `socket`: `number` is told when there is something to read or the peer has closed,
    /// and at once if that is so already. Closing the socket ends it.
    ///
    /// # Errors
    /// When the kernel's memory or the user's share of watches is used up.
    pub fn add(&self, socket: &OwnedFd, number: usize) -> io::Result<()> {
        let watches = self.watches.borrow();
        let mut source = SourceFd(&socket.as_raw_fd());
        let registry = watches.0.registry();
        registry.register(&mut source, Token(number), Interest::READABLE)
    }

    /// Forgets a socket that goes on elsewhere.
    pub fn remove(&self, socket: &OwnedFd) {
        let watches = self.watches.borrow();
        let mut source = SourceFd(&socket.as_raw_fd());
        let _ = watches.0.registry().deregister(&mut source); // not in it: nothing to forget
    }

    /// Waits until sockets are ready and adds their numbers to `ready`; one may come twice.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_ready(&self, cx: &mut Context<'_>, ready: &mut Vec<usize>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.watched.poll_read_ready(cx))?;
            let mut watches = self.watches.borrow_mut();
            let (watches, events) = &mut *watches;
            match watches.poll(events, Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let found = events.iter().count();
            ready.extend(events.iter().map(|event| event.token().0));
            if found < BATCH {
                guard.clear_ready();
            }
            if found > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    async fn told(set: &RestingSet) -> Vec<usize> {
        let mut numbers = Vec::new();
        let outcome = poll_fn(|cx| set.poll_ready(cx, &mut numbers)).await;
        outcome.map(|()| numbers).unwrap_or_default()
    }

    fn is_quiet(set: &RestingSet) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        set.poll_ready(&mut cx, &mut Vec::new()).is_pending()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn tells_of_bytes_and_of_closes_and_of_what_was_there_before() -> io::Result<()> {
        let set = RestingSet::new()?;
        let (mut talks, first) = UnixStream::pair()?;
        let (leaves, second) = UnixStream::pair()?;
        let (mut early, third) = UnixStream::pair()?;
        early.write_all(b"x")?;
        let sockets = [first, second, third].map(OwnedFd::from);
        for (number, socket) in sockets.iter().enumerate() {
            set.add(socket, number)?;
        }
        assert_eq!(told(&set).await, [2]);
        talks.write_all(b"x")?;
        assert_eq!(told(&set).await, [0]);
        drop(leaves);
        assert!(told(&set).await.contains(&1));
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn tells_nothing_of_what_was_removed_or_closed() -> io::Result<()> {
        let set = RestingSet::new()?;
        let (mut one, first) = UnixStream::pair()?;
        let (mut two, second) = UnixStream::pair()?;
        let (first, second) = (OwnedFd::from(first), OwnedFd::from(second));
        set.add(&first, 1)?;
        set.add(&second, 2)?;
        set.remove(&first);
        drop(second);
        one.write_all(b"x")?;
        assert!(two.write_all(b"x").is_err());
        tokio::task::yield_now().await;
        assert!(is_quiet(&set));
        set.add(&first, 3)?;
        assert_eq!(told(&set).await, [3]);
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn tells_of_more_than_one_call_can_take() -> io::Result<()> {
        let set = RestingSet::new()?;
        let mut pairs = Vec::new();
        for number in 0..3 * BATCH {
            let (mut one, other) = UnixStream::pair()?;
            let other = OwnedFd::from(other);
            one.write_all(b"x")?;
            set.add(&other, number)?;
            pairs.push((one, other));
        }
        let mut all = Vec::new();
        while all.len() < pairs.len() {
            all.extend(told(&set).await);
        }
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..pairs.len()));
        Ok(())
    }
}
