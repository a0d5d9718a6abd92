// SPDX-License-Identifier: Apache-2.0
use crate::format::{is_plain, write_query};
use crate::{LogBatch, LogEntry, LogFormat, Text};
use std::io::Write;
use tidegate_core::{civil, digits};

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
    digits::push_address(out, entry.client);
    out.extend_from_slice(b" - - [");
    let seconds = entry.wall_micros / 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
    digits::push_padded::<2>(out, day);
    out.push(b'/');
    out.extend_from_slice(month.as_bytes());
    out.push(b'/');
    digits::push_padded::<4>(out, year);
    out.push(b':');
    digits::push_clock(out, seconds % 86_400);
    out.extend_from_slice(b" +0000] \"");
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
        out.extend_from_slice(match entry.version {
            10 => b" HTTP/1.0",
            20 => b" HTTP/2",
            30 => b" HTTP/3",
            _ => b" HTTP/1.1",
        });
    }
    out.extend_from_slice(b"\" ");
    digits::push_padded::<3>(out, entry.status.into());
    out.push(b' ');
    digits::push(out, entry.bytes_out);
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
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            plain => out.push(*plain),
        }
    }
}
