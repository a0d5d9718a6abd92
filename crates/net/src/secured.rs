// SPDX-License-Identifier: Apache-2.0
//! A stream inside of TLS. What is written is with the kernel once a write is ready, as without: there
//! is nothing to flush.
use crate::Stream;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use tidegate_tls::{Acceptance, Approach, Client, Fault, Inside, Refusal, Session, Told};

/// Bytes taken from a socket at a time: two records of the largest kind, nearly.
const SCRATCH: usize = 32 << 10;
/// Bytes of a file that are encrypted at a time.
const FILE_PIECE: usize = 64 << 10;

thread_local! {
    /// Where encrypted bytes lie between the socket and a session: nothing stays in it.
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    /// Where a file's bytes lie before they are encrypted.
    static FILE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a connection inside of TLS has besides its socket.
#[derive(Debug, Default)]
pub struct Secured {
    session: RefCell<Session>,
    told: Cell<Option<Told>>,
}

/// The socket, as a session writes to it.
struct Socket<'a>(&'a OwnedFd, SendFlags);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, self.1)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.0, pieces, &mut nothing, self.1)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Secured {
    /// Has what the socket brought decrypted.
    fn feed(&self, outcome: &io::Result<usize>, received: &[u8]) {
        if let Ok(count) = outcome {
            let bytes = received.get(..*count).unwrap_or_default();
            self.session.borrow_mut().feed(bytes);
        }
    }
}

impl Stream {
    /// Puts TLS on a connection of which nothing was read or written.
    pub fn secure(&mut self) {
        self.tls = Some(Box::default());
    }

    /// Puts TLS on a connection to the endpoint that is asked for by `name`, before anything is read or
    /// written.
    ///
    /// # Errors
    /// There is no such name.
    pub fn secure_to(
        &mut self,
        approach: &Approach,
        name: &str,
        inside: Inside,
    ) -> Result<(), Fault> {
        let session = RefCell::new(Session::with_endpoint(approach, name, inside)?);
        self.tls = Some(Box::new(Secured {
            session,
            told: Cell::default(),
        }));
        Ok(())
    }

    /// Takes TLS off again, so that somebody who does not speak it can be told.
    pub fn lay_bare(&mut self) {
        self.tls = None;
    }

    /// Whether what is read and written goes through TLS.
    #[inline]
    pub fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// What was agreed on; `None` without TLS, or before the handshake is over.
    pub fn told(&self) -> Option<Told> {
        self.tls.as_ref().and_then(|tls| tls.told.get())
    }

    /// What the client was asked to show and has shown; `None` where it was asked for nothing.
    pub fn client(&self) -> Option<Client> {
        let session = self.tls.as_ref()?.session.borrow();
        session.client().cloned()
    }

    /// Notes what the client was found to be by what is asked now.
    pub fn set_client(&self, client: Option<Client>) {
        if let Some(tls) = &self.tls {
            tls.session.borrow_mut().set_client(client);
        }
    }

    /// The host that the client wanted during the handshake.
    pub fn server_name(&self) -> Option<String> {
        let session = self.tls.as_ref()?.session.borrow();
        session.server_name().map(str::to_owned)
    }

    /// The protocol that was chosen by ALPN.
    pub fn protocol(&self) -> Option<Vec<u8>> {
        let session = self.tls.as_ref()?.session.borrow();
        session.protocol().map(<[u8]>::to_vec)
    }

    /// Waits until the handshake is over, well or not; at once without TLS.
    pub fn poll_handshake(
        &self,
        cx: &mut Context<'_>,
        terms: &Acceptance,
    ) -> Poll<Result<(), Refusal>> {
        self.poll_shaking(
            cx,
            || Refusal::Closed,
            |session, bytes, alert| session.greet(bytes, terms, alert),
        )
    }

    /// As [`Stream::poll_handshake`], with an endpoint.
    pub fn poll_answered(&self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.poll_shaking(cx, Fault::closed, |session, bytes, _| {
            session.answered(bytes)
        })
    }

    /// Does both sides' part of a handshake: `take` gives the session what came.
    fn poll_shaking<E>(
        &self,
        cx: &mut Context<'_>,
        closed: fn() -> E,
        mut take: impl FnMut(&mut Session, &[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Poll<Result<(), E>> {
        let Some(tls) = &self.tls else {
            return Poll::Ready(Ok(()));
        };
        loop {
            if ready!(self.poll_flush(tls, cx, SendFlags::NOSIGNAL)).is_err() {
                return Poll::Ready(Err(closed()));
            }
            if let Some(told) = tls.session.borrow().told() {
                tls.told.set(Some(told));
                return Poll::Ready(Ok(()));
            }
            let outcome = ready!(RECEIVED.with_borrow_mut(|received| {
                self.poll_read_bare(cx, received).map(|outcome| {
                    let count = outcome.unwrap_or(0);
                    let bytes = received.get(..count).unwrap_or_default();
                    let mut alert = Vec::new();
                    let taken = take(&mut tls.session.borrow_mut(), bytes, &mut alert);
                    if taken.is_err() {
                        // It is over in any case: what does not fit is not waited for.
                        let _ = self.try_flush(tls);
                        let _ = rustix::net::send(&self.fd, &alert, SendFlags::NOSIGNAL);
                    }
                    taken
                })
            }));
            if outcome.is_err() {
                return Poll::Ready(outcome);
            }
        }
    }

    /// How the endpoint broke TLS, or that it ended it by an alert.
    pub fn fault(&self) -> Option<Fault> {
        self.tls.as_ref()?.session.borrow().fault()
    }

    /// Sends what the session has for the client by itself (tickets, answers to key updates, alerts),
    /// as far as the socket takes it; the rest goes with the next write.
    fn try_flush(&self, tls: &Secured) -> io::Result<()> {
        let mut session = tls.session.borrow_mut();
        while session.wants_write() {
            session.write_to(&mut Socket(&self.fd, SendFlags::NOSIGNAL))?;
        }
        Ok(())
    }

    fn poll_flush(
        &self,
        tls: &Secured,
        cx: &mut Context<'_>,
        flags: SendFlags,
    ) -> Poll<io::Result<()>> {
        while tls.session.borrow().wants_write() {
            // How much there is is not known, so no write is a short one.
            ready!(self.poll_writing(cx, 0, || {
                let mut session = tls.session.borrow_mut();
                let outcome = session.write_to(&mut Socket(&self.fd, flags));
                outcome.map_err(|error| {
                    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
                })
            }))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read_secured(
        &self,
        tls: &Secured,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match tls.session.borrow_mut().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
            ready!(self.poll_more(tls, cx))?;
        }
    }

    /// Takes more from the socket.
    fn poll_more(&self, tls: &Secured, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(RECEIVED.with_borrow_mut(|received| {
            let outcome = self.poll_read_bare(cx, received);
            if let Poll::Ready(outcome) = &outcome {
                tls.feed(outcome, received);
            }
            outcome
        }));
        outcome?;
        let _ = self.try_flush(tls); // an error shows at the next read or write
        Poll::Ready(Ok(()))
    }

    pub(crate) fn read_secured_now(&self, tls: &Secured, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match tls.session.borrow_mut().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            RECEIVED.with_borrow_mut(|received| {
                let outcome = self.read_bare_now(received);
                tls.feed(&outcome, received);
                outcome.map(drop)
            })?;
            let _ = self.try_flush(tls); // an error shows at the next read or write
        }
    }

    /// As [`Stream::poll_readable`]: records without plaintext are dealt with here and tell nothing.
    pub(crate) fn poll_readable_secured(
        &self,
        tls: &Secured,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !tls.session.borrow_mut().is_readable() {
            ready!(self.poll_more(tls, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// As [`Stream::poll_write`]. What is taken of `bytes` is encrypted at once; while the socket does
    /// not take all of that it is pending, and the same bytes must be given again.
    pub(crate) fn poll_write_secured(
        &self,
        tls: &Secured,
        cx: &mut Context<'_>,
        bytes: &[u8],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        tls.session.borrow_mut().take(bytes)?;
        ready!(self.poll_flush(tls, cx, flags))?;
        Poll::Ready(Ok(tls.session.borrow_mut().sent()))
    }

    pub(crate) fn poll_send_file_secured(
        &self,
        tls: &Secured,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        if tls.session.borrow().taken() == 0 {
            let read = FILE.with_borrow_mut(|piece| {
                piece.resize(FILE_PIECE, 0);
                let room = piece.get_mut(..count.min(FILE_PIECE)).unwrap_or_default();
                let filled = rustix::io::pread(file, &mut *room, offset)?;
                let bytes = room.get(..filled).unwrap_or_default();
                tls.session.borrow_mut().take(bytes)?;
                Ok::<usize, io::Error>(filled)
            })?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        ready!(self.poll_flush(tls, cx, SendFlags::NOSIGNAL))?;
        Poll::Ready(Ok(tls.session.borrow_mut().sent()))
    }

    /// Tells the peer, inside of TLS, that this is the end and nothing was cut off; does nothing
    /// without TLS.
    pub fn say_end(&self) {
        if let Some(tls) = &self.tls {
            tls.session.borrow_mut().close();
            let _ = self.try_flush(tls); // the peer may be gone already
        }
    }
}
