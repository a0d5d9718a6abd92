// SPDX-License-Identifier: Apache-2.0
//! A response's head: never two responses, and framed for the client as it was framed here.
use tidegate_http::{
    HeadLimits, HeadScanner, HttpDate, ResponseContext, encode_response, parse_response,
};
use tidegate_request::{Method, Response, Storage, Version};

/// What heads of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 404 \r\n",
    b"HTTP/1.1 103 Early\r\n",
    b"HTTP/1.1 204\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Set-Cookie: a=b; Path=/\r\n",
    b"Location: /x\r\n",
    b"Server: s\r\nDate: d\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"\x80",
];

const LIMITS: HeadLimits = HeadLimits {
    header_size: 4096,
    header_fields: 20,
    target_size: 4096,
};

/// Judges `data` as what an endpoint sent; whether it was taken.
pub fn run(data: &[u8]) -> bool {
    let mut is_taken = false;
    let whole = HeadScanner::for_response().scan(data, &LIMITS);
    let mut scanner = HeadScanner::for_response();
    let mut seen = Ok(None);
    for end in 0..=data.len() {
        seen = scanner.scan(data.get(..end).unwrap_or_default(), &LIMITS);
        if !matches!(seen, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole.as_ref().ok(), seen.as_ref().ok());
    let Ok(Some(end)) = whole else { return false };
    let head = data.get(..end).unwrap_or_default();
    for method in [Method::Get, Method::Head] {
        if let Some(response) = parse(head, method) {
            is_taken = true;
            passed_on(&response, method);
        }
    }
    is_taken
}

fn parse(head: &[u8], method: Method) -> Option<Response> {
    parse_response(head, Storage::default(), &LIMITS, method).ok()
}

/// What the client is sent must be one response, framed as it was told.
fn passed_on(response: &Response, method: Method) {
    let roomy = HeadLimits {
        header_size: 1 << 16,
        header_fields: 100,
        target_size: 4096,
    };
    for version in [Version::Http10, Version::Http11] {
        let context = ResponseContext {
            version,
            keep_alive: true,
            pseudonym: "gateway",
            date: HttpDate::at(0),
            is_local: false,
        };
        let mut out = Vec::new();
        let sent = encode_response(&mut out, response, &context);
        let end = HeadScanner::for_response().scan(&out, &roomy);
        assert_eq!(end.ok().flatten(), Some(out.len()));
        let again = parse_response(&out, Storage::default(), &roomy, method);
        let again = again.map_err(|(reject, _)| reject.detail);
        let Ok(again) = again else {
            assert_eq!(again.err(), None, "{}", String::from_utf8_lossy(&out));
            return;
        };
        assert_eq!(response.status(), again.status());
        assert_eq!(sent.framing, again.framing());
    }
}
