// SPDX-License-Identifier: Apache-2.0
use std::fmt;

/// Why a stream or connection ended, as RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE say it.
/// RFC 9114 §8.1, RFC 9204 §6. Codes that are not listed there are kept as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u64);

impl Code {
    /// No error: an orderly end, or the rest of a request that nobody needs.
    pub const NO_ERROR: Self = Self(0x100);
    /// The protocol was broken in a way that has no code of its own.
    pub const GENERAL_PROTOCOL_ERROR: Self = Self(0x101);
    /// A defect of the one who says it.
    pub const INTERNAL_ERROR: Self = Self(0x102);
    /// A stream that the peer does not take.
    pub const STREAM_CREATION_ERROR: Self = Self(0x103);
    /// A stream ended without which the connection cannot be.
    pub const CLOSED_CRITICAL_STREAM: Self = Self(0x104);
    /// A frame where it must not be.
    pub const FRAME_UNEXPECTED: Self = Self(0x105);
    /// A frame of a form or size that it cannot have.
    pub const FRAME_ERROR: Self = Self(0x106);
    /// The peer does what costs much and is of no use.
    pub const EXCESSIVE_LOAD: Self = Self(0x107);
    /// An identifier that cannot be.
    pub const ID_ERROR: Self = Self(0x108);
    /// SETTINGS that are malformed.
    pub const SETTINGS_ERROR: Self = Self(0x109);
    /// A control stream that does not begin with SETTINGS.
    pub const MISSING_SETTINGS: Self = Self(0x10a);
    /// Nothing was done for the request: it may be sent again.
    pub const REQUEST_REJECTED: Self = Self(0x10b);
    /// Nobody wants the request or its response any more.
    pub const REQUEST_CANCELLED: Self = Self(0x10c);
    /// The stream ended before its request did.
    pub const REQUEST_INCOMPLETE: Self = Self(0x10d);
    /// A malformed message (RFC 9114 §4.1.2).
    pub const MESSAGE_ERROR: Self = Self(0x10e);
    /// The connection that a CONNECT stood for failed.
    pub const CONNECT_ERROR: Self = Self(0x10f);
    /// A field section that is no QPACK.
    pub const QPACK_DECOMPRESSION_FAILED: Self = Self(0x200);
    /// An instruction of the peer's encoder that cannot be.
    pub const QPACK_ENCODER_STREAM_ERROR: Self = Self(0x201);
    /// An instruction of the peer's decoder that cannot be.
    pub const QPACK_DECODER_STREAM_ERROR: Self = Self(0x202);
}

/// What is wrong, and what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the peer is told.
    pub code: Code,
    /// For the log only: a fixed text.
    pub detail: &'static str,
}

impl Error {
    pub(crate) const fn new(code: Code, detail: &'static str) -> Self {
        Self { code, detail }
    }

    pub(crate) const fn load(detail: &'static str) -> Self {
        Self::new(Code::EXCESSIVE_LOAD, detail)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}: {}", self.code.0, self.detail)
    }
}

impl std::error::Error for Error {}

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The stream it came on, which is to be reset and read no more.
    Stream(Error),
    /// The connection.
    Connection(Error),
}

impl Failure {
    pub(crate) const fn message(detail: &'static str) -> Self {
        Self::Stream(Error::new(Code::MESSAGE_ERROR, detail))
    }

    pub(crate) const fn unexpected(detail: &'static str) -> Self {
        Self::Connection(Error::new(Code::FRAME_UNEXPECTED, detail))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}
