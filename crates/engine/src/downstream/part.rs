// SPDX-License-Identifier: Apache-2.0
use super::{http2, http3};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_http::ResponseContext;
use tidegate_request::{Fields, Response};
use tidegate_tls::{Client, Told};

/// A part of a connection that carries several exchanges at a time.
pub(crate) enum Part {
    /// A stream of HTTP/2.
    Http2(http2::Stream),
    /// A stream of HTTP/3.
    Http3(http3::Stream),
    /// A connection of HTTP/3 itself, of which nothing is read or written but by its streams.
    Quic(Rc<http3::Shared>),
}

/// Does the same with a stream of either version; `$none` with a connection.
macro_rules! each {
    ($part:expr, $stream:ident => $act:expr, $none:expr) => {
        match $part {
            Part::Http2($stream) => $act,
            Part::Http3($stream) => $act,
            Part::Quic(_) => $none,
        }
    };
}

fn nothing<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl Part {
    /// How many requests its connection carries now.
    pub(crate) fn count(&self) -> usize {
        each!(self, stream => stream.count(), 0)
    }

    /// Whether the request is a HEAD, as far as it could be read.
    pub(crate) fn is_head(&self) -> bool {
        each!(self, stream => stream.is_head, false)
    }

    /// What was agreed on in TLS.
    pub(crate) fn told(&self) -> Option<Told> {
        match self {
            Self::Http2(stream) => stream.told(),
            Self::Http3(stream) => stream.shared().told(),
            Self::Quic(shared) => shared.told(),
        }
    }

    /// The host that the client wanted in the handshake.
    pub(crate) fn server_name(&self) -> Option<String> {
        match self {
            Self::Http2(stream) => stream.server_name(),
            Self::Http3(stream) => stream.shared().server_name(),
            Self::Quic(shared) => shared.server_name(),
        }
    }

    /// What the client was asked to show in the handshake, and has shown.
    pub(crate) fn client(&self) -> Option<Client> {
        match self {
            Self::Http2(stream) => stream.client(),
            Self::Http3(stream) => stream.shared().client(),
            Self::Quic(shared) => shared.client(),
        }
    }

    /// Notes what it was found to be by what is asked now.
    pub(crate) fn set_client(&self, client: Option<Client>) {
        match self {
            Self::Http2(stream) => stream.set_client(client),
            Self::Http3(stream) => stream.shared().set_client(client),
            Self::Quic(shared) => shared.set_client(client),
        }
    }

    /// The address of this machine that the client dialled.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        match self {
            Self::Http2(stream) => stream.local_address(),
            Self::Http3(stream) => stream.shared().local_address(),
            Self::Quic(shared) => shared.local_address(),
        }
    }

    /// Whether the client gave it up, or its connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        each!(self, stream => stream.is_gone(), true)
    }

    /// As [`Self::is_gone`]; the task is woken when that happens.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> bool {
        each!(self, stream => stream.poll_gone(cx), true)
    }

    /// Content that has come. What was taken before has been passed on, and may come again.
    pub(crate) fn take(&self) -> Vec<u8> {
        each!(self, stream => stream.take(), Vec::new())
    }

    /// Whether there is no more content to be taken, and none will come.
    pub(crate) fn is_at_end(&self) -> bool {
        each!(self, stream => stream.is_at_end(), true)
    }

    /// The request's trailers, once it [`Self::is_at_end`].
    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        each!(self, stream => stream.take_trailers(), None)
    }

    /// Waits for content: what there is, and nothing at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        each!(self, stream => stream.poll_take(cx), nothing())
    }

    /// Reads into `buffer`, for who moves bytes and not a message; `Ok(0)` is the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_read(cx, buffer), nothing())
    }

    /// Sends content; may take less. The last that the response's length allows ends it.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes), nothing())
    }

    /// Sends a piece of a file; `Ok(0)` is the file's end.
    pub(crate) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_send_file(cx, file, offset, count), nothing())
    }

    /// The connection behind a tunnel broke.
    pub(crate) fn break_off(&self) {
        each!(self, stream => stream.break_off(), {});
    }

    /// So much of its response waits here.
    pub(crate) fn hold(&self, bytes: usize) {
        each!(self, stream => stream.hold(bytes), {});
    }

    /// Whether so much of its response may come to wait here.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        each!(self, stream => stream.may_hold(bytes), false)
    }

    /// Ends what is sent; without room for that, with the first [`Self::poll_read`] when there is.
    pub(crate) fn end(&self) {
        each!(self, stream => stream.end(), {});
    }

    /// Sends the head of a response, final or interim.
    pub(crate) fn poll_begin(
        &self,
        cx: &mut Context<'_>,
        response: &Response,
        context: &ResponseContext<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_begin(cx, response, context), nothing())
    }

    /// Asks for the content that the client holds back.
    pub(crate) fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_continue(cx), nothing())
    }

    /// Whether content would be taken now; else the task is woken when it would.
    pub(crate) fn may_send(&self, cx: &Context<'_>) -> bool {
        each!(self, stream => stream.may_send(cx), true)
    }

    /// Ends a response whose length was not told, with its trailers; nothing to do for another.
    pub(crate) fn poll_finish(
        &self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_finish(cx, trailers), nothing())
    }
}
