// SPDX-License-Identifier: Apache-2.0
use tidegate_core::GrpcCode;

/// What to do to an endpoint to see whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Connect, and that is all.
    Connect,
    /// Connect, send bytes if there are any, and read until the text or the limit is reached.
    Exchange {
        /// What is sent; empty sends nothing.
        bytes: Vec<u8>,
        /// What is waited for.
        text: Expected,
    },
    /// Send a datagram, and wait for one back.
    Datagram {
        /// What is sent.
        bytes: Vec<u8>,
    },
    /// Connect, send a request, read an HTTP/1.1 response: its head, and of its body what is needed.
    Http {
        /// The whole request.
        bytes: Vec<u8>,
        /// Whether it is a HEAD request, whose response has no body.
        is_head: bool,
        /// What is looked for in the body; without it the body is not read.
        body: Option<Expected>,
    },
    /// Connect, make one call of gRPC, read its answer to the end.
    Call {
        /// The whole request, as HTTP/1.1 would have it.
        bytes: Vec<u8>,
        /// Bytes of the answer's content that are kept at most.
        within: usize,
    },
    /// Call a function of the configuration; nothing is sent to the endpoint from here.
    Function {
        /// Its name.
        function: String,
        /// The body of the call's request, JSON.
        body: Vec<u8>,
    },
}

/// A text that is looked for, and in how many bytes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Bytes that must occur, at least one.
    pub text: Vec<u8>,
    /// Bytes from the beginning that are looked through, text included.
    pub within: usize,
}

impl Expected {
    /// Whether the text occurs in what has come so far.
    pub fn is_in(&self, heard: &[u8]) -> bool {
        let heard = heard.get(..self.within).unwrap_or(heard);
        heard
            .windows(self.text.len().max(1))
            .any(|part| part == self.text)
    }
}

/// What came back from a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A connection came about.
    Connection,
    /// Bytes: what came until the expected text was there, the limit, or the end; or a datagram.
    Bytes(&'a [u8]),
    /// A response, of the endpoint or of a function: its status, and the body as far as it was read,
    /// decoded.
    Response {
        /// 200 to 599.
        status: u16,
        /// Empty where the probe does not ask for one.
        body: &'a [u8],
    },
    /// What a call of gRPC came to.
    Call {
        /// Of HTTP, 200 to 599.
        status: u16,
        /// What `grpc-status` said, if anything did.
        code: Option<GrpcCode>,
        /// The first of its content: messages.
        body: &'a [u8],
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Healthy,
    /// Not well, and why, for the log.
    Unhealthy(String),
}

/// A health check's settings, and its judgement. The engine does the connecting and waiting.
pub trait Check: Send + Sync {
    /// Milliseconds between the end of one probe and the start of the next.
    fn interval_ms(&self) -> u64;
    /// The same while the endpoint is down, or its last probe contradicts its state.
    fn quick_interval_ms(&self) -> u64;
    /// Milliseconds one probe may take in all.
    fn timeout_ms(&self) -> u64;
    /// Probes in a row that must pass before an endpoint is up.
    fn healthy_after(&self) -> u32;
    /// Probes in a row that must fail before an endpoint is down.
    fn unhealthy_after(&self) -> u32;
    /// Whether it speaks TLS where its backend does.
    fn speaks_tls(&self) -> bool {
        true
    }
    /// What to send to the endpoint at `address`.
    fn probe(&self, address: &str) -> Probe;
    /// Judges what came back.
    fn judge(&self, heard: Heard<'_>) -> Verdict;
}
