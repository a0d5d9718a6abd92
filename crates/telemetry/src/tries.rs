// SPDX-License-Identifier: Apache-2.0
use crate::format::escape;
use crate::spans::{end, method_of, text, url_of};
use crate::{LogBatch, LogEntry, LogFormat, Text};
use std::io::Write;
use std::str::FromStr;

/// One try of a request at one endpoint, for the trace it is sampled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try<'a> {
    /// The span, 16 hexadecimal digits.
    pub span: &'a str,
    /// Microseconds from the complete head until it began.
    pub begun_us: u64,
    /// Microseconds it took.
    pub duration_us: u64,
    /// The endpoint's answer; 0 without one.
    pub status: u16,
    /// The name of what went wrong; empty where nothing did.
    pub error: &'a str,
    /// The endpoint's address.
    pub endpoint: &'a str,
}

impl<'a> Try<'a> {
    /// Appends `SPAN BEGUN DURATION STATUS ERROR ENDPOINT LF`, the error `-` where there is none.
    pub fn write(&self, out: &mut Vec<u8>) {
        let error = if self.error.is_empty() {
            "-"
        } else {
            self.error
        };
        let _ = writeln!(
            out,
            "{} {} {} {} {error} {}",
            self.span, self.begun_us, self.duration_us, self.status, self.endpoint
        );
    }

    fn read(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(6, ' ');
        let span = parts.next()?;
        let begun_us = number(parts.next())?;
        let duration_us = number(parts.next())?;
        let status = number(parts.next())?;
        let error = parts
            .next()
            .map(|error| if error == "-" { "" } else { error })?;
        Some(Self {
            span,
            begun_us,
            duration_us,
            status,
            error,
            endpoint: parts.next()?,
        })
    }
}

fn number<T: FromStr>(part: Option<&str>) -> Option<T> {
    part?.parse().ok()
}

/// The spans of an entry's tries, each as JSON: of kind CLIENT, children of the exchange's own, named
/// after the semantic conventions for HTTP clients. Tries that the entry had no room for are left out.
pub(crate) fn format_tries(
    batch: &LogBatch,
    entry: &LogEntry,
    format: &LogFormat,
    mut take: impl FnMut(Vec<u8>),
) {
    let tries = batch.text(entry, Text::Tries);
    let Some((target, lines)) = std::str::from_utf8(tries)
        .ok()
        .and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    // What has no line end was cut.
    let whole = lines
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    for (count, each) in whole.filter_map(Try::read).enumerate() {
        let mut out = Vec::with_capacity(1024);
        format_try(&mut out, batch, entry, format, target, count, &each);
        take(out);
    }
}

fn format_try(
    out: &mut Vec<u8>,
    batch: &LogBatch,
    entry: &LogEntry,
    format: &LogFormat,
    target: &str,
    count: usize,
    each: &Try<'_>,
) {
    let mut ids = batch.text(entry, Text::Trace).split(|byte| *byte == b'-');
    let (trace, parent) = (
        ids.next().unwrap_or_default(),
        ids.next().unwrap_or_default(),
    );
    for (start, id) in [
        ("{\"traceId\":\"", trace),
        ("\",\"parentSpanId\":\"", parent),
        ("\",\"spanId\":\"", each.span.as_bytes()),
    ] {
        out.extend_from_slice(start.as_bytes());
        escape(out, id);
    }
    let sent = batch.text(entry, Text::Method);
    let method = method_of(sent);
    out.extend_from_slice(b"\",\"kind\":3,\"name\":\"");
    out.extend_from_slice(if method == b"_OTHER" { b"HTTP" } else { method });
    let begun = entry.wall_micros + each.begun_us;
    let _ = write!(
        out,
        "\",\"startTimeUnixNano\":\"{begun}000\",\"endTimeUnixNano\":\"{}000\",\"attributes\":[",
        begun + each.duration_us
    );
    text(out, "http.request.method", method);
    if method != sent {
        text(out, "http.request.method_original", sent);
    }
    let (address, port) = match each.endpoint.rsplit_once(':') {
        Some((address, port)) if !each.endpoint.starts_with("unix:") => (address, port),
        _ => (each.endpoint, ""),
    };
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    text(out, "server.address", bare.as_bytes());
    text(
        out,
        "url.full",
        &url_of(each.endpoint, target, batch, entry, format),
    );
    text(out, "network.protocol.version", b"1.1");
    text(out, "tidegate.backend", batch.text(entry, Text::Backend));
    text(out, "tidegate.endpoint", each.endpoint.as_bytes());
    let status = each.status.to_string();
    // A client's span is an error from 400 on, a server's from 500.
    let is_failure = !each.error.is_empty() || each.status >= 400;
    if is_failure {
        let why = if each.error.is_empty() {
            &status
        } else {
            each.error
        };
        text(out, "error.type", why.as_bytes());
    }
    let numbers = [
        ("server.port", port.parse().unwrap_or(0)),
        ("http.response.status_code", u64::from(each.status)),
        ("http.request.resend_count", count as u64),
    ];
    end(out, &numbers, is_failure);
}

#[cfg(test)]
mod tests {
    use super::Try;

    #[test]
    fn a_try_is_read_as_it_was_written() {
        for (status, error, endpoint) in [
            (200, "", "127.0.0.1:80"),
            (0, "connection_refused", "[::1]:80"),
            (0, "", "unix:/a b"),
        ] {
            let each = Try {
                span: "00f067aa0ba902b7",
                begun_us: 7,
                duration_us: 12,
                status,
                error,
                endpoint,
            };
            let mut out = Vec::new();
            each.write(&mut out);
            let line = String::from_utf8(out).unwrap();
            assert_eq!(Try::read(line.strip_suffix('\n').unwrap()), Some(each));
        }
        for bad in ["", "a b c d e f", "a 1 2 3 -", "a 1 2 70000 - f"] {
            assert_eq!(Try::read(bad), None, "{bad}");
        }
    }
}
