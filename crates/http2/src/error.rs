// SPDX-License-Identifier: Apache-2.0
use std::fmt;

/// Why a stream or connection ended, as RST_STREAM and GOAWAY say it. RFC 9113 §7. Codes that are
/// not listed there are kept as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// No error: an orderly end.
    pub const NO_ERROR: Self = Self(0x0);
    /// The protocol was broken in a way that has no code of its own.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// A defect of the one who says it.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More was sent than the window allowed, or a window passed 2^31-1.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame on a stream that is half closed.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a size that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// Nothing was done for the stream: it may be tried again elsewhere.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// Nobody wants the stream any more.
    pub const CANCEL: Self = Self(0x8);
    /// A header block that is no HPACK.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection that a CONNECT stood for failed.
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// The peer does what costs much and is of no use.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// TLS below what RFC 9113 §9.2 asks.
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    /// The request must be sent in HTTP/1.1.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// The name of RFC 9113 §7 in lower case; `unknown` for other codes.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "no_error",
            "protocol_error",
            "internal_error",
            "flow_control_error",
            "settings_timeout",
            "stream_closed",
            "frame_size_error",
            "refused_stream",
            "cancel",
            "compression_error",
            "connect_error",
            "enhance_your_calm",
            "inadequate_security",
            "http_1_1_required",
        ];
        let index = usize::try_from(self.0).unwrap_or(usize::MAX);
        NAMES.get(index).copied().unwrap_or("unknown")
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The connection is over: GOAWAY with this code is the last of its output. RFC 9113 §5.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the peer is told.
    pub code: ErrorCode,
    /// For the log only: a fixed text.
    pub detail: &'static str,
}

impl ConnectionError {
    pub(crate) const fn new(code: ErrorCode, detail: &'static str) -> Self {
        Self { code, detail }
    }

    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, detail)
    }

    pub(crate) const fn size(detail: &'static str) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, detail)
    }

    pub(crate) const fn calm(detail: &'static str) -> Self {
        Self::new(ErrorCode::ENHANCE_YOUR_CALM, detail)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for ConnectionError {}

/// Why something was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no such stream any more: it was reset, or both sides have ended it.
    Closed,
    /// The output is full. The stream is in turn: [`crate::Connection::next_writable`] names it
    /// when there is room.
    Full,
    /// The peer takes no head of this size (SETTINGS_MAX_HEADER_LIST_SIZE).
    TooLarge,
    /// The peer takes no more streams at a time, for now.
    NoStream,
    /// The connection takes no new streams: it is ending, or its identifiers are used up.
    Ending,
    /// Not what comes next on this stream: content before the head, or anything behind the end.
    Order,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the stream is closed",
            Self::Full => "the output is full",
            Self::TooLarge => "a head larger than the peer takes",
            Self::NoStream => "the peer takes no more streams at a time",
            Self::Ending => "the connection takes no new streams",
            Self::Order => "not what comes next on the stream",
        })
    }
}

impl std::error::Error for SendError {}
