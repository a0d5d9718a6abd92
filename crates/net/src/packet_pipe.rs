// SPDX-License-Identifier: Apache-2.0
use crate::watch::watch;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, sockopt};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel is asked to let wait in one direction; it gives as much as it may (net.core.wmem_max).
const WAITING: usize = 2 << 20;

/// One end of a way between two processes that keeps messages apart: a pair of Unix sockets of the kind
/// `SOCK_SEQPACKET`, which have no name. Whoever sends never waits.
#[derive(Debug)]
pub struct PacketPipe {
    fd: AsyncFd<OwnedFd>,
}

impl PacketPipe {
    /// Takes one end.
    ///
    /// # Errors
    /// When it cannot be made non-blocking or watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let _ = sockopt::set_socket_send_buffer_size(&fd, WAITING); // less will do
        let fd = watch(fd, Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Sends one message, in two pieces that arrive as one.
    ///
    /// # Errors
    /// `WouldBlock` when the other side has as much waiting as may be, `BrokenPipe` when it is gone.
    pub fn send(&self, head: &[u8], bytes: &[u8]) -> io::Result<()> {
        let pieces = [IoSlice::new(head), IoSlice::new(bytes)];
        let mut none = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(self.fd.get_ref(), &pieces, &mut none, flags)?;
        Ok(())
    }

    /// Waits for a message, which is put into `room`; how long it is, and 0 at the end. What does not fit
    /// is lost.
    ///
    /// # Errors
    /// The kernel's.
    pub fn poll_receive(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match rustix::net::recv(self.fd.get_ref(), &mut *room, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::future::poll_fn;

    fn pair() -> (PacketPipe, PacketPipe) {
        let kind = SocketType::SEQPACKET;
        let (one, other) =
            socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        (
            PacketPipe::new(one).unwrap(),
            PacketPipe::new(other).unwrap(),
        )
    }

    #[tokio::test]
    async fn messages_stay_apart_and_their_end_is_seen() {
        let (one, other) = pair();
        one.send(b"a", b"bc").unwrap();
        one.send(b"d", b"").unwrap();
        let mut room = [0; 16];
        let mut received = Vec::new();
        for _ in 0..2 {
            let count = poll_fn(|cx| other.poll_receive(cx, &mut room)).await;
            received.push(room[..count.unwrap()].to_vec());
        }
        assert_eq!(received, [b"abc".to_vec(), b"d".to_vec()]);
        drop(one);
        let end = poll_fn(|cx| other.poll_receive(cx, &mut room)).await;
        assert_eq!(end.unwrap(), 0);
        let error = other.send(b"a", b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_sends_to_somebody_that_does_not_read_is_told_and_does_not_wait() {
        let (one, _other) = pair();
        let packet = [0; 1200];
        let sent = (0..100_000).find_map(|_| one.send(b"head", &packet).err());
        assert_eq!(sent.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
