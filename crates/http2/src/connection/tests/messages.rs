// SPDX-License-Identifier: Apache-2.0
//! Heads, trailers and content: RFC 9113 §8, and the rows on smuggling through HTTP/2.
use super::*;
use tidegate_request::{Method, Options, Parts, Request, Response, Scheme, Version};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;

/// What a server makes of a request: `None` when it is taken.
fn refusal(list: &[(&str, &str)]) -> Option<ErrorCode> {
    refusal_by(server(), list)
}

fn refusal_by(mut server: Connection, list: &[(&str, &str)]) -> Option<ErrorCode> {
    let flags = frame::END_HEADERS | frame::END_STREAM;
    let events = receive(&mut server, &raw(frame::HEADERS, flags, 1, &block(list))).unwrap();
    let code = reset_code(&mut server, 1);
    match code {
        Some(code) => assert_eq!(events, [Seen::Reset(1, code, false)], "{list:?}"),
        None => assert!(matches!(events[..], [Seen::Request(..)]), "{list:?}"),
    }
    assert_eq!(server.streams(), usize::from(code.is_none()));
    code
}

fn with(more: &[(&str, &str)]) -> Option<ErrorCode> {
    refusal(&[&GET[..], more].concat())
}

#[test]
fn rfc9113_8_3_1_a_request_has_its_pseudo_fields_once_and_first() {
    assert_eq!(refusal(&GET), None);
    for missing in [0, 1, 3] {
        let mut list = GET.to_vec();
        list.remove(missing);
        assert_eq!(refusal(&list), Some(PROTOCOL), "{missing}");
    }
    for twice in GET {
        assert_eq!(with(&[twice]), Some(PROTOCOL), "{twice:?}");
    }
    for odd in [
        (":status", "200"),
        (":other", "a"),
        (":", "a"),
        (":protocol", "websocket"),
    ] {
        assert_eq!(with(&[odd]), Some(PROTOCOL), "{odd:?}");
    }
    assert_eq!(refusal(&[&[("a", "b")][..], &GET].concat()), Some(PROTOCOL));
    assert_eq!(
        refusal(&[GET[0], GET[1], ("host", "a"), GET[3]]),
        Some(PROTOCOL)
    );
}

#[test]
fn row_10_pseudo_fields_cannot_make_another_request_line() {
    let bad = ["", " ", "a b", "a\r\nb", "a\0", "\t", "a\u{7f}"];
    for name in [":method", ":scheme", ":path", ":authority"] {
        for value in bad {
            let list = GET.map(|(key, kept)| (key, if key == name { value } else { kept }));
            assert_eq!(refusal(&list), Some(PROTOCOL), "{name} {value:?}");
        }
    }
}

#[test]
fn row_10_names_and_values_cannot_end_a_line() {
    let bad = [
        ("", "v"),
        ("a b", "v"),
        ("a:", "v"),
        ("a\r", "v"),
        ("a\0", "v"),
        ("\u{e9}", "v"),
        ("A", "v"),
        ("aB", "v"),
        ("Host", "a"),
        ("Cookie", "a"),
        ("a", "v\r"),
        ("a", "v\n"),
        ("a", "v\0"),
        ("a", "\u{1}"),
        ("a", " v"),
        ("a", "v\t"),
        ("cookie", "a\r\nb: c"),
        ("host", "a\r\nb: c"),
        ("content-length", "1\r\n"),
    ];
    for field in bad {
        assert_eq!(with(&[field]), Some(PROTOCOL), "{field:?}");
    }
    assert_eq!(with(&[("a", "x\ty \u{e9}"), ("b", "")]), None);
}

#[test]
fn row_8_fields_of_connections_do_not_exist() {
    let bad = [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ];
    for field in bad {
        assert_eq!(with(&[field]), Some(PROTOCOL), "{field:?}");
    }
    assert_eq!(with(&[("te", "trailers")]), None);
}

#[test]
fn row_30_authority_and_host_are_one() {
    assert_eq!(with(&[("host", "b")]), Some(PROTOCOL));
    assert_eq!(with(&[("host", "a"), ("host", "a")]), Some(PROTOCOL));
    assert_eq!(with(&[("host", "A")]), None);
    let head = |list: &[(&str, &str)]| {
        let flags = frame::END_HEADERS | frame::END_STREAM;
        let events = receive(&mut server(), &raw(frame::HEADERS, flags, 1, &block(list)));
        match events.unwrap().pop() {
            Some(Seen::Request(_, _, fields, _)) => fields,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        head(&[&GET[..], &[("host", "a")]].concat()),
        pairs(&[("host", "a")])
    );
    assert_eq!(
        head(&[GET[0], GET[1], GET[3], ("host", "b")]),
        pairs(&[("host", "b")])
    );
    // Without either there is none: the canonical request refuses it.
    assert_eq!(head(&[GET[0], GET[1], GET[3]]), []);
}

#[test]
fn rfc9113_8_2_3_cookie_crumbs_are_one_field() {
    let list = [
        &GET[..],
        &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")],
    ]
    .concat();
    let flags = frame::END_HEADERS | frame::END_STREAM;
    let events = receive(&mut server(), &raw(frame::HEADERS, flags, 1, &block(&list))).unwrap();
    let expected = pairs(&[("x", "y"), ("host", "a"), ("cookie", "a=b; c=d")]);
    assert_eq!(
        events,
        [Seen::Request(1, "GET http /".to_owned(), expected, true)]
    );
}

#[test]
fn row_7_content_has_the_length_that_was_announced() {
    for length in [
        "",
        "a",
        "+1",
        "-1",
        "1, 1",
        " 1",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        assert_eq!(
            with(&[("content-length", length)]),
            Some(PROTOCOL),
            "{length:?}"
        );
    }
    assert_eq!(
        with(&[("content-length", "0"), ("content-length", "0")]),
        Some(PROTOCOL)
    );
    assert_eq!(with(&[("content-length", "1")]), Some(PROTOCOL));
    assert_eq!(with(&[("content-length", "0")]), None);
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS,
        1,
        &block(&[&GET[..], &[("content-length", "4")]].concat()),
    );
    let trailers = raw(
        frame::HEADERS,
        frame::END_HEADERS | frame::END_STREAM,
        1,
        &block(&[("a", "b")]),
    );
    let cases = [
        (vec![data(1, b"abcd", true)], None),
        (
            vec![
                data(1, b"ab", false),
                data(1, b"cd", false),
                data(1, b"", true),
            ],
            None,
        ),
        (vec![data(1, b"abcd", false), trailers.clone()], None),
        (vec![data(1, b"abc", true)], Some(PROTOCOL)),
        (vec![data(1, b"abcde", false)], Some(PROTOCOL)),
        (vec![data(1, b"", true)], Some(PROTOCOL)),
        (vec![data(1, b"abc", false), trailers], Some(PROTOCOL)),
    ];
    for (rest, code) in cases {
        let mut server = server();
        let events = receive(&mut server, &[head.clone(), rest.concat()].concat()).unwrap();
        assert_eq!(reset_code(&mut server, 1), code, "{rest:?}");
        let is_reset = matches!(events.last(), Some(Seen::Reset(1, PROTOCOL, false)));
        assert_eq!(is_reset, code.is_some());
    }
}

#[test]
fn row_13_trailers_end_the_stream_and_hold_no_framing() {
    let trailers = |list: &[(&str, &str)], flags| {
        raw(frame::HEADERS, flags | frame::END_HEADERS, 1, &block(list))
    };
    let list = [
        ("x-checksum", "1"),
        ("authorization", "a"),
        ("content-length", "9"),
        ("host", "evil"),
        ("content_length", "9"),
        ("x-forwarded-for", "1.2.3.4"),
        ("grpc-status", "0"),
    ];
    let end = trailers(&list, frame::END_STREAM);
    let events = receive(&mut server(), &[post(1), end].concat()).unwrap();
    let kept = pairs(&[("x-checksum", "1"), ("grpc-status", "0")]);
    assert_eq!(events[1], Seen::Trailers(1, kept));
    let bad: [(&[(&str, &str)], u8); 5] = [
        (&[("a", "b")], 0),
        (&[(":path", "/")], frame::END_STREAM),
        (&[("transfer-encoding", "chunked")], frame::END_STREAM),
        (&[("A", "b")], frame::END_STREAM),
        (&[("host", "a\r\n")], frame::END_STREAM),
    ];
    for (list, flags) in bad {
        let mut server = server();
        let events = receive(&mut server, &[post(1), trailers(list, flags)].concat()).unwrap();
        assert_eq!(events[1], Seen::Reset(1, PROTOCOL, false), "{list:?}");
    }
}

#[test]
fn rfc8441_extended_connect_only_where_it_was_offered() {
    let list = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/chat"),
    ];
    assert_eq!(refusal(&list), Some(PROTOCOL));
    let offering = || {
        let settings = Settings {
            connect_protocol: true,
            ..Settings::default()
        };
        let said = Connection::server(settings).output().to_vec();
        assert!(said.windows(6).any(|entry| entry == [0, 8, 0, 0, 0, 1]));
        server_with(settings)
    };
    assert_eq!(refusal_by(offering(), &list), None);
    let get = list.map(|(name, value)| (name, if name == ":method" { "GET" } else { value }));
    assert_eq!(refusal_by(offering(), &get), Some(PROTOCOL));
    assert_eq!(
        refusal_by(offering(), &[list[0], list[1], list[3]]),
        Some(PROTOCOL)
    );
    // A plain CONNECT has neither scheme nor path.
    assert_eq!(refusal(&[list[0], list[3]]), None);
    assert_eq!(refusal(&[list[0], list[2], list[3]]), Some(PROTOCOL));
    assert_eq!(refusal(&[list[0]]), Some(PROTOCOL));
    let mut client = client();
    assert!(!client.takes_protocol());
    receive(&mut client, &setting(frame::ENABLE_CONNECT_PROTOCOL, 1)).unwrap();
    assert!(client.takes_protocol());
    assert_eq!(
        fatal(client, &setting(frame::ENABLE_CONNECT_PROTOCOL, 0)),
        PROTOCOL
    );
}

#[test]
fn a_request_becomes_the_canonical_one() {
    let mut server = server();
    let list = [
        &GET[..3],
        &[(":path", "/a/./b?c=d"), ("x-user", "1"), ("cookie", "e=f")],
    ]
    .concat();
    let flags = frame::END_HEADERS | frame::END_STREAM;
    let input = raw(frame::HEADERS, flags, 1, &block(&list));
    let received = server.receive(Moment::default(), &input).unwrap();
    let Some(Event::Request {
        pseudo, storage, ..
    }) = received.event
    else {
        panic!("{received:?}");
    };
    let parts = Parts {
        method: pseudo.method,
        target: pseudo.path,
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let request = Request::build(std::mem::take(storage), parts, Options::default()).unwrap();
    assert_eq!(
        (request.method_kind(), request.path()),
        (Method::Get, "/a/b")
    );
    assert_eq!(
        (request.host(), request.query()),
        (Some("a"), Some(&b"c=d"[..]))
    );
    assert_eq!(request.cookies().count(), 1);
    assert_eq!(request.fields().get_name(b"x-user"), Some(&b"1"[..]));
}

/// What a client makes of a response to `method`.
fn response(
    method: &'static str,
    head: &[(&str, &str)],
    rest: &[Vec<u8>],
    ends: bool,
) -> Vec<Seen> {
    let mut client = client();
    let request = RequestHead {
        method: method.as_bytes(),
        ..HEAD
    };
    let stream = client
        .send_request(request, Fields::new().iter(), true)
        .unwrap();
    let flags = frame::END_HEADERS | if ends { frame::END_STREAM } else { 0 };
    let head = raw(frame::HEADERS, flags, stream, &block(head));
    receive(&mut client, &[head, rest.concat()].concat()).unwrap()
}

#[test]
fn rfc9113_8_3_2_a_response_has_one_status() {
    let bad: [&[(&str, &str)]; 9] = [
        &[],
        &[("a", "b")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "2x0")],
        &[(":status", "099")],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "101")],
    ];
    for list in bad {
        let events = response("GET", list, &[], false);
        assert_eq!(events, [Seen::Reset(1, PROTOCOL, false)], "{list:?}");
    }
    let events = response(
        "GET",
        &[(":status", "200"), ("a", "b")],
        &[data(1, b"c", true)],
        false,
    );
    let head = Seen::Response(1, 200, pairs(&[("a", "b")]), false);
    assert_eq!(events, [head, Seen::Data(1, b"c".to_vec(), true)]);
}

#[test]
fn rows_18_and_19_content_of_responses_is_what_they_announce() {
    let head = [(":status", "200"), ("content-length", "1")];
    let reset = Seen::Reset(1, PROTOCOL, false);
    assert_eq!(response("GET", &head, &[], true).first(), Some(&reset));
    assert_eq!(response("HEAD", &head, &[], true).len(), 1);
    assert_eq!(
        response("GET", &[(":status", "304"), head[1]], &[], true).len(),
        1
    );
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        let events = response(
            method,
            &[(":status", status)],
            &[data(1, b"a", true)],
            false,
        );
        assert_eq!(events.last(), Some(&reset), "{method} {status}");
    }
    let before = [data(1, b"a", false)];
    assert_eq!(
        response("GET", &[(":status", "103")], &before, false).last(),
        Some(&reset)
    );
    assert_eq!(response("GET", &[(":status", "103")], &[], true), [reset]);
}

#[test]
fn a_response_becomes_the_canonical_one() {
    let mut client = client();
    let stream = open(&mut client);
    let list = [(":status", "404"), ("content-length", "3")];
    let input = raw(frame::HEADERS, frame::END_HEADERS, stream, &block(&list));
    let received = client.receive(Moment::default(), &input).unwrap();
    let Some(Event::Response {
        status, storage, ..
    }) = received.event
    else {
        panic!("{received:?}");
    };
    let built = Response::build(
        std::mem::take(storage),
        status,
        Version::Http11,
        Method::Get,
    );
    assert_eq!(built.unwrap().status(), 404);
}
