// SPDX-License-Identifier: Apache-2.0
use crate::{ErrorCode, Pseudo};
use tidegate_core::ErrorKind;
use tidegate_request::Storage;

/// What one call of [`crate::Connection::receive`] read.
#[derive(Debug)]
pub struct Received<'a> {
    /// Bytes of the input that are done with, those of the event among them. 0 without an event:
    /// more input is needed.
    pub consumed: usize,
    /// What happened.
    pub event: Option<Event<'a>>,
}

/// What happened on a connection. `ends`: the peer has ended the stream with it.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request, on a stream that is new. For servers.
    Request {
        /// Its stream.
        stream: u32,
        /// Request line.
        pseudo: Pseudo<'a>,
        /// Its fields, one `host` and at most one `cookie` among them: the caller takes it, and may
        /// leave one in its place that it has no use for.
        storage: &'a mut Storage,
        /// No content follows.
        ends: bool,
    },
    /// A response, or an interim one (1xx) before it. For clients.
    Response {
        /// Its stream.
        stream: u32,
        /// 100 to 999, never 101.
        status: u16,
        /// Its fields, as of a request.
        storage: &'a mut Storage,
        /// No content follows.
        ends: bool,
    },
    /// A request that is HTTP/2 but over a limit. The caller answers it with the status of `kind`.
    Refused {
        /// Its stream.
        stream: u32,
        /// Why.
        kind: ErrorKind,
        /// It is a HEAD, whose answer has no content.
        is_head: bool,
        /// No content follows.
        ends: bool,
    },
    /// Content. The windows take it back when it was passed on ([`crate::Connection::release`]).
    Data {
        /// Its stream.
        stream: u32,
        /// A piece of the input; empty only where `ends`.
        data: &'a [u8],
        /// It is the last.
        ends: bool,
    },
    /// Trailers, which end the stream, less those that must not come there.
    Trailers {
        /// Their stream.
        stream: u32,
        /// The fields, as of a request.
        storage: &'a mut Storage,
    },
    /// The stream is closed: by the peer, or here because of what the peer sent on it.
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        code: ErrorCode,
        /// The peer closed it. With [`ErrorCode::REFUSED_STREAM`] its request may be sent again.
        by_peer: bool,
        /// What was wrong, for the log; empty when the peer closed it.
        detail: &'static str,
    },
    /// The peer ends the connection and begins no stream above `last_stream`, or takes none. Those
    /// are reset by events that follow.
    GoAway {
        /// 2^31-1 while it is only a warning.
        last_stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The peer changed its settings: how many streams it takes, or whether extended CONNECT.
    Settings,
    /// The answer to [`crate::Connection::ping`].
    Pong,
}
