// SPDX-License-Identifier: Apache-2.0
use std::fmt;
use tidegate_core::ErrorKind;

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Decides the status and the word in log, metric and `Proxy-Status`.
    pub kind: ErrorKind,
    /// For the log only: a fixed text, so nothing a peer sent can reach a line through it.
    pub detail: &'static str,
}

impl Reject {
    /// A refusal of `kind` because of `detail`.
    pub const fn new(kind: ErrorKind, detail: &'static str) -> Self {
        Self { kind, detail }
    }

    /// A request that is not HTTP, or ambiguous: 400.
    pub const fn request(detail: &'static str) -> Self {
        Self::new(ErrorKind::HttpRequestError, detail)
    }

    /// A response that is not HTTP, or ambiguous: 502.
    pub const fn response(detail: &'static str) -> Self {
        Self::new(ErrorKind::HttpProtocolError, detail)
    }

    /// The status the client gets.
    pub fn status(&self) -> u16 {
        self.kind.status()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Reject {}
