// SPDX-License-Identifier: Apache-2.0
//! A request's head: found the same however it arrives, and what is sent on is read again as the same.
use tidegate_http::{Forwarding, HeadLimits, HeadScanner, encode_request, parse_request};
use tidegate_request::{Options, Request, Scheme, Storage};

/// What heads of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /a/../b?c=d HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.0\r\n",
    b"GET http://u@h:80/%2e%2F;x HTTP/1.1\r\n",
    b"Host: h\r\n",
    b"Host: [::1]:8080\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n",
    b"X-A: b\r\n",
    b" folded\r\n",
    b"Cookie: a=b; c\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\x80",
];

const LIMITS: HeadLimits = HeadLimits {
    header_size: 4096,
    header_fields: 20,
    target_size: 1024,
};

/// Judges `data` as what a client sent; whether it was taken.
pub fn run(data: &[u8]) -> bool {
    let mut is_taken = false;
    let whole = HeadScanner::new().scan(data, &LIMITS);
    let mut scanner = HeadScanner::new();
    // Byte by byte until it is decided: the same end, or a refusal where the whole is refused.
    let mut seen = Ok(None);
    for end in 0..=data.len() {
        seen = scanner.scan(data.get(..end).unwrap_or_default(), &LIMITS);
        if !matches!(seen, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole.as_ref().ok(), seen.as_ref().ok());
    for is_trusted in [false, true] {
        let options = Options {
            merge_slashes: !is_trusted,
            is_trusted,
            is_proxy: false,
        };
        if let Ok(Some(end)) = whole
            && let Some(request) = parse(data.get(..end).unwrap_or_default(), options)
        {
            is_taken = true;
            sent_on(&request, options);
        }
    }
    is_taken
}

fn parse(head: &[u8], options: Options) -> Option<Request> {
    parse_request(head, Storage::default(), &LIMITS, Scheme::Http, options).ok()
}

/// What is sent on must be one request, and the same one.
fn sent_on(request: &Request, options: Options) {
    let mut out = Vec::new();
    let forwarding = Forwarding {
        client: "192.0.2.1",
        pseudonym: "gateway",
        is_anonymous: false,
        to_proxy: None,
        prefix: None,
        request_id: "0",
        framing: request.framing(),
        passes_expect: true,
    };
    encode_request(&mut out, request, &forwarding);
    let roomy = HeadLimits {
        header_size: 1 << 16,
        header_fields: 100,
        target_size: 1 << 14,
    };
    assert_eq!(
        HeadScanner::new().scan(&out, &roomy).ok().flatten(),
        Some(out.len())
    );
    let again = parse_request(&out, Storage::default(), &roomy, Scheme::Http, options);
    let again = again.map_err(|(reject, _)| reject.detail);
    let Ok(again) = again else {
        assert_eq!(again.err(), None, "{}", String::from_utf8_lossy(&out));
        return;
    };
    assert_eq!(request.method(), again.method());
    assert_eq!(request.path(), again.path());
    assert_eq!(request.query(), again.query());
    assert_eq!(request.host(), again.host());
    assert_eq!(request.framing().is_empty(), again.framing().is_empty());
    if !request.framing().is_empty() {
        assert_eq!(request.framing(), again.framing());
    }
    assert!(request.cookies().eq(again.cookies()));
}
