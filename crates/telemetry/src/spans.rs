// SPDX-License-Identifier: Apache-2.0
use crate::format::{escape, write_query};
use crate::tries::format_tries;
use crate::{LogBatch, LogEntry, LogFormat, Text};
use std::collections::VecDeque;
use std::io::Write;

/// Spans that may wait to be sent, and their bytes; more are lost and counted.
const WAITING: usize = 8192;
const WAITING_BYTES: usize = 8 << 20;
/// Methods that a span names; the rest is `_OTHER`.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
];

/// Spans on their way to a collector, each as JSON.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    waiting: VecDeque<String>,
    bytes: usize,
    /// How many were lost.
    pub(crate) lost: u64,
}

impl Spans {
    /// Takes the spans of a batch.
    pub(crate) fn add(&mut self, batch: &LogBatch, format: &LogFormat) {
        for entry in batch.entries() {
            if batch.text(entry, Text::Trace).is_empty() {
                continue;
            }
            let mut span = Vec::with_capacity(1024);
            format_span(&mut span, batch, entry, format);
            self.push(span);
            format_tries(batch, entry, format, |span| self.push(span));
        }
    }

    fn push(&mut self, span: Vec<u8>) {
        if self.waiting.len() >= WAITING || self.bytes >= WAITING_BYTES {
            self.lost += 1;
            return;
        }
        let span = String::from_utf8_lossy(&span).into_owned();
        self.bytes += span.len();
        self.waiting.push_back(span);
    }

    /// Gives the oldest away, at most `most`.
    pub(crate) fn take(&mut self, most: usize) -> Vec<String> {
        let count = self.waiting.len().min(most);
        let taken: Vec<String> = self.waiting.drain(..count).collect();
        self.bytes -= taken.iter().map(String::len).sum::<usize>();
        taken
    }
}

/// One span in the JSON of OTLP: names of attributes after the semantic conventions for HTTP, those of
/// our own under `tidegate.`. The text is `TRACE-SPAN-PARENT` in hexadecimal, the parent empty where
/// there is none.
fn format_span(out: &mut Vec<u8>, batch: &LogBatch, entry: &LogEntry, format: &LogFormat) {
    let trace = batch.text(entry, Text::Trace);
    let mut ids = trace.split(|byte| *byte == b'-');
    for (start, id) in [
        ("{\"traceId\":\"", ids.next()),
        ("\",\"spanId\":\"", ids.next()),
    ] {
        out.extend_from_slice(start.as_bytes());
        escape(out, id.unwrap_or_default());
    }
    let parent = ids.next().unwrap_or_default();
    if !parent.is_empty() {
        out.extend_from_slice(b"\",\"parentSpanId\":\"");
        escape(out, parent);
    }
    let sent = batch.text(entry, Text::Method);
    let method = method_of(sent);
    out.extend_from_slice(b"\",\"kind\":2,\"name\":\"");
    out.extend_from_slice(if method == b"_OTHER" { b"HTTP" } else { method });
    let route = batch.text(entry, Text::Route);
    if !route.is_empty() {
        out.push(b' ');
        escape(out, route);
    }
    let _ = write!(
        out,
        "\",\"startTimeUnixNano\":\"{}000\",\"endTimeUnixNano\":\"{}000\",\"attributes\":[",
        entry.wall_micros,
        entry.wall_micros + entry.duration_us
    );
    text(out, "http.request.method", method);
    if method != sent {
        text(out, "http.request.method_original", sent);
    }
    let scheme: &[u8] = if entry.tls.is_empty() {
        b"http"
    } else {
        b"https"
    };
    text(out, "url.scheme", scheme);
    text(out, "url.path", batch.text(entry, Text::Path));
    let query = batch.text(entry, Text::Query);
    if !query.is_empty() {
        text(out, "url.query", &redacted(query, format));
    }
    let version: &[u8] = match entry.version {
        10 => b"1.0",
        20 => b"2",
        _ => b"1.1",
    };
    text(out, "network.protocol.version", version);
    if let Some(version) = entry.tls.strip_prefix("TLSv") {
        text(out, "tls.protocol.name", b"tls");
        text(out, "tls.protocol.version", version.as_bytes());
        text(out, "tls.cipher", entry.cipher.as_bytes());
    }
    text(out, "client.address", entry.client.to_string().as_bytes());
    for (name, which) in [
        ("server.address", Text::Host),
        ("user_agent.original", Text::UserAgent),
        ("tidegate.request_id", Text::RequestId),
        ("tidegate.listener", Text::Listener),
        ("tidegate.route", Text::Route),
        ("tidegate.backend", Text::Backend),
        ("tidegate.endpoint", Text::Endpoint),
    ] {
        let value = batch.text(entry, which);
        if !value.is_empty() {
            text(out, name, value);
        }
    }
    match (entry.error, entry.status) {
        (Some(error), _) => text(out, "error.type", error.name().as_bytes()),
        (None, 500..) => text(out, "error.type", entry.status.to_string().as_bytes()),
        _ => {}
    }
    let numbers = [
        ("http.response.status_code", u64::from(entry.status)),
        ("http.request.body.size", entry.bytes_in),
        ("http.response.body.size", entry.bytes_out),
        ("http.request.resend_count", u64::from(entry.retries)),
    ];
    end(out, &numbers, entry.status >= 500 || entry.status == 0);
}

/// The last attributes, without those that are 0, and the end of a span.
pub(crate) fn end(out: &mut Vec<u8>, numbers: &[(&str, u64)], is_failure: bool) {
    for (name, number) in numbers.iter().filter(|(_, number)| *number > 0) {
        let _ = write!(
            out,
            "{{\"key\":\"{name}\",\"value\":{{\"intValue\":\"{number}\"}}}},"
        );
    }
    out.pop(); // the last comma
    out.extend_from_slice(b"],\"status\":{");
    if is_failure {
        out.extend_from_slice(b"\"code\":2");
    }
    out.extend_from_slice(b"}}");
}

/// What a span calls a method.
pub(crate) fn method_of(sent: &[u8]) -> &[u8] {
    match METHODS.contains(&sent) {
        true => sent,
        false => b"_OTHER",
    }
}

/// A whole URL for what an endpoint was asked for; the query without what is redacted.
pub(crate) fn url_of(
    endpoint: &str,
    target: &str,
    batch: &LogBatch,
    entry: &LogEntry,
    format: &LogFormat,
) -> Vec<u8> {
    let authority = match endpoint.starts_with("unix:") {
        true => String::from_utf8_lossy(batch.text(entry, Text::Host)),
        false => endpoint.into(),
    };
    let mut url = format!("http://{authority}{target}").into_bytes();
    let query = batch.text(entry, Text::Query);
    if !query.is_empty() {
        url.push(b'?');
        url.extend_from_slice(&redacted(query, format));
    }
    url
}

fn redacted(query: &[u8], format: &LogFormat) -> Vec<u8> {
    let mut hidden = Vec::new();
    write_query(
        &mut hidden,
        query,
        &format.redact_query,
        Vec::extend_from_slice,
    );
    hidden
}

pub(crate) fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let _ = write!(out, "{{\"key\":\"{name}\",\"value\":{{\"stringValue\":\"");
    escape(out, value);
    out.extend_from_slice(b"\"}},");
}
