// SPDX-License-Identifier: Apache-2.0
//! What a gateway has to know of gRPC over HTTP/2 (the protocol's `PROTOCOL-HTTP2.md`): which messages are its
//! own, how a refusal is told, and how long a call may take.
use tidegate_config::GrpcStatus;
use tidegate_contract::Answer;
use tidegate_core::{ErrorKind, GrpcCode, Moment};
use tidegate_http::reason;
use tidegate_request::{FieldId, Fields, Request, Response, ResponseFraming};

/// Of a refusal's text, the bytes that become `grpc-message`.
const LONGEST: usize = 512;
/// Digits that a timeout has at most.
const DIGITS: usize = 8;

/// Whether a request with these fields is a call: `application/grpc`, with or without a format behind it.
#[inline]
pub(crate) fn is_call(fields: &Fields) -> bool {
    fields.get(FieldId::ContentType).is_some_and(is_content)
}

pub(crate) fn is_content(media_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let begin = media_type.get(..NAME.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(NAME))
        && matches!(media_type.get(NAME.len()), None | Some(b'+' | b';' | b' '))
}

/// The status for an answer of HTTP that no server of gRPC has made (gRPC's
/// `http-grpc-status-mapping.md`), but for what took too long, and what was too large.
pub(crate) fn code_of(status: u16) -> GrpcCode {
    match status {
        400 => GrpcCode::INTERNAL,
        401 => GrpcCode::UNAUTHENTICATED,
        403 => GrpcCode::PERMISSION_DENIED,
        404 => GrpcCode::UNIMPLEMENTED,
        408 | 504 => GrpcCode::DEADLINE_EXCEEDED,
        413 | 431 => GrpcCode::RESOURCE_EXHAUSTED,
        429 | 502 | 503 => GrpcCode::UNAVAILABLE,
        _ => GrpcCode::UNKNOWN,
    }
}

/// What the end of a call is in HTTP, for what judges both (`google/rpc/code.proto`).
pub(crate) fn http_status(code: GrpcCode) -> u16 {
    const STATUSES: [u16; GrpcCode::COUNT] = [
        200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
    ];
    let status = STATUSES.get(usize::from(code.number()));
    status.copied().unwrap_or(500)
}

/// The code that a setting names.
pub(crate) fn named(status: GrpcStatus) -> GrpcCode {
    // In the same order, without the first.
    GrpcCode::new(status as u8 + 1)
}

/// How a call ended whose response is all head: what it says, or what its status is to a client of gRPC.
/// `None` where messages may follow, or where the endpoint says that it is not to be asked again, or when
/// (`grpc-retry-pushback-ms`): to wait is for the client.
pub(crate) fn ended_at_once(response: &Response, framing: ResponseFraming) -> Option<GrpcCode> {
    let fields = response.fields();
    let pushback = fields.get_name(b"grpc-retry-pushback-ms");
    if pushback.is_some_and(|pushback| pushback != b"0") {
        return None;
    }
    let is_over = matches!(framing, ResponseFraming::None | ResponseFraming::Length(0));
    match (code_in(fields), response.status()) {
        (Some(code), _) => Some(code).filter(|_| is_over),
        (None, 200) => None,
        (None, status) => Some(code_of(status)),
    }
}

/// What a call is refused with, in the place of an error response: a head that is trailers as well.
pub(crate) fn refusal(kind: ErrorKind) -> Answer {
    let mut answer = Answer {
        status: kind.status(),
        fields: Fields::default(),
        body: Vec::new(),
        error: None,
    };
    translate(&mut answer);
    answer
}

/// Makes an answer that was meant for HTTP one that clients of gRPC read; one that is a success, or has a
/// `grpc-status` of its own, keeps its content.
pub(crate) fn translate(answer: &mut Answer) {
    if (200..300).contains(&answer.status) {
        return;
    }
    let (status, fields) = (answer.status, &mut answer.fields);
    answer.status = 200;
    if fields.get_name(b"grpc-status").is_none() {
        let is_text = fields
            .get(FieldId::ContentType)
            .is_some_and(|media_type| media_type.starts_with(b"text/plain"));
        let told = answer.body.trim_ascii();
        let message = match is_text && !told.is_empty() && told.len() <= LONGEST {
            true => encoded(told),
            false => encoded(reason(status).as_bytes()),
        };
        let mut number = itoa::Buffer::new();
        let code = number.format(code_of(status).number());
        // There is room for a few.
        let _ = fields.set(b"grpc-status", code.as_bytes());
        let _ = fields.set(b"grpc-message", message.as_bytes());
    }
    for name in [
        b"Content-Encoding".as_slice(),
        b"Content-Language",
        b"Allow",
        b"Location",
    ] {
        fields.remove(name);
    }
    let _ = fields.set(b"Content-Type", b"application/grpc");
    answer.body.clear();
}

/// A message as `grpc-message` has it: all but visible ASCII and spaces in `%XX`, and `%` likewise.
fn encoded(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Trailers that end a call whose answer had begun.
pub(crate) fn last_words(kind: ErrorKind) -> Fields {
    told(code_of(kind.status()), reason(kind.status()).as_bytes())
}

/// Trailers in the place of some that have no `grpc-status`.
pub(crate) fn without_status() -> Fields {
    told(
        GrpcCode::UNKNOWN,
        b"the endpoint did not say how the call ended",
    )
}

fn told(code: GrpcCode, message: &[u8]) -> Fields {
    let mut fields = Fields::default();
    let mut number = itoa::Buffer::new();
    let _ = fields.set(b"grpc-status", number.format(code.number()).as_bytes());
    let _ = fields.set(b"grpc-message", encoded(message).as_bytes());
    fields
}

/// `grpc-status` of a head or of trailers.
pub(crate) fn code_in(fields: &Fields) -> Option<GrpcCode> {
    GrpcCode::read(fields.get_name(b"grpc-status")?)
}

/// When a call must be over by what its client says: in microseconds from its beginning.
///
/// # Errors
/// `grpc-timeout` is there and is none: one to eight digits and a unit.
pub(crate) fn timeout(fields: &Fields) -> Result<Option<u64>, &'static str> {
    let mut values = fields.get_all_name(b"grpc-timeout");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let read = || {
        let (unit, digits) = value.split_last()?;
        let is_number =
            (1..=DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
        let number: u64 = number.parse().ok()?;
        Some(match unit {
            b'H' => number * 3_600_000_000,
            b'M' => number * 60_000_000,
            b'S' => number * 1_000_000,
            b'm' => number * 1_000,
            b'u' => number,
            b'n' => number.div_ceil(1_000),
            _ => return None,
        })
    };
    match (read(), values.next()) {
        (Some(micros), None) => Ok(Some(micros)),
        _ => Err("a malformed grpc-timeout"),
    }
}

/// Tells the endpoint how much is left of a call's time, if its client has said how much there is.
pub(crate) fn pass_on(request: &mut Request, now: Moment, until: Moment) {
    if is_call(request.fields()) && request.fields().get_name(b"grpc-timeout").is_some() {
        let left = until.micros_since(now).max(1);
        let text = match left {
            0..100_000_000 => format!("{left}u"),
            100_000_000..100_000_000_000 => format!("{}m", left / 1_000),
            _ => format!("{}S", (left / 1_000_000).min(99_999_999)),
        };
        let _ = request.fields_mut().set(b"grpc-timeout", text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{code_in, code_of, encoded, http_status, is_content, named, refusal, timeout};
    use tidegate_config::GrpcStatus;
    use tidegate_core::{ErrorKind, GrpcCode};
    use tidegate_request::Fields;

    #[test]
    fn calls_are_told_by_their_content() {
        for media_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=x",
            "Application/GRPC",
        ] {
            assert!(is_content(media_type.as_bytes()), "{media_type}");
        }
        for media_type in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "text/application/grpc",
        ] {
            assert!(!is_content(media_type.as_bytes()), "{media_type}");
        }
    }

    #[test]
    fn settings_name_codes_as_they_are_named_everywhere() {
        let all = GrpcCode::all().filter(|code| *code != GrpcCode::OK);
        for code in all {
            let text = format!("\"{code}\"");
            let status: GrpcStatus = serde_json::from_str(&text).unwrap();
            assert_eq!(named(status), code);
        }
    }

    #[test]
    fn codes_are_statuses_of_http_and_back_where_there_is_one() {
        for (code, status) in [
            (GrpcCode::OK, 200),
            (GrpcCode::CANCELLED, 499),
            (GrpcCode::UNKNOWN, 500),
            (GrpcCode::INTERNAL, 500),
            (GrpcCode::DATA_LOSS, 500),
            (GrpcCode::RESOURCE_EXHAUSTED, 429),
        ] {
            assert_eq!(http_status(code), status);
        }
        for code in [
            GrpcCode::UNAVAILABLE,
            GrpcCode::DEADLINE_EXCEEDED,
            GrpcCode::PERMISSION_DENIED,
            GrpcCode::UNAUTHENTICATED,
        ] {
            assert_eq!(code_of(http_status(code)), code);
        }
    }

    #[test]
    fn a_timeout_has_a_few_digits_and_a_unit() {
        let read = |values: &[&str]| {
            let mut fields = Fields::default();
            for value in values {
                fields.append(b"grpc-timeout", value.as_bytes()).unwrap();
            }
            timeout(&fields)
        };
        assert_eq!(read(&[]), Ok(None));
        for (value, micros) in [
            ("0S", 0),
            ("1H", 3_600_000_000),
            ("2M", 120_000_000),
            ("3S", 3_000_000),
            ("250m", 250_000),
            ("7u", 7),
            ("1n", 1),
            ("99999999H", 99_999_999 * 3_600_000_000),
        ] {
            assert_eq!(read(&[value]), Ok(Some(micros)), "{value}");
        }
        for value in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            "1.5S",
            "123456789S",
            "1 S",
            "1SS",
            "١S",
        ] {
            assert!(read(&[value]).is_err(), "{value}");
        }
        assert!(read(&["1S", "1S"]).is_err());
    }

    #[test]
    fn a_refusal_is_a_head_with_a_status_and_a_message() {
        for (kind, code) in [
            (ErrorKind::DestinationNotFound, 12),
            (ErrorKind::DestinationUnavailable, 14),
            (ErrorKind::ConnectionRefused, 14),
            (ErrorKind::ConnectionTimeout, 4),
            (ErrorKind::RequestDeadline, 4),
            (ErrorKind::HttpRequestDenied, 7),
            (ErrorKind::HttpRequestError, 13),
            (ErrorKind::RequestBodySize, 8),
            (ErrorKind::MethodNotAllowed, 2),
        ] {
            let answer = refusal(kind);
            assert_eq!(
                (answer.status, code_in(&answer.fields)),
                (200, Some(GrpcCode::new(code)))
            );
            assert!(answer.body.is_empty());
            let media_type = answer.fields.get_name(b"content-type");
            assert_eq!(media_type, Some(b"application/grpc".as_slice()));
        }
    }

    #[test]
    fn a_message_is_visible_ascii() {
        assert_eq!(encoded("50 % für\n".as_bytes()), "50 %25 f%C3%BCr%0A");
    }
}
