// SPDX-License-Identifier: Apache-2.0
use crate::format::{civil, write_query};
use crate::{LogBatch, LogEntry, LogFormat, Text};
use std::io::Write;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Appends one line in the combined log format, line end included:
///
/// `CLIENT - - [10/Oct/2000:13:55:36 +0000] "GET /path?query HTTP/1.1" 200 2326 "REFERER" "USER AGENT"`
///
/// The two names of a user are always `-`. Times are in UTC; a status of 000 means that no response
/// was sent. Quotes, backslashes and every byte outside of printable ASCII become `\xHH`, so that
/// no peer can forge a line or a field of one.
pub(crate) fn format_combined(
    out: &mut Vec<u8>,
    batch: &LogBatch,
    entry: &LogEntry,
    format: &LogFormat,
) {
    let _ = write!(out, "{} - - [", entry.client);
    let seconds = entry.wall_micros / 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
    let second = seconds % 86_400;
    let _ = write!(
        out,
        "{day:02}/{month}/{year:04}:{:02}:{:02}:{:02} +0000] \"",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let method = batch.text(entry, Text::Method);
    if method.is_empty() {
        out.push(b'-'); // what was never a request
    } else {
        escape(out, method);
        out.push(b' ');
        escape(out, batch.text(entry, Text::Path));
        let query = batch.text(entry, Text::Query);
        if !query.is_empty() {
            out.push(b'?');
            write_query(out, query, &format.redact_query, escape);
        }
        let version = if entry.version == 10 { "1.0" } else { "1.1" };
        let _ = write!(out, " HTTP/{version}");
    }
    let _ = write!(out, "\" {:03} {}", entry.status, entry.bytes_out);
    let is_hidden = |name: &str| format.redact_fields.iter().any(|word| word == name);
    for (name, which) in [("referer", Text::Referer), ("user-agent", Text::UserAgent)] {
        out.extend_from_slice(b" \"");
        match batch.text(entry, which) {
            [] => out.push(b'-'),
            _ if is_hidden(name) => out.extend_from_slice(b"[redacted]"),
            value => escape(out, value),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

fn escape(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            plain => out.push(*plain),
        }
    }
}
