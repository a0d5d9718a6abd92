// SPDX-License-Identifier: Apache-2.0

/// What to do to an endpoint to see whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Connect, and that is all.
    Connect,
    /// Connect, send `bytes`, read the head of an HTTP/1.1 response.
    Http {
        /// The whole request.
        bytes: Vec<u8>,
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
    /// Milliseconds one probe may take in all.
    fn timeout_ms(&self) -> u64;
    /// Probes in a row that must pass before an endpoint is up.
    fn healthy_after(&self) -> u32;
    /// Probes in a row that must fail before an endpoint is down.
    fn unhealthy_after(&self) -> u32;
    /// What to send to the endpoint at `address`.
    fn probe(&self, address: &str) -> Probe;
    /// Judges the answer: the status of the response, or `None` after a bare connect.
    fn judge(&self, status: Option<u16>) -> Verdict;
}
