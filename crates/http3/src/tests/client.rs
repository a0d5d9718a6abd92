// SPDX-License-Identifier: Apache-2.0
//! The client's side, and the two sides with each other.
use super::{GET, NOW, Told, code, connection, frame, told};
use crate::{Code, Connection, Part, RequestHead, RequestReader, Settings, UniReader, Verdict};
use tidegate_request::{FieldId, Fields};

const HEAD: RequestHead<'_> = RequestHead {
    method: b"GET",
    scheme: "https",
    authority: b"a",
    path: b"/",
    query: None,
    protocol: None,
};
/// `:status: 200` without more.
const OK: &[u8] = &[0, 0, 0xd9];

fn client() -> Connection {
    Connection::client(Settings::default())
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs {
        fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    fields
}

/// What the bytes of a response come to, cut into pieces of `size`, and how it ended.
fn read(input: &[u8], size: usize, is_head: bool) -> (Vec<String>, Told) {
    let mut connection = client();
    let mut reader = RequestReader::response(is_head);
    let mut parts = Vec::new();
    for piece in input.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let read = match reader.read(&mut connection, NOW, rest) {
                Ok(read) => read,
                Err(failure) => return (parts, code(Some(failure))),
            };
            match read.part {
                Some(Part::Content { start, end }) => {
                    parts.push(String::from_utf8_lossy(&rest[start..end]).into_owned());
                }
                Some(Part::Head) => parts.push(connection.answer().0.to_string()),
                Some(part) => parts.push(format!("{part:?}")),
                None => {}
            }
            rest = &rest[read.consumed..];
        }
    }
    (parts, code(reader.finish().err()))
}

#[test]
fn a_request_is_what_the_server_reads() {
    let fields = fields(&[
        ("Accept", "*/*"),
        ("host", "other"),
        ("connection", "close"),
        ("te", "trailers"),
        ("X-A", "1"),
    ]);
    let head = RequestHead {
        authority: b"a.example:8443",
        path: b"/p",
        query: Some(b"q=1"),
        ..HEAD
    };
    let sent = client().ask(head, fields.iter()).unwrap();
    let mut server = connection();
    let mut reader = RequestReader::default();
    let read = reader.read(&mut server, NOW, &sent).unwrap();
    assert_eq!((read.consumed, read.part), (sent.len(), Some(Part::Head)));
    assert_eq!(reader.finish(), Ok(()));
    let (pseudo, storage) = server.request();
    assert_eq!(pseudo.method, b"GET");
    assert_eq!(pseudo.scheme, b"https");
    assert_eq!(pseudo.path, b"/p?q=1");
    assert_eq!(pseudo.authority, Some(&b"a.example:8443"[..]));
    let fields = storage.fields();
    assert_eq!(fields.get(FieldId::Host), Some(&b"a.example:8443"[..]));
    assert_eq!(fields.get(FieldId::Te), Some(&b"trailers"[..]));
    assert_eq!(fields.get(FieldId::Connection), None);
    assert_eq!(
        fields.iter().filter(|field| field.name == b"x-a").count(),
        1
    );
}

#[test]
fn the_shortest_request_takes_from_the_static_table() {
    let sent = client().ask(HEAD, std::iter::empty()).unwrap();
    // `:method`, `:authority`, `:scheme`, `:path`, as far as they are in RFC 9204 Appendix A.
    assert_eq!(sent, [1, 8, 0, 0, 0xd1, 0x50, 1, b'a', 0xd7, 0xc1]);
    assert_eq!(GET.len(), sent.len() - 2);
}

#[test]
fn a_tunnel_has_neither_scheme_nor_path() {
    let cases: [(Option<&[u8]>, &[u8]); 2] = [(None, b""), (Some(b"websocket"), b"/")];
    for (protocol, path) in cases {
        let head = RequestHead {
            method: b"CONNECT",
            protocol,
            ..HEAD
        };
        let sent = client().ask(head, std::iter::empty()).unwrap();
        let mut server = connection();
        let read = RequestReader::default().read(&mut server, NOW, &sent);
        assert_eq!(read.unwrap().part, Some(Part::Head));
        let (pseudo, _) = server.request();
        assert_eq!((pseudo.protocol, pseudo.path), (protocol, path));
    }
}

#[test]
fn a_request_is_no_larger_than_the_server_takes() {
    let mut client = client();
    let size = 1 + 1 + 3 + 5 * 42;
    for (most, fits) in [(size, true), (size - 1, false)] {
        let mut payload = vec![6];
        crate::varint::write(&mut payload, most);
        let control = [&[0][..], &frame(4, &payload)].concat();
        client.has = [false; 3];
        let read = UniReader::default().read(&mut client, NOW, &control);
        assert_eq!(read, Ok(Verdict::Wanted));
        assert_eq!(client.ask(HEAD, std::iter::empty()).is_some(), fits);
    }
}

#[test]
fn a_response_is_read_however_it_is_cut() {
    let mut server = connection();
    let fields = fields(&[("content-length", "5")]);
    let whole = [
        server.response(103, std::iter::empty()).unwrap(),
        server.response(200, fields.iter()).unwrap(),
        frame(0x21, b"grease"),
        frame(0, b"hello"),
        server.response_trailers(std::iter::empty()).unwrap(),
    ]
    .concat();
    for size in [1, 3, 100] {
        let (parts, end) = read(&whole, size, false);
        assert_eq!(end, None);
        assert_eq!(parts[..2], ["103", "200"]);
        assert_eq!(parts[2..parts.len() - 1].concat(), "hello", "{size}");
        assert_eq!(parts.last().unwrap(), "Trailers");
    }
}

#[test]
fn lengths_that_are_told_without_content() {
    let mut server = connection();
    let fields = fields(&[("content-length", "5")]);
    let mut head = |status| server.response(status, fields.iter()).unwrap();
    let broken = Some((Code::MESSAGE_ERROR, false));
    let cases = [
        (200, true, None),
        (304, false, None),
        (204, false, None),
        (200, false, broken),
    ];
    for (status, is_head, expected) in cases {
        let (parts, end) = read(&head(status), 100, is_head);
        assert_eq!((parts, end), (vec![status.to_string()], expected));
    }
    let content = [head(200), frame(0, b"x")].concat();
    assert_eq!(read(&content, 100, true).1, broken);
}

#[test]
fn what_no_server_may_send() {
    let response = frame(1, OK);
    let after = |more: &[u8]| [&response, more].concat();
    let interim = |status, count| {
        let mut server = connection();
        let one = server.response(status, std::iter::empty()).unwrap();
        [one.repeat(count), response.clone()].concat()
    };
    let broken = Some((Code::MESSAGE_ERROR, false));
    let cases = [
        (response.clone(), None),
        (Vec::new(), broken),
        (interim(103, 8), None),
        (interim(103, 9), broken),
        (interim(101, 1), broken),
        // A request is no response.
        (frame(1, GET), broken),
        (frame(0, b"x"), Some((Code::FRAME_UNEXPECTED, true))),
        (after(&frame(5, &[0, 0, 0])), Some((Code::ID_ERROR, true))),
        (after(&frame(7, &[0])), Some((Code::FRAME_UNEXPECTED, true))),
        (
            frame(1, &[0, 0, 0x80]),
            Some((Code::QPACK_DECOMPRESSION_FAILED, true)),
        ),
        (frame(1, &[0, 0, 0xd9, 0xd9]), broken),
    ];
    for (input, expected) in cases {
        assert_eq!(read(&input, 100, false).1, expected, "{input:?}");
    }
}

#[test]
fn a_head_over_a_limit_ends_its_request_alone() {
    let mut server = connection();
    let long = "x".repeat(33 << 10);
    let fields = fields(&[("x-a", &long)]);
    let head = server.response(200, fields.iter()).unwrap();
    assert_eq!(
        read(&head, 1000, false).1,
        Some((Code::EXCESSIVE_LOAD, false))
    );
}

#[test]
fn streams_of_a_server_say_what_they_may() {
    let settings = frame(4, &[6, 0x40, 0x64]);
    let control = |more: &[u8]| [&[0][..], &settings, more].concat();
    let preamble = connection().preamble();
    let cases: [(Vec<u8>, Result<Verdict, Code>); 7] = [
        (preamble, Ok(Verdict::Wanted)),
        (control(&frame(7, &[8])), Ok(Verdict::Wanted)),
        (control(&frame(7, &[9])), Err(Code::ID_ERROR)),
        (control(&frame(0xd, &[8])), Err(Code::FRAME_UNEXPECTED)),
        (vec![1, 0], Err(Code::ID_ERROR)),
        (vec![2, 0x20], Ok(Verdict::Wanted)),
        (vec![0x21], Ok(Verdict::Unwanted)),
    ];
    for (input, expected) in cases {
        assert_eq!(told(&mut client(), &input), expected, "{input:?}");
    }
}

#[test]
fn a_client_offers_nothing_that_is_for_servers() {
    assert_eq!(client().preamble(), [0, 4, 5, 6, 0x80, 0, 0x80, 0]);
    let read = UniReader::default().read(&mut connection(), NOW, &client().preamble());
    assert_eq!(read, Ok(Verdict::Wanted));
}
