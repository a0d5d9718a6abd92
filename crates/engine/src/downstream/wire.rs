// SPDX-License-Identifier: Apache-2.0
//! What an exchange reads from and writes to: the client's connection, or its part of one.
use super::FEW_STREAMS;
use super::connection::{Downstream, Stalled};
use super::part::Part;
use crate::upstream::Pipe;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use tidegate_http::{ResponseContext, Sent, encode_response};
use tidegate_net::Stream;
use tidegate_request::{Fields, Request, Response, ResponseFraming};
use tidegate_tls::{Client, Told};

/// Bytes of a response with its head that are read at once for one of many streams.
const AMONG_MANY: usize = 2 << 10;

/// Where the bytes of an exchange go.
pub(crate) enum Wire {
    /// A connection of HTTP/1.1, or one that has not said what it speaks.
    Whole(Stream),
    /// A stream of a connection that has several.
    Stream(Part),
}

impl Wire {
    /// The connection, if all of it is this exchange's.
    #[inline]
    pub(crate) fn whole(&self) -> Option<&Stream> {
        match self {
            Self::Whole(stream) => Some(stream),
            Self::Stream(_) => None,
        }
    }

    /// The stream, if it is only a part of a connection.
    #[inline]
    pub(crate) fn stream(&self) -> Option<&Part> {
        match self {
            Self::Whole(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// Whether so much of a response may come to wait here: for who has a connection of his own, always.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        self.stream().is_none_or(|stream| stream.may_hold(bytes))
    }

    /// Whether it is one of so many streams of its connection, or more.
    pub(crate) fn is_among(&self, count: usize) -> bool {
        self.stream().is_some_and(|stream| stream.count() >= count)
    }

    /// Reads into `buffer`; `Ok(0)` is the end.
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_read(cx, buffer),
            Self::Stream(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// Writes from `bytes`; may take less.
    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_write(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// As [`Stream::poll_write_part`].
    pub(crate) fn poll_write_part(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        has_more: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_write_part(cx, bytes, has_more),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// As [`Stream::poll_send_file`].
    pub(crate) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_send_file(cx, file, offset, count),
            Self::Stream(stream) => stream.poll_send_file(cx, file, offset, count),
        }
    }

    /// Ends a response whose end the client is not told otherwise.
    #[inline]
    pub(crate) fn poll_finish(
        &self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Whole(_) => Poll::Ready(Ok(())),
            Self::Stream(stream) => stream.poll_finish(cx, trailers),
        }
    }

    /// Puts TLS on a connection of which nothing was read.
    pub(crate) fn secure(&mut self) {
        if let Self::Whole(stream) = self {
            stream.secure();
        }
    }

    /// As [`Stream::lay_bare`].
    pub(crate) fn lay_bare(&mut self) {
        if let Self::Whole(stream) = self {
            stream.lay_bare();
        }
    }

    /// Whether what is read and written goes through TLS.
    #[inline]
    pub(crate) fn is_secured(&self) -> bool {
        match self {
            Self::Whole(stream) => stream.is_secured(),
            Self::Stream(stream) => stream.told().is_some(),
        }
    }

    /// What was agreed on in TLS.
    #[inline]
    pub(crate) fn told(&self) -> Option<Told> {
        match self {
            Self::Whole(stream) => stream.told(),
            Self::Stream(stream) => stream.told(),
        }
    }

    /// The host that the client wanted in the handshake.
    pub(crate) fn server_name(&self) -> Option<String> {
        match self {
            Self::Whole(stream) => stream.server_name(),
            Self::Stream(stream) => stream.server_name(),
        }
    }

    /// What the client was asked to show in the handshake, and has shown.
    pub(crate) fn client(&self) -> Option<Client> {
        match self {
            Self::Whole(stream) => stream.client(),
            Self::Stream(stream) => stream.client(),
        }
    }

    /// Notes what it was found to be by what is asked now, for the whole connection.
    pub(crate) fn set_client(&self, client: Option<Client>) {
        match self {
            Self::Whole(stream) => stream.set_client(client),
            Self::Stream(stream) => stream.set_client(client),
        }
    }

    /// The address of this machine that the client dialled.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        match self {
            Self::Whole(stream) => stream.local_address(),
            Self::Stream(stream) => stream.local_address(),
        }
    }

    /// As [`Stream::is_gone`]; of a stream, [`Part::poll_gone`] tells as well.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Whole(stream) => stream.is_gone(),
            Self::Stream(stream) => stream.is_gone(),
        }
    }

    /// Bytes of a response that are read at once before its head was sent: who takes none of a hundred
    /// responses must not pin a buffer for each.
    pub(crate) fn room(&self) -> usize {
        match self.stream() {
            Some(stream) if stream.count() > FEW_STREAMS => AMONG_MANY,
            _ => usize::MAX,
        }
    }

    /// Whether it is a stream that the client gave up, or whose connection is gone.
    pub(crate) fn is_given_up(&self) -> bool {
        self.stream().is_some_and(Part::is_gone)
    }

    /// Tells the client that nothing more will be written.
    pub(crate) fn shutdown_write(&self) {
        match self {
            Self::Whole(stream) => stream.shutdown_write(),
            Self::Stream(stream) => stream.end(),
        }
    }

    /// Tells the client, inside of TLS, that the end of its connection is near.
    pub(crate) fn say_end(&self) {
        if let Self::Whole(stream) = self {
            stream.say_end();
        }
    }

    /// Makes the end of a connection a reset. A stream that has not ended is reset in any case.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Whole(stream) = self {
            stream.reset_on_close();
        }
    }
}

impl Pipe for Wire {
    #[inline]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_read_freely(cx, buffer),
            Self::Stream(stream) => stream.poll_read(cx, buffer),
        }
    }

    #[inline]
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(stream) => stream.poll_write_freely(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    #[inline]
    fn may_read(&self) -> bool {
        match self {
            Self::Whole(stream) => stream.may_read(),
            Self::Stream(_) => true,
        }
    }

    fn shutdown_write(&self) {
        Self::shutdown_write(self);
    }

    fn reset_on_close(&self) {
        match self {
            Self::Whole(stream) => stream.reset_on_close(),
            Self::Stream(stream) => stream.break_off(),
        }
    }
}

impl Downstream {
    /// Begins a response: its head goes to `out`, to be written before any content, or on its way.
    ///
    /// # Errors
    /// When the client does not take it.
    #[inline]
    pub(crate) async fn begin_response(
        &self,
        out: &mut Vec<u8>,
        response: &Response,
        context: &ResponseContext<'_>,
    ) -> Result<Sent, Stalled> {
        match &self.stream {
            Wire::Whole(_) => Ok(encode_response(out, response, context)),
            Wire::Stream(stream) => {
                self.in_time(|cx| stream.poll_begin(cx, response, context))
                    .await?;
                let framing = match response.framing() {
                    ResponseFraming::Chunked => ResponseFraming::Close,
                    framing => framing,
                };
                Ok(Sent {
                    framing,
                    keep_alive: context.keep_alive,
                })
            }
        }
    }

    /// Whether the client wants its stream to carry another protocol (RFC 8441).
    pub(crate) fn is_tunnel(&self, request: &Request) -> bool {
        self.stream.stream().is_some() && request.upgrade().is_some()
    }

    /// Ends a response of which all content was written.
    ///
    /// # Errors
    /// When the client does not take the end.
    pub(crate) async fn finish(&self) -> Result<(), Stalled> {
        match &self.stream {
            Wire::Whole(_) => Ok(()),
            Wire::Stream(stream) => self.in_time(|cx| stream.poll_finish(cx, None)).await,
        }
    }

    /// Ends a response on a stream before its content is whole, which the trailers say.
    pub(crate) async fn finish_with(&self, trailers: &Fields) {
        if let Wire::Stream(stream) = &self.stream {
            let finished = self.in_time(|cx| stream.poll_finish(cx, Some(trailers)));
            let _ = finished.await; // who is gone need not be told
        }
    }

    /// Asks the client for the content that it holds back (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// When the client does not take that.
    pub(crate) async fn ask_to_continue(&self) -> Result<(), Stalled> {
        match &self.stream {
            Wire::Whole(_) => self.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await,
            Wire::Stream(stream) => self.in_time(|cx| stream.poll_continue(cx)).await,
        }
    }

    /// Waits for the client to take something, for `send_stall` at most.
    async fn in_time(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Result<(), Stalled> {
        let mut has_timer = false;
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = poll(cx) {
                return Poll::Ready(outcome.map_err(|_| Stalled));
            }
            if !std::mem::replace(&mut has_timer, true) {
                let stall = self.listener.config.timeouts.send_stall.0;
                self.timer.set(self.thread.moment().after_millis(stall));
            }
            self.timer.poll_expired(cx).map(|()| Err(Stalled))
        })
        .await
    }
}
