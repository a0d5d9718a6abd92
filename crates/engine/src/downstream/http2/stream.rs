// SPDX-License-Identifier: Apache-2.0
//! A stream as the exchange of a client's request sees it.
use crate::downstream::wire::Wire;
use crate::http2;
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use tidegate_http::{ResponseContext, ResponseFields};
use tidegate_request::{Response, ResponseFraming};
use tidegate_tls::{Client, Told};

/// Bytes of a file that are read at a time: a frame.
const FILE_PIECE: usize = 16 << 10;

/// What is known of the client behind a connection.
pub(crate) struct Facts {
    /// What was agreed on in TLS.
    told: Option<Told>,
    /// The host that the client wanted in the handshake.
    server_name: Option<String>,
    /// What it was asked to show there, and has shown.
    client: RefCell<Option<Client>>,
    /// The address that was dialled.
    local: Option<IpAddr>,
}

impl Facts {
    pub(super) fn of(stream: &Wire) -> Self {
        Self {
            told: stream.told(),
            server_name: stream.server_name(),
            client: RefCell::new(stream.client()),
            local: stream.local_address(),
        }
    }
}

/// One exchange's stream of a client's connection.
pub(crate) type Stream = http2::Stream<Facts>;

impl Stream {
    /// So much of its response waits here.
    pub(crate) fn hold(&self, bytes: usize) {
        self.shared.hold(self.id, bytes);
    }

    /// Whether so much of its response may come to wait here.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        self.shared.may_hold(self.id, bytes)
    }

    pub(crate) fn told(&self) -> Option<Told> {
        self.shared.facts.told
    }

    pub(crate) fn server_name(&self) -> Option<String> {
        self.shared.facts.server_name.clone()
    }

    pub(crate) fn client(&self) -> Option<Client> {
        self.shared.facts.client.borrow().clone()
    }

    pub(crate) fn set_client(&self, client: Option<Client>) {
        *self.shared.facts.client.borrow_mut() = client;
    }

    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        self.shared.facts.local
    }

    /// Waits for content: what there is, and nothing at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let inbox = self.take();
        if !inbox.is_empty() || self.is_at_end() && !self.poll_gone(cx) {
            return Poll::Ready(Ok(inbox));
        }
        match self.poll_gone(cx) {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Poll::Pending,
        }
    }

    /// Reads into `buffer`, for who moves bytes and not a message; `Ok(0)` is the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_ending.get() {
            self.end();
        }
        match self.read_into(buffer) {
            0 if self.poll_gone(cx) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            0 if self.is_at_end() => Poll::Ready(Ok(0)),
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Sends the head of a response, final or interim.
    pub(crate) fn poll_begin(
        &self,
        cx: &mut Context<'_>,
        response: &Response,
        context: &ResponseContext<'_>,
    ) -> Poll<io::Result<()>> {
        let is_final = response.status() >= 200;
        let ends = is_final && response.framing().is_empty();
        let fields = ResponseFields::new(response, context);
        let sent =
            self.shared
                .machine()
                .send_response(self.id, response.status(), fields.iter(), ends);
        match sent {
            Ok(()) => {
                self.has_ended.set(ends);
                if let ResponseFraming::Length(length) = response.framing() {
                    self.owed.set(Some(length));
                }
                self.wrote();
                Poll::Ready(Ok(()))
            }
            Err(error) => self.not_sent(error, cx),
        }
    }

    /// Asks for the content that the client holds back.
    pub(crate) fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let nothing = std::iter::empty();
        let sent = self
            .shared
            .machine()
            .send_response(self.id, 100, nothing, false);
        match sent {
            Ok(()) => {
                self.wrote();
                Poll::Ready(Ok(()))
            }
            Err(error) => self.not_sent(error, cx),
        }
    }

    /// Sends a piece of a file; `Ok(0)` is the file's end.
    pub(crate) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let mut piece = [0; FILE_PIECE];
        let room = piece.get_mut(..count.min(FILE_PIECE)).unwrap_or_default();
        let filled = rustix::io::pread(file, &mut *room, offset)?;
        match room.get(..filled).unwrap_or_default() {
            [] => Poll::Ready(Ok(0)),
            bytes => self.poll_write(cx, bytes),
        }
    }
}
