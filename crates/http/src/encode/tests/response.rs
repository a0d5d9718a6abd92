// SPDX-License-Identifier: Apache-2.0
use super::{answer, context, has, lines, response};
use crate::encode::{HttpDate, ResponseContext, Sent, encode_response, reason, write_error};
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Method, Response, ResponseFraming, Version};

fn old() -> ResponseContext<'static> {
    ResponseContext {
        version: Version::Http10,
        ..context()
    }
}

fn sent(head: &str, context: ResponseContext<'_>) -> Sent {
    encode_response(&mut Vec::new(), &response(head, Method::Get), &context)
}

#[test]
fn a_response_is_written_from_its_canonical_form() {
    let head = "HTTP/1.1 200 Sure\nDate: x\nConnection: close, x-hop\nX-Hop: 1\nX-A: 1\n\
                Keep-Alive: timeout=5\nContent-Length: 3\nSet-Cookie: a\nset-cookie: b";
    let expected = [
        "HTTP/1.1 200 OK",
        "Date: x",
        "X-A: 1",
        "Set-Cookie: a",
        "set-cookie: b",
        "Content-Length: 3",
        "Via: 1.1 gateway",
    ];
    assert_eq!(answer(head, context()), expected);
}

#[test]
fn rfc9110_6_6_1_a_missing_date_is_added() {
    let lines = answer("HTTP/1.1 200 OK\nContent-Length: 3", context());
    assert!(lines.contains(&"Date: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()));
}

#[test]
fn rfc9112_4_a_status_without_reason_keeps_its_space() {
    assert_eq!(
        answer("HTTP/1.1 299 Odd\nContent-Length: 0", context())
            .first()
            .map(String::as_str),
        Some("HTTP/1.1 299 ")
    );
    assert_eq!((reason(418), reason(299)), ("I'm a teapot", ""));
}

#[test]
fn rfc9112_9_3_the_client_is_told_what_differs_from_its_default() {
    let length = "HTTP/1.1 200 OK\nContent-Length: 3";
    assert!(!has(&answer(length, context()), "Connection"));
    let close = answer(
        length,
        ResponseContext {
            keep_alive: false,
            ..context()
        },
    );
    assert!(close.contains(&"Connection: close".to_owned()));
    assert!(answer(length, old()).contains(&"Connection: keep-alive".to_owned()));
    let close = answer(
        length,
        ResponseContext {
            keep_alive: false,
            ..old()
        },
    );
    assert!(close.contains(&"Connection: close".to_owned()));
}

#[test]
fn rfc9112_7_1_content_of_unknown_length_is_chunked_or_ends_with_the_connection() {
    for head in [
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(
            sent(head, context()),
            Sent {
                framing: ResponseFraming::Chunked,
                keep_alive: true
            }
        );
        assert!(answer(head, context()).contains(&"Transfer-Encoding: chunked".to_owned()));
        assert_eq!(
            sent(head, old()),
            Sent {
                framing: ResponseFraming::Close,
                keep_alive: false
            }
        );
        let lines = answer(head, old());
        assert!(
            !has(&lines, "Transfer-Encoding") && lines.contains(&"Connection: close".to_owned())
        );
    }
}

#[test]
fn rfc9110_8_6_answers_to_head_and_304_keep_their_length() {
    let mut out = Vec::new();
    let head = response("HTTP/1.1 200 OK\nContent-Length: 3", Method::Head);
    assert_eq!(
        encode_response(&mut out, &head, &context()).framing,
        ResponseFraming::None
    );
    assert!(lines(&out).contains(&"Content-Length: 3".to_owned()));
    assert!(
        answer("HTTP/1.1 304 Not Modified\nContent-Length: 3", context())
            .contains(&"Content-Length: 3".to_owned())
    );
    assert!(!has(
        &answer("HTTP/1.1 204 No Content\nContent-Length: 3", context()),
        "Content-Length"
    ));
    let chunked = answer(
        "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked",
        context(),
    );
    assert!(!has(&chunked, "Transfer-Encoding"));
}

#[test]
fn rfc9110_15_2_interim_responses_say_nothing_of_the_connection() {
    let lines = answer(
        "HTTP/1.1 103 Early Hints\nLink: </a>\nContent-Length: 5",
        ResponseContext {
            keep_alive: false,
            ..context()
        },
    );
    assert_eq!(
        lines,
        ["HTTP/1.1 103 Early Hints", "Link: </a>", "Via: 1.1 gateway"]
    );
}

#[test]
fn rfc9110_15_2_2_a_switch_names_its_protocol() {
    let lines = answer(
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x",
        context(),
    );
    let expected = [
        "HTTP/1.1 101 Switching Protocols",
        "Sec-WebSocket-Accept: x",
        "Via: 1.1 gateway",
        "Upgrade: websocket",
        "Connection: upgrade",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_local_response_has_no_via_and_only_its_own_framing() {
    let mut fields = Fields::new();
    for (name, value) in [
        ("Content-Length", "99"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "x"),
        ("X-A", "1"),
    ] {
        fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut out = Vec::new();
    let local = Response::local(403, fields, 7, Method::Get);
    encode_response(
        &mut out,
        &local,
        &ResponseContext {
            is_local: true,
            ..context()
        },
    );
    let expected = [
        "HTTP/1.1 403 Forbidden",
        "X-A: 1",
        "Content-Length: 7",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
    ];
    assert_eq!(lines(&out), expected);
}

#[test]
fn errors_are_short_and_name_nothing_internal() {
    let mut out = Vec::new();
    write_error(
        &mut out,
        ErrorKind::ConnectionRefused,
        true,
        false,
        None,
        None,
        HttpDate::at(0),
    );
    let text = String::from_utf8(out).unwrap();
    let expected = "HTTP/1.1 502 Bad Gateway\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 16\r\n\r\n\
                    502 Bad Gateway\n";
    assert_eq!(text, expected);
}

#[test]
fn every_error_declares_the_length_it_has_and_head_gets_none() {
    for &kind in ErrorKind::ALL {
        for head_only in [false, true] {
            let mut out = Vec::new();
            write_error(
                &mut out,
                kind,
                false,
                head_only,
                Some("gateway; error=x"),
                Some("max-age=1"),
                HttpDate::at(0),
            );
            let text = String::from_utf8(out).unwrap();
            let (head, content) = text.split_once("\r\n\r\n").unwrap();
            let length: usize = head
                .split("Content-Length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(
                content.len(),
                if head_only { 0 } else { length },
                "{}",
                kind.name()
            );
            assert!(
                head.contains("\r\nProxy-Status: gateway; error=x\r\n")
                    && head.ends_with("\r\nConnection: close")
            );
            assert_eq!(head.contains("\r\nAllow: "), kind.status() == 405);
        }
    }
}

#[test]
fn rfc9110_5_6_7_dates_are_fixed_length() {
    let date = |seconds| String::from_utf8(HttpDate::at(seconds).as_bytes().to_vec()).unwrap();
    let known = [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (seconds, expected) in known {
        assert_eq!(date(seconds), expected);
    }
}
