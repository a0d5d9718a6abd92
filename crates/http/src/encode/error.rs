// SPDX-License-Identifier: Apache-2.0
use super::response::{write_connection, write_date, write_status_line};
use super::{HttpDate, push_field, push_length, reason};
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Version};

/// Appends a whole response that reports `kind`: a text of status and reason that names nothing
/// internal.
///
/// `head_only` leaves out the content, for HEAD. `proxy_status` is the value of `Proxy-Status` (RFC
/// 9209), if the listener shows it, `hsts` that of `Strict-Transport-Security` (RFC 6797), where it is
/// told. An HTTP/1.0 client whose connection is to go on gets no word of it and closes, as it may.
pub fn write_error(
    out: &mut Vec<u8>,
    kind: ErrorKind,
    keep_alive: bool,
    head_only: bool,
    proxy_status: Option<&str>,
    hsts: Option<&str>,
    date: HttpDate,
) {
    write_status_line(out, kind.status());
    write_date(out, date);
    for (name, value) in error_fields(kind) {
        push_field(out, name.as_bytes(), value.as_bytes());
    }
    for (name, value) in told(proxy_status, hsts) {
        push_field(out, name.as_bytes(), value.as_bytes());
    }
    let mut number = itoa::Buffer::new();
    let text = error_text(kind, &mut number);
    push_length(out, text.iter().map(|part| part.len() as u64).sum());
    write_connection(out, Version::Http11, keep_alive);
    out.extend_from_slice(b"\r\n");
    if !head_only {
        for part in text {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// As [`write_error`], for a codec that writes no text: fields and content.
pub fn error_answer(kind: ErrorKind, proxy_status: Option<&str>) -> (Fields, Vec<u8>) {
    let mut fields = Fields::default();
    let mut add = |name: &str, value: &str| {
        let _ = fields.append(name.as_bytes(), value.as_bytes()); // there is room for a few
    };
    error_fields(kind).for_each(|(name, value)| add(name, value));
    if let Some(value) = proxy_status {
        add("Proxy-Status", value);
    }
    let mut number = itoa::Buffer::new();
    let text = error_text(kind, &mut number).concat();
    (fields, text.into_bytes())
}

/// Problem details that say no more than the status does (RFC 9457 §4.2.1), `application/problem+json`.
pub fn problem(status: u16) -> String {
    let title = reason(status);
    format!(r#"{{"title":"{title}","status":{status}}}"#)
}

fn told<'a>(
    proxy_status: Option<&'a str>,
    hsts: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let proxy_status = proxy_status.map(|value| ("Proxy-Status", value));
    let hsts = hsts.map(|value| ("Strict-Transport-Security", value));
    proxy_status.into_iter().chain(hsts)
}

fn error_fields(kind: ErrorKind) -> impl Iterator<Item = (&'static str, &'static str)> {
    // RFC 9110 §15.5.6 asks for it; routes may allow less.
    let allow = (kind == ErrorKind::MethodNotAllowed)
        .then_some(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    // RFC 9110 §10.2.3: what is full is so for moments, not for minutes.
    let again = matches!(
        kind,
        ErrorKind::ConnectionLimitReached | ErrorKind::PendingTimeout
    )
    .then_some(("Retry-After", "1"));
    // Caches may keep some of these statuses on their own (RFC 9110 §15.1), but the next try may succeed.
    let always = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-store"),
    ];
    always.into_iter().chain(allow).chain(again)
}

fn error_text(kind: ErrorKind, number: &mut itoa::Buffer) -> [&str; 5] {
    let status = kind.status();
    let hint = match kind {
        ErrorKind::TlsExpected => ": plain HTTP was sent to a port that speaks https",
        _ => "",
    };
    [number.format(status), " ", reason(status), hint, "\n"]
}
