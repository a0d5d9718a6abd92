// SPDX-License-Identifier: Apache-2.0
use super::{HeadLimits, HeadScanner, parse_request, parse_response};
use proptest::prelude::*;
use tidegate_core::ErrorKind;
use tidegate_request::{
    FieldId, Framing, Method, Options, Reject, Request, Response, ResponseFraming, Scheme, Storage,
    Version,
};

const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 8 << 10,
};

fn request(head: &[u8]) -> Result<Request, Reject> {
    parse_request(
        head,
        Storage::new(),
        &LIMITS,
        Scheme::Http,
        Options::default(),
    )
    .map_err(|(reject, _)| reject)
}

fn response(head: &[u8]) -> Result<Response, Reject> {
    parse_response(head, Storage::new(), &LIMITS, Method::Get).map_err(|(reject, _)| reject)
}

/// The status of what scanner and parser together make of `bytes`; 0 for a request that is taken.
fn status(bytes: &[u8]) -> u16 {
    let outcome = match HeadScanner::new().scan(bytes, &LIMITS) {
        Ok(Some(end)) => request(&bytes[..end]).map(drop),
        Ok(None) => panic!("no head in {:?}", String::from_utf8_lossy(bytes)),
        Err(reject) => Err(reject),
    };
    outcome.err().map_or(0, |reject| reject.status())
}

#[test]
fn rfc9112_3_reads_request_line_and_fields() {
    let request =
        request(b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-A:  b \r\n\r\n").unwrap();
    assert_eq!(
        (request.method(), request.path(), request.query()),
        ("POST", "/a", Some(&b"b"[..]))
    );
    assert_eq!(
        (request.version(), request.host()),
        (Version::Http11, Some("h"))
    );
    assert_eq!(request.framing(), Framing::Length(3));
    assert_eq!(request.fields().get_name(b"x-a"), Some(&b"b"[..]));
}

#[test]
fn rfc9112_2_2_takes_one_empty_line_before_a_request() {
    assert_eq!(status(b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_eq!(status(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    assert_eq!(status(b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    assert_eq!(status(b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

#[test]
fn rfc9112_3_refuses_other_request_lines() {
    let lines = [
        "GET /",
        "GET",
        "GET / ",
        "GET /  HTTP/1.1",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1x",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET / HTTP/1",
        "GET / HTTP/ 1.1",
        "GET / HTTP/1.",
        "GET /a b HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "/ HTTP/1.1",
        "GET / XTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET /\r HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "G:T / HTTP/1.1",
        "GET / HTTP/+1.1",
        "GET / HTTPS/1.1",
        "HTTP/1.1 200 OK",
        "GET /\u{b}HTTP/1.1",
    ];
    for line in lines {
        assert_eq!(
            status(format!("{line}\r\nHost: h\r\n\r\n").as_bytes()),
            400,
            "{line:?}"
        );
    }
}

#[test]
fn rfc9110_15_6_6_refuses_other_versions_by_name() {
    for version in ["0.9", "1.2", "2.0", "3.0", "9.9", "0.0"] {
        assert_eq!(
            status(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes()),
            505,
            "{version}"
        );
    }
    assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\n"), 505);
}

#[test]
fn http_1_0_is_taken_without_host() {
    assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), 0);
}

#[test]
fn section_1_9_refuses_what_peers_let_through() {
    let cases: &[(&[u8], u16)] = &[
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b?c#d@e\r\n\r\n", 400),
        (b"GET /a#/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /a/..;/admin%2f..%2fx//y\\z HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /?\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue, x\r\n\r\n", 417),
        (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        (b"GET /\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        // The two legal ones.
        (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 0),
        (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 0),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            status(bytes),
            *expected,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn row_5_refuses_a_length_on_a_folded_line() {
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 7\r\n\r\n"),
        400
    );
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n"),
        400
    );
}

#[test]
fn row_20_a_space_never_becomes_part_of_a_name() {
    assert_eq!(
        status(b"GET / HTTP/1.1\r\nHost: h\r\nX-User : evil\r\n\r\n"),
        400
    );
    assert_eq!(
        status(b"GET / HTTP/1.1\r\nHost: h\r\nX User: evil\r\n\r\n"),
        400
    );
}

#[test]
fn fields_and_target_are_limited_inclusively() {
    let limits = HeadLimits {
        header_fields: 2,
        target_size: 5,
        ..LIMITS
    };
    let parse = |head: &str| {
        let parsed = parse_request(
            head.as_bytes(),
            Storage::new(),
            &limits,
            Scheme::Http,
            Options::default(),
        );
        parsed.map(drop).map_err(|(reject, _)| reject.status())
    };
    assert_eq!(parse("GET /abc HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(()));
    assert_eq!(
        parse("GET /abcd HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"),
        Ok(())
    );
    assert_eq!(parse("GET /abcde HTTP/1.1\r\nHost: h\r\n\r\n"), Err(414));
    assert_eq!(
        parse("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\n\r\n"),
        Err(431)
    );
}

#[test]
fn the_scanner_limits_start_line_and_head_inclusively() {
    let limits = HeadLimits {
        header_size: 100,
        header_fields: 9,
        target_size: 10,
    };
    let scan = |bytes: &str| {
        HeadScanner::new()
            .scan(bytes.as_bytes(), &limits)
            .map_err(|reject| reject.status())
    };
    let head = |fill: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(fill));
    let fit = 100 - head(0).len();
    assert_eq!(scan(&head(fit)), Ok(Some(100)));
    assert_eq!(scan(&head(fit - 1)), Ok(Some(99)));
    assert_eq!(scan(&head(fit + 1)), Err(431));
    assert_eq!(scan(&"x".repeat(61)), Ok(None));
    assert_eq!(scan(&"x".repeat(62)), Err(414));
    let small = HeadLimits {
        header_size: 20,
        ..limits
    };
    assert_eq!(
        HeadScanner::new()
            .scan(&[b'x'; 20], &small)
            .unwrap_err()
            .kind,
        ErrorKind::RequestTargetSize
    );
    assert_eq!(HeadScanner::new().scan(&[b'x'; 19], &small), Ok(None));
}

#[test]
fn the_longest_method_and_target_pass_both_limits() {
    let limits = HeadLimits {
        target_size: 10,
        ..LIMITS
    };
    let head = format!(
        "{} /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "M".repeat(40),
        "x".repeat(9)
    );
    assert_eq!(
        HeadScanner::new().scan(head.as_bytes(), &limits),
        Ok(Some(head.len()))
    );
    assert!(
        parse_request(
            head.as_bytes(),
            Storage::new(),
            &limits,
            Scheme::Http,
            Options::default()
        )
        .is_ok()
    );
}

#[test]
fn the_scanner_refuses_at_the_first_byte_what_is_no_http() {
    for byte in [0x16, 0, b' ', b'\n', b'\t', b'/', b':', 0x80, 0xff] {
        assert_eq!(
            HeadScanner::new()
                .scan(&[byte], &LIMITS)
                .unwrap_err()
                .status(),
            400,
            "{byte:#x}"
        );
    }
}

#[test]
fn the_scanner_is_ready_for_the_next_head() {
    let two = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut scanner = HeadScanner::new();
    let first = scanner.scan(two, &LIMITS).unwrap().unwrap();
    assert_eq!(first, 27);
    assert_eq!(scanner.scan(&two[first..], &LIMITS), Ok(Some(28)));
}

#[test]
fn rfc9112_4_reads_status_lines() {
    let read =
        response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\nX: y\r\n\r\n").unwrap();
    assert_eq!(
        (read.status(), read.framing(), read.version()),
        (200, ResponseFraming::Length(3), Version::Http11)
    );
    assert_eq!(
        (read.fields().get(FieldId::Server), read.fields().len()),
        (Some(&b"x"[..]), 3)
    );
    for line in [
        "HTTP/1.1 204 ",
        "HTTP/1.1 204",
        "HTTP/1.0 204 No \u{e9} Content",
        "HTTP/1.1 204 a\tb",
    ] {
        assert_eq!(
            response(format!("{line}\r\n\r\n").as_bytes())
                .unwrap()
                .status(),
            204,
            "{line:?}"
        );
    }
}

#[test]
fn row_18_refuses_malformed_responses() {
    let heads = [
        "",
        "\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    for head in heads {
        assert_eq!(
            response(head.as_bytes())
                .map(drop)
                .map_err(|reject| reject.status()),
            Err(502),
            "{head:?}"
        );
    }
}

#[test]
fn the_scanner_for_responses_has_kinds_of_its_own() {
    let scan = |bytes: &[u8], size| {
        let limits = HeadLimits {
            header_size: size,
            ..LIMITS
        };
        HeadScanner::for_response()
            .scan(bytes, &limits)
            .map_err(|reject| reject.kind)
    };
    assert_eq!(scan(b"HTTP/1.1 200 OK\r\n\r\nrest", 99), Ok(Some(19)));
    assert_eq!(
        scan(b"HTTP/1.1 200 OK\n\n", 99),
        Err(ErrorKind::HttpProtocolError)
    );
    assert_eq!(
        scan(b"\r\nHTTP/1.1 200 OK\r\n\r\n", 99),
        Err(ErrorKind::HttpProtocolError)
    );
    assert_eq!(
        scan(b"HTTP/1.1 200 OK\r\n\r\n", 18),
        Err(ErrorKind::HttpResponseHeaderSectionSize)
    );
    assert_eq!(
        scan(&[b'x'; 18], 18),
        Err(ErrorKind::HttpResponseHeaderSectionSize)
    );
}

/// Bytes in which ends of lines and of heads are frequent.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"Host: h\r\n",
        b"A: b",
        b"x",
        b"\0",
        b" ",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_scanner_does_not_see_how_its_input_was_split(
        bytes in wire(), cuts in prop::collection::vec(0usize..80, 0..6),
        header_size in 1usize..80, target_size in 0usize..20, is_response in any::<bool>()
    ) {
        let limits = HeadLimits { header_size, header_fields: 9, target_size };
        let new = || if is_response { HeadScanner::for_response() } else { HeadScanner::new() };
        let whole = new().scan(&bytes, &limits);
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        ends.sort_unstable();
        ends.push(bytes.len());
        let mut scanner = new();
        let mut split = Ok(None);
        for end in ends {
            split = scanner.scan(&bytes[..end], &limits);
            if split != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = request(&bytes);
        let _ = response(&bytes);
        let _ = HeadScanner::new().scan(&bytes, &LIMITS);
    }

    #[test]
    fn what_is_taken_has_the_tokens_that_httparse_finds(bytes in wire(), target in "/[ -~]{0,12}", value in "[ -~\t]{0,12}") {
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nX-Value:{value}\r\n").into_bytes();
        head.extend_from_slice(&bytes);
        head.extend_from_slice(b"\r\n\r\n");
        let Ok(parsed) = request(&head) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Request::new(&mut fields);
        prop_assert_eq!(other.parse(&head), Ok(httparse::Status::Complete(head.len())));
        prop_assert_eq!(other.method, Some(parsed.method()));
        let names: Vec<(&[u8], &[u8])> =
            other.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let ours: Vec<(&[u8], &[u8])> = parsed.fields().iter().map(|field| (field.name, field.value)).collect();
        prop_assert_eq!(ours, names);
    }
}
