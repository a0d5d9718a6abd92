// SPDX-License-Identifier: Apache-2.0
//! What is written is read again as the same message.
use super::{FORWARDING, LIMITS, context};
use crate::encode::{Forwarding, encode_request, encode_response};
use crate::{HeadScanner, parse_request, parse_response};
use proptest::prelude::*;
use tidegate_request::{
    CONNECTION_FIELDS, FieldId, Fields, Method, Options, Request, Response, ResponseFraming,
    Scheme, Storage,
};

/// Fields of every kind, framing ones too.
fn field() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "X-A",
        "x_b",
        "Accept",
        "Cookie",
        "Connection",
        "Upgrade",
        "TE",
        "Keep-Alive",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "Via",
        "Expect",
        "Trailer",
        "Max-Forwards",
        "X-Request-Id",
        "X_Forwarded_For",
        "Server",
        "Date",
        "Authorization",
    ];
    const VALUES: &[&str] = &[
        "",
        "a",
        "close",
        "x-a, keep-alive",
        "upgrade",
        "websocket",
        "trailers",
        "100-continue",
        "3",
    ];
    let value = prop_oneof![
        prop::sample::select(VALUES).prop_map(ToOwned::to_owned),
        "[!-~][ -~\t]{0,10}"
    ];
    (prop::sample::select(NAMES), value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

fn framing() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "",
            "Content-Length: 7\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 0\r\n",
        ][..],
    )
}

/// Fields that say the same on every hop.
fn lasting(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_lasting = |id| {
        const OURS: [FieldId; 5] = [
            FieldId::Host,
            FieldId::ContentLength,
            FieldId::Expect,
            FieldId::MaxForwards,
            FieldId::Via,
        ];
        !CONNECTION_FIELDS.has(id) && !OURS.contains(&id)
    };
    fields
        .iter()
        .filter(|field| {
            is_lasting(field.id) && !field.name.to_ascii_lowercase().starts_with(b"x-forwarded")
        })
        .filter(|field| {
            ![FieldId::Forwarded, FieldId::XRequestId, FieldId::Date].contains(&field.id)
        })
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

fn again(head: &[u8]) -> Request {
    let end = HeadScanner::new().scan(head, &LIMITS).unwrap();
    assert_eq!(end, Some(head.len()), "one head and nothing after");
    let options = Options {
        is_trusted: true,
        ..Options::default()
    };
    parse_request(head, Storage::new(), &LIMITS, Scheme::Http, options)
        .map_err(|(reject, _)| reject)
        .unwrap()
}

fn respond_again(head: &[u8], method: Method) -> Response {
    let end = HeadScanner::for_response().scan(head, &LIMITS).unwrap();
    assert_eq!(end, Some(head.len()), "one head and nothing after");
    parse_response(head, Storage::new(), &LIMITS, method)
        .map_err(|(reject, _)| reject)
        .unwrap()
}

proptest! {
    #[test]
    fn a_request_that_is_taken_reads_the_same_at_the_endpoint(
        method in prop::sample::select(&["GET", "POST", "OPTIONS", "DELETE", "get", "X"][..]),
        target in prop_oneof!["/[a-z./%2Ef;]{0,12}(\\?[!-~]{0,6})?", Just("*".to_owned()), Just("http://b:81/x".to_owned())],
        fields in prop::collection::vec(field(), 0..8),
        framing in framing(),
        is_trusted in any::<bool>(),
    ) {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: A.b:8080\r\n{}{framing}\r\n", fields.concat());
        let options = Options { is_trusted, ..Options::default() };
        let parsed = parse_request(head.as_bytes(), Storage::new(), &LIMITS, Scheme::Http, options);
        let Ok(request) = parsed else { return Ok(()) };
        let mut out = Vec::new();
        let forwarding = Forwarding { framing: request.framing(), passes_expect: true, ..FORWARDING };
        encode_request(&mut out, &request, &forwarding);
        let read = again(&out);
        prop_assert_eq!(read.method(), request.method());
        prop_assert_eq!((read.path(), read.query()), (request.path(), request.query()));
        prop_assert_eq!(read.authority(), request.authority());
        prop_assert_eq!(read.framing().is_empty(), request.framing().is_empty());
        if !request.framing().is_empty() {
            prop_assert_eq!(read.framing(), request.framing());
        }
        prop_assert_eq!(read.expects_continue(), request.expects_continue());
        prop_assert_eq!(read.upgrade(), request.upgrade());
        prop_assert_eq!(lasting(read.fields()), lasting(request.fields()));
        prop_assert_eq!(read.fields().count(FieldId::XForwardedFor), 1);
    }

    #[test]
    fn a_response_that_is_taken_reads_the_same_at_the_client(
        status in prop::sample::select(&[100u16, 101, 103, 200, 204, 206, 304, 404, 599][..]),
        fields in prop::collection::vec(field(), 0..8),
        framing in framing(),
        method in prop::sample::select(&[Method::Get, Method::Head][..]),
    ) {
        let head = format!("HTTP/1.1 {status} Any\r\n{}{framing}\r\n", fields.concat());
        let Ok(response) = parse_response(head.as_bytes(), Storage::new(), &LIMITS, method) else { return Ok(()) };
        let mut out = Vec::new();
        let sent = encode_response(&mut out, &response, &context());
        let read = respond_again(&out, method);
        prop_assert_eq!(read.status(), status);
        prop_assert_eq!(read.framing(), sent.framing);
        prop_assert_eq!(read.upgrade(), response.upgrade());
        prop_assert_eq!(lasting(read.fields()), lasting(response.fields()));
        if response.framing() != ResponseFraming::Close {
            prop_assert_eq!(read.framing(), response.framing());
        }
    }
}
