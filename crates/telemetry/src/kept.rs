// SPDX-License-Identifier: Apache-2.0
use crate::{LogBatch, LogEntry, LogFormat, Text, format_entry};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

/// Entries kept for `why`, and the bytes of text they may hold.
const KEPT: usize = 20_000;
const KEPT_BYTES: usize = 16 << 20;
/// Slow requests kept, and the bytes they may hold.
const SLOW: usize = 200;
const SLOW_BYTES: usize = 1 << 20;

/// What is remembered of exchanges that are over.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    batches: VecDeque<(LogBatch, Arc<LogFormat>)>,
    entries: usize,
    bytes: usize,
    slow: VecDeque<String>,
    slow_bytes: usize,
}

impl Kept {
    /// Takes a batch, and lets the oldest go that there is no more room for.
    pub(crate) fn keep(&mut self, batch: LogBatch, format: &Arc<LogFormat>) {
        if format.slow_us.is_some() {
            for entry in batch.entries().iter().filter(|entry| format.is_slow(entry)) {
                self.keep_slow(slow_line(&batch, entry, format));
            }
        }
        self.entries += batch.len();
        self.bytes += batch.size();
        self.batches.push_back((batch, format.clone()));
        while (self.entries > KEPT || self.bytes > KEPT_BYTES) && self.batches.len() > 1 {
            let Some((gone, _)) = self.batches.pop_front() else {
                break;
            };
            self.entries -= gone.len();
            self.bytes -= gone.size();
        }
    }

    fn keep_slow(&mut self, line: String) {
        self.slow_bytes += line.len();
        self.slow.push_back(line);
        while self.slow.len() > SLOW || self.slow_bytes > SLOW_BYTES {
            let Some(gone) = self.slow.pop_front() else {
                break;
            };
            self.slow_bytes -= gone.len();
        }
    }

    /// Gives all memory back.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn find(&self, request_id: &str) -> Option<String> {
        for (batch, format) in self.batches.iter().rev() {
            for entry in batch.entries() {
                if batch.text(entry, Text::RequestId) == request_id.as_bytes() {
                    let mut line = Vec::new();
                    format_entry(&mut line, batch, entry, format, false);
                    return String::from_utf8(line).ok();
                }
            }
        }
        None
    }

    pub(crate) fn slow(&self) -> Vec<String> {
        self.slow.iter().cloned().collect()
    }

    pub(crate) fn recent(&self, since: u64, mut see: impl FnMut(&LogBatch, &LogEntry)) {
        for (batch, _) in self.batches.iter().rev() {
            for entry in batch.entries() {
                if entry.wall_micros + entry.duration_us >= since {
                    see(batch, entry);
                }
            }
        }
    }
}

/// The entry's line and where its time went, in milliseconds that add up to the duration:
///
/// `before` the endpoint (policies, the body, waiting for room, earlier tries), `connect`,
/// `endpoint` (until its first byte) and `response` (until the last byte was with the kernel).
fn slow_line(batch: &LogBatch, entry: &LogEntry, format: &LogFormat) -> String {
    let mut line = Vec::new();
    format_entry(&mut line, batch, entry, format, false);
    line.truncate(line.len().saturating_sub(2)); // the brace and the line end
    // Without an endpoint all of it passed here.
    let connected = match (entry.connected_us, entry.first_byte_us) {
        (0, 0) => entry.duration_us,
        (connected, _) => connected.min(entry.duration_us),
    };
    let first_byte = match entry.first_byte_us {
        0 => entry.duration_us,
        first_byte => first_byte.clamp(connected, entry.duration_us.max(connected)),
    };
    // The last connect may have been that of an earlier try.
    let connect = entry.connect_us.min(connected);
    let parts = [
        ("before", connected - connect),
        ("connect", connect),
        ("endpoint", first_byte - connected),
        ("response", entry.duration_us.saturating_sub(first_byte)),
    ];
    for (index, (name, micros)) in parts.iter().enumerate() {
        let start = if index == 0 { ",\"timing\":{" } else { "," };
        let (whole, rest) = (micros / 1000, micros % 1000);
        let _ = write!(line, "{start}\"{name}_ms\":{whole}.{rest:03}");
    }
    line.extend_from_slice(b"}}");
    String::from_utf8_lossy(&line).into_owned()
}
