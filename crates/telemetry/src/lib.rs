// SPDX-License-Identifier: Apache-2.0
//! Metrics, the access log, and the form of lines in the log of events.
//!
//! A node's threads only add numbers and copy bytes; formatting and writing happen on the log
//! thread ([`LogWriter`]) and when metrics are asked for ([`render`]).
#![forbid(unsafe_code)]

mod combined;
mod entry;
mod event;
mod format;
mod kept;
mod metrics;
mod render;
mod sink;
mod spans;
mod tries;
mod writer;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;

pub use entry::{LogBatch, LogEntry, TEXTS, Text};
pub use event::Event;
pub use format::{LogFormat, format_entry};
pub use metrics::{
    DURATION_BUCKETS_US, L4Stats, Mirrored, PerThread, RouteStats, SharedL4Stats, SharedRouteStats,
    ThreadStats,
};
pub use render::{Gauge, Scrape, render};
pub use tries::Try;
pub use writer::{LogSender, LogWriter};
