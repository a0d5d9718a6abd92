// SPDX-License-Identifier: Apache-2.0
use super::response::{write_connection, write_date, write_status_line};
use super::{HttpDate, push_length, push_text, reason};
use tidegate_core::ErrorKind;
use tidegate_request::Version;

/// Appends a whole response that reports `kind`: a text of status and reason that names nothing
/// internal.
///
/// `hsts` is the value of `Strict-Transport-Security` (RFC 6797), where it is told. `head_only` leaves out the content, for HEAD. `proxy_status` is the value of `Proxy-Status` (RFC
/// 9209), if the listener shows it. An HTTP/1.0 client whose connection is to go on gets no word of it
/// and closes, as it may.
pub fn write_error(
    out: &mut Vec<u8>,
    kind: ErrorKind,
    keep_alive: bool,
    head_only: bool,
    proxy_status: Option<&str>,
    hsts: Option<&str>,
    date: HttpDate,
) {
    let status = kind.status();
    write_status_line(out, status);
    write_date(out, date);
    // Caches may keep some of these statuses on their own (RFC 9110 §15.1), but the next try may succeed.
    out.extend_from_slice(
        b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n",
    );
    if kind == ErrorKind::MethodNotAllowed {
        // RFC 9110 §15.5.6 asks for it; routes may allow less.
        out.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    if matches!(
        kind,
        ErrorKind::ConnectionLimitReached | ErrorKind::PendingTimeout
    ) {
        // RFC 9110 §10.2.3: what is full is so for moments, not for minutes.
        out.extend_from_slice(b"Retry-After: 1\r\n");
    }
    for (name, value) in [
        (&b"Proxy-Status: "[..], proxy_status),
        (b"Strict-Transport-Security: ", hsts),
    ] {
        if let Some(text) = value {
            out.extend_from_slice(name);
            push_text(out, text);
            out.extend_from_slice(b"\r\n");
        }
    }
    let mut number = itoa::Buffer::new();
    let number = number.format(status);
    let hint = match kind {
        ErrorKind::TlsExpected => ": plain HTTP was sent to a port that speaks https",
        _ => "",
    };
    push_length(
        out,
        (number.len() + 1 + reason(status).len() + hint.len() + 1) as u64,
    );
    write_connection(out, Version::Http11, keep_alive);
    out.extend_from_slice(b"\r\n");
    if !head_only {
        for part in [number, " ", reason(status), hint, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}
