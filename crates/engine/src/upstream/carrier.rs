// SPDX-License-Identifier: Apache-2.0
//! What an exchange with an endpoint goes over: a connection, or its part of one.
use super::http2::Stream;
use super::relay::Pipe;
use crate::downstream::Upload;
use crate::thread::Connection;
use std::io;
use std::task::{Context, Poll};
use tidegate_request::{Fields, Version};

/// Where the bytes of an exchange go.
pub(crate) enum Carrier {
    /// A connection of HTTP/1.1.
    Whole(Connection),
    /// A stream of an HTTP/2 connection.
    Stream(Stream),
}

impl Carrier {
    /// Whether the content of a request is framed for it.
    #[inline]
    pub(super) fn is_framed(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// What is spoken.
    #[inline]
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Whole(_) => Version::Http11,
            Self::Stream(_) => Version::Http2,
        }
    }

    /// The stream, if it is only a part of a connection.
    #[inline]
    pub(super) fn stream(&self) -> Option<&Stream> {
        match self {
            Self::Whole(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// Writes from `bytes`; may take less.
    #[inline]
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(connection) => connection.stream.poll_write(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Ends the request, where its content does not say so itself.
    #[inline]
    pub(super) fn poll_finish(
        &self,
        cx: &mut Context<'_>,
        upload: &Upload,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Whole(_) => Poll::Ready(Ok(())),
            Self::Stream(stream) => stream.poll_finish(cx, upload.trailers.as_deref()),
        }
    }

    /// Whether the request is still to be ended by [`Self::poll_finish`].
    #[inline]
    pub(super) fn owes_end(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Stream(stream) => !stream.has_ended() && !stream.is_tunnel(),
        }
    }

    /// Whether it is a stream that was asked to carry another protocol.
    #[inline]
    pub(super) fn is_tunnel(&self) -> bool {
        self.stream().is_some_and(Stream::is_tunnel)
    }

    /// The endpoint took too long.
    pub(super) fn doubt(&self) {
        if let Self::Stream(stream) = self {
            stream.doubt();
        }
    }

    /// The trailers of a response that has come to its end, where they are not among its content.
    pub(super) fn take_trailers(&self) -> Option<Fields> {
        self.stream().and_then(Stream::take_trailers)
    }
}

impl Pipe for Carrier {
    #[inline]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(connection) => connection.stream.poll_read_freely(cx, buffer),
            Self::Stream(stream) => stream.poll_read(cx, buffer),
        }
    }

    #[inline]
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Whole(connection) => connection.stream.poll_write_freely(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    #[inline]
    fn may_read(&self) -> bool {
        match self {
            Self::Whole(connection) => connection.stream.may_read(),
            Self::Stream(_) => true,
        }
    }

    fn shutdown_write(&self) {
        match self {
            Self::Whole(connection) => connection.stream.shutdown_write(),
            Self::Stream(stream) => stream.end(),
        }
    }

    fn reset_on_close(&self) {
        if let Self::Whole(connection) = self {
            connection.stream.reset_on_close();
        }
    }
}
