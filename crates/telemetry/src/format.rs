// SPDX-License-Identifier: Apache-2.0
use crate::{LogBatch, LogEntry, Text};
use std::io::Write;
use tidegate_core::digits;

/// What log lines show, and which are written.
#[derive(Clone, Debug, Default)]
pub struct LogFormat {
    /// Names of query parameters, in lower case, whose values are replaced by `[redacted]`.
    pub redact_query: Vec<String>,
    /// Names of request fields whose values are replaced likewise.
    pub redact_fields: Vec<String>,
    /// Whether lines are in the combined log format.
    pub is_combined: bool,
    /// Names and values of what every line has, where lines are JSON.
    pub constants: Vec<(String, String)>,
    /// Of how many ordinary entries one is written; 0 and 1 are all.
    pub one_in: u32,
    /// From how many microseconds an entry is slow.
    pub slow_us: Option<u64>,
}

impl LogFormat {
    /// Whether an entry took so long that it is kept; a connection that became a tunnel, or
    /// had no requests, never does.
    pub fn is_slow(&self, entry: &LogEntry) -> bool {
        let is_exchange = entry.status != 101 && !entry.is_tunnel && entry.ended.is_empty();
        is_exchange && self.slow_us.is_some_and(|limit| entry.duration_us >= limit)
    }
}

/// Appends one JSON line for `entry`, line end included. Every text is escaped, so no peer can
/// forge a line or move a terminal's cursor. One that stands for those that were left out says for how
/// many, in `one_in`.
pub fn format_entry(
    out: &mut Vec<u8>,
    batch: &LogBatch,
    entry: &LogEntry,
    format: &LogFormat,
    is_sampled: bool,
) {
    // Judged at once: most lines need no escapes, and most texts are short.
    let put = match is_plain(batch.texts(entry)) {
        true => |out: &mut Vec<u8>, text: &[u8]| out.extend_from_slice(text),
        false => escape,
    };
    let text = |out: &mut Vec<u8>, name: &str, value: &[u8]| {
        member(out, name);
        out.push(b'"');
        put(out, value);
        out.push(b'"');
    };
    out.extend_from_slice(b"{\"time\":\"");
    digits::push_time::<6>(out, entry.wall_micros);
    out.push(b'"');
    text(out, "request_id", batch.text(entry, Text::RequestId));
    let trace = batch.text(entry, Text::Trace);
    if let Some(trace) = trace
        .split(|byte| *byte == b'-')
        .next()
        .filter(|id| !id.is_empty())
    {
        text(out, "trace_id", trace);
    }
    out.extend_from_slice(b",\"client\":\"");
    digits::push_address(out, entry.client);
    out.push(b'"');
    text(out, "listener", batch.text(entry, Text::Listener));
    let is_exchange = entry.ended.is_empty();
    if is_exchange {
        text(out, "method", batch.text(entry, Text::Method));
        text(out, "host", batch.text(entry, Text::Host));
        text(out, "path", batch.text(entry, Text::Path));
        let query = batch.text(entry, Text::Query);
        if !query.is_empty() {
            out.extend_from_slice(b",\"query\":\"");
            write_query(out, query, &format.redact_query, put);
            out.push(b'"');
        }
        out.extend_from_slice(match entry.version {
            10 => b",\"protocol\":\"HTTP/1.0\"",
            20 => b",\"protocol\":\"HTTP/2\"",
            30 => b",\"protocol\":\"HTTP/3\"",
            _ => b",\"protocol\":\"HTTP/1.1\"",
        });
    } else {
        let host = batch.text(entry, Text::Host);
        if !host.is_empty() {
            text(out, "host", host);
        }
        out.extend_from_slice(match entry.is_datagrams {
            true => b",\"protocol\":\"UDP\"",
            false => b",\"protocol\":\"TCP\"",
        });
    }
    if !entry.tls.is_empty() {
        for (name, value) in [("tls", entry.tls), ("cipher", entry.cipher)] {
            text(out, name, value.as_bytes());
        }
    }
    let user = batch.text(entry, Text::User);
    if !user.is_empty() {
        text(out, "user", user);
    }
    let certificate = batch.text(entry, Text::Certificate);
    write_fields(out, "client_certificate", certificate, &[]);
    let policy = batch.text(entry, Text::Policy);
    if !policy.is_empty() {
        text(out, "policy", policy);
    }
    let tried = batch.text(entry, Text::WouldAnswer);
    write_fields(out, "would_answer", tried, &[]);
    if is_exchange {
        number(out, "status", entry.status.into());
        if let Some(status) = entry.grpc_status {
            number(out, "grpc_status", status.number().into());
        }
    }
    for (name, which) in [
        ("route", Text::Route),
        ("backend", Text::Backend),
        ("endpoint", Text::Endpoint),
    ] {
        let value = batch.text(entry, which);
        if !value.is_empty() {
            text(out, name, value);
        }
    }
    // The others speak what most endpoints speak.
    if entry.endpoint_version == 20 {
        text(out, "endpoint_protocol", b"HTTP/2");
    }
    number(out, "retries", entry.retries.into());
    number(out, "bytes_in", entry.bytes_in);
    number(out, "bytes_out", entry.bytes_out);
    millis(out, "duration_ms", entry.duration_us);
    if entry.connect_us > 0 {
        millis(out, "connect_ms", entry.connect_us);
    }
    if entry.first_byte_us > 0 {
        millis(out, "first_byte_ms", entry.first_byte_us);
    }
    if !is_exchange {
        text(out, "ended", entry.ended.as_bytes());
    }
    if let Some(error) = entry.error {
        text(out, "error", error.name().as_bytes());
        let detail = batch.text(entry, Text::Detail);
        if !detail.is_empty() {
            text(out, "detail", detail);
        }
    }
    let agent = batch.text(entry, Text::UserAgent);
    if !agent.is_empty() {
        text(out, "user_agent", agent);
    }
    for (name, which) in [
        ("fields", Text::Fields),
        ("response_fields", Text::ResponseFields),
    ] {
        write_fields(out, name, batch.text(entry, which), &format.redact_fields);
    }
    for (index, (name, value)) in format.constants.iter().enumerate() {
        out.extend_from_slice(if index == 0 {
            b",\"constants\":{\""
        } else {
            b",\""
        });
        escape(out, name.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(out, value.as_bytes());
        out.push(b'"');
    }
    if !format.constants.is_empty() {
        out.push(b'}');
    }
    if is_sampled {
        number(out, "one_in", format.one_in.into());
    }
    number(out, "snapshot", entry.snapshot);
    out.extend_from_slice(b"}\n");
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    member(out, name);
    digits::push(out, value);
}

fn millis(out: &mut Vec<u8>, name: &str, micros: u64) {
    member(out, name);
    digits::push_millis(out, micros);
}

/// `,"name":`
#[inline]
fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Whether `value` is printable ASCII without quotes and backslashes. In blocks without an early exit,
/// which the compiler turns into vector code: this looks at every byte of every line.
#[inline]
pub(crate) fn is_plain(value: &[u8]) -> bool {
    let is_odd = |odd: bool, byte: &u8| {
        odd | !(0x20..0x7f).contains(byte) | (*byte == b'"') | (*byte == b'\\')
    };
    let (blocks, rest) = value.as_chunks::<16>();
    !blocks.iter().any(|block| block.iter().fold(false, is_odd)) && !rest.iter().fold(false, is_odd)
}

/// JSON's escapes; bytes that are not UTF-8 become U+FFFD; DEL and C1 controls are escaped too.
pub(crate) fn escape(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", other as u32);
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn write_fields(out: &mut Vec<u8>, key: &str, fields: &[u8], redact: &[String]) {
    let mut lines = fields.split(|byte| *byte == b'\n');
    let mut is_first = true;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if is_first {
            let _ = write!(out, ",\"{key}\":{{\"");
        } else {
            out.extend_from_slice(b",\"");
        }
        is_first = false;
        escape(out, name);
        out.extend_from_slice(b"\":\"");
        match redact
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
        {
            true => out.extend_from_slice(b"[redacted]"),
            false => escape(out, value),
        }
        out.push(b'"');
    }
    if !is_first {
        out.push(b'}');
    }
}

/// A query with what is redacted left out, each part written by `escape`.
pub(crate) fn write_query(
    out: &mut Vec<u8>,
    query: &[u8],
    redact: &[String],
    escape: fn(&mut Vec<u8>, &[u8]),
) {
    for (index, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        let split = pair.iter().position(|byte| *byte == b'=');
        match split.and_then(|at| pair.split_at_checked(at + 1)) {
            Some((name, _)) if is_redacted(name, redact) => {
                escape(out, name);
                out.extend_from_slice(b"[redacted]");
            }
            _ => escape(out, pair),
        }
    }
}

/// Compares with escapes decoded: `access%5Ftoken=` is `access_token=`.
fn is_redacted(name: &[u8], redact: &[String]) -> bool {
    let name = name.strip_suffix(b"=").unwrap_or(name);
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    redact
        .iter()
        .any(|word| plain.eq_ignore_ascii_case(word.as_bytes()))
}
