// SPDX-License-Identifier: Apache-2.0
use crate::{Code, Connection, Error, Failure, Part, RequestReader, Settings, UniReader, Verdict};
use tidegate_core::Moment;
use tidegate_request::FieldId;

mod client;

const NOW: Moment = Moment(0);
/// GET https://a/ without more.
const GET: &[u8] = &[0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a'];

fn connection() -> Connection {
    Connection::server(Settings::default())
}

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::varint::write(&mut out, kind);
    crate::varint::write(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

/// What a stream's bytes come to: parts by name with their content, and how it ended.
fn read(
    connection: &mut Connection,
    input: &[u8],
    size: usize,
    ends: bool,
) -> (Vec<String>, Option<Failure>) {
    let mut reader = RequestReader::default();
    let mut told: Vec<String> = Vec::new();
    for piece in input.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let read = match reader.read(connection, NOW, rest) {
                Ok(read) => read,
                Err(failure) => return (told, Some(failure)),
            };
            match read.part {
                Some(Part::Content { start, end }) => {
                    let text = String::from_utf8_lossy(&rest[start..end]).into_owned();
                    match told.last_mut() {
                        Some(last) if last.starts_with('=') => last.push_str(&text),
                        _ => told.push(format!("={text}")),
                    }
                }
                Some(Part::Head) => {
                    let (pseudo, storage) = connection.request();
                    let host = storage.fields().get(FieldId::Host).unwrap_or_default();
                    told.push(format!(
                        "{} {} {}",
                        String::from_utf8_lossy(pseudo.method),
                        String::from_utf8_lossy(host),
                        String::from_utf8_lossy(pseudo.path),
                    ));
                }
                Some(part) => told.push(format!("{part:?}")),
                None => {}
            }
            rest = &rest[read.consumed..];
        }
    }
    let end = if ends { reader.finish().err() } else { None };
    (told, end)
}

/// A code, and whether the whole connection ends by it.
type Told = Option<(Code, bool)>;

fn code(failure: Option<Failure>) -> Told {
    failure.map(|failure| match failure {
        Failure::Stream(Error { code, .. }) => (code, false),
        Failure::Connection(Error { code, .. }) => (code, true),
    })
}

#[test]
fn a_request_is_read_however_it_is_cut() {
    let trailers = [&[0, 0][..], b"\x23x-a\x01b"].concat();
    let whole = [
        frame(0x21, b"grease"),
        frame(1, GET),
        frame(0, b"hel"),
        frame(0x40, b""),
        frame(0, b"lo"),
        frame(1, &trailers),
        frame(0x21, b"more"),
    ]
    .concat();
    for size in [1, 2, 3, 7, 100] {
        let (told, end) = read(&mut connection(), &whole, size, true);
        assert_eq!(
            (told.join(" "), end),
            ("GET a / =hello Trailers".into(), None),
            "{size}"
        );
    }
}

#[test]
fn frames_come_in_their_order_and_nowhere_else() {
    let head = frame(1, GET);
    let trailers = frame(1, &[0, 0, 0x23, b'x', b'-', b'a', 1, b'b']);
    let unexpected = Some((Code::FRAME_UNEXPECTED, true));
    let after = |more: &[u8]| [&head, more].concat();
    for input in [
        frame(0, b"x"),
        after(&[trailers.clone(), frame(0, b"x")].concat()),
        after(&[trailers.clone(), trailers.clone()].concat()),
        after(&frame(2, b"")),
        after(&frame(3, &[0])),
        after(&frame(4, b"")),
        after(&frame(5, b"")),
        after(&frame(6, b"")),
        after(&frame(7, &[0])),
        after(&frame(8, b"")),
        after(&frame(9, b"")),
        after(&frame(0xd, &[0])),
    ] {
        let (_, end) = read(&mut connection(), &input, 100, true);
        assert_eq!(code(end), unexpected, "{input:?}");
    }
}

#[test]
fn streams_end_where_they_may() {
    let head = frame(1, GET);
    let cases: [(&[u8], Told); 5] = [
        (b"", Some((Code::REQUEST_INCOMPLETE, false))),
        (&head[..1], Some((Code::FRAME_ERROR, true))),
        (&head[..head.len() - 1], Some((Code::FRAME_ERROR, true))),
        (&head, None),
        (
            &[&head[..], &[0, 5, b'x']].concat(),
            Some((Code::FRAME_ERROR, true)),
        ),
    ];
    for (input, expected) in cases {
        let (_, end) = read(&mut connection(), input, 100, true);
        assert_eq!(code(end), expected, "{input:?}");
    }
}

#[test]
fn content_has_the_length_that_was_told() {
    let told = [GET, &[0x54, 1, b'3']].concat();
    let head = frame(1, &told);
    for (content, is_right) in [(&b"abc"[..], true), (b"ab", false), (b"abcd", false)] {
        let input = [head.clone(), frame(0, content)].concat();
        let (_, end) = read(&mut connection(), &input, 100, true);
        let expected = (!is_right).then_some((Code::MESSAGE_ERROR, false));
        assert_eq!(code(end), expected, "{content:?}");
    }
}

#[test]
fn heads_beyond_a_limit_are_passed_over_and_refused() {
    let settings = Settings {
        header_block: 20,
        header_size: 200,
        header_fields: 1,
        ..Settings::default()
    };
    let long = frame(1, &[0; 21]);
    let many = frame(1, &[GET, b"\x21a\x01b\x21a\x01b"].concat());
    let large = frame(1, &[GET, &[0xf9]].concat());
    for head in [long, many, large] {
        let mut connection = Connection::server(settings);
        let input = [head, frame(0, b"x")].concat();
        let (told, end) = read(&mut connection, &input, 3, true);
        assert_eq!((told.join(" "), end), ("Refused =x".into(), None));
    }
}

#[test]
fn malformed_heads_end_their_stream_and_bad_qpack_the_connection() {
    let upper = [GET, b"\x23X-A\x01b"].concat();
    let connection_field = [GET, &[0x27, 3], b"connection", &[1, b'x']].concat();
    for (block, expected) in [
        (&upper[..], (Code::MESSAGE_ERROR, false)),
        (&connection_field, (Code::MESSAGE_ERROR, false)),
        (&GET[..3], (Code::MESSAGE_ERROR, false)),
        (&[0, 0, 0x80], (Code::QPACK_DECOMPRESSION_FAILED, true)),
        (&[5, 0], (Code::QPACK_DECOMPRESSION_FAILED, true)),
    ] {
        let (_, end) = read(&mut connection(), &frame(1, block), 100, true);
        assert_eq!(code(end), Some(expected), "{block:?}");
    }
}

#[test]
fn frames_of_no_use_are_counted() {
    let mut connection = connection();
    let allowed = Settings::default().glitches.burst as usize;
    let frames = frame(0x21, b"x").repeat(allowed);
    let (_, end) = read(&mut connection, &frames, 1 << 16, false);
    assert_eq!(end, None);
    let (_, end) = read(&mut connection, &frame(0x21, b"x"), 100, false);
    assert_eq!(code(end), Some((Code::EXCESSIVE_LOAD, true)));
}

/// One of the same side that has read nothing yet.
fn fresh(connection: &Connection) -> Connection {
    match connection.is_client {
        true => Connection::client(connection.settings),
        false => Connection::server(connection.settings),
    }
}

/// What streams of the peer's own direction come to, one after the other, each whole.
fn told(connection: &mut Connection, input: &[u8]) -> Result<Verdict, Code> {
    for size in [1, 2, 1000] {
        // The same however it is cut; the last way counts.
        let mut other = fresh(connection);
        let mut reader = UniReader::default();
        let outcome: Result<Vec<_>, _> = input
            .chunks(size)
            .map(|piece| reader.read(&mut other, NOW, piece))
            .collect();
        let mut whole = UniReader::default();
        let at_once = whole.read(&mut fresh(connection), NOW, input);
        assert_eq!(outcome.map(|_| ()), at_once.map(|_| ()), "{input:?} {size}");
    }
    UniReader::default()
        .read(connection, NOW, input)
        .map_err(|error| error.code)
}

#[test]
fn the_control_stream_says_what_it_may() {
    let settings = frame(4, &[0x6, 0x40, 0x64, 0x8, 1, 0x21, 5]);
    let control = |more: &[u8]| [&[0][..], &settings, more].concat();
    let cases: [(Vec<u8>, Result<Verdict, Code>); 17] = [
        (control(b""), Ok(Verdict::Wanted)),
        (control(&frame(0x21, b"grease")), Ok(Verdict::Wanted)),
        (control(&frame(0xf0700, b"\0u=1")), Ok(Verdict::Wanted)),
        (control(&frame(7, &[0])), Ok(Verdict::Wanted)),
        (
            control(&[frame(0xd, &[8]), frame(0xd, &[9])].concat()),
            Ok(Verdict::Wanted),
        ),
        (
            control(&[frame(0xd, &[8]), frame(0xd, &[7])].concat()),
            Err(Code::ID_ERROR),
        ),
        (
            control(&[frame(7, &[4]), frame(7, &[8])].concat()),
            Err(Code::ID_ERROR),
        ),
        (control(&frame(3, &[0])), Err(Code::ID_ERROR)),
        (control(&frame(7, &[0, 0])), Err(Code::FRAME_ERROR)),
        (control(&settings), Err(Code::FRAME_UNEXPECTED)),
        (control(&frame(0, b"x")), Err(Code::FRAME_UNEXPECTED)),
        (control(&frame(6, b"x")), Err(Code::FRAME_UNEXPECTED)),
        (
            [&[0][..], &frame(0x21, b"")].concat(),
            Err(Code::MISSING_SETTINGS),
        ),
        (
            [&[0][..], &frame(4, &[2, 0])].concat(),
            Err(Code::SETTINGS_ERROR),
        ),
        (
            [&[0][..], &frame(4, &[6, 1, 6, 1])].concat(),
            Err(Code::SETTINGS_ERROR),
        ),
        (
            [&[0][..], &frame(4, &[8, 2])].concat(),
            Err(Code::SETTINGS_ERROR),
        ),
        ([&[0][..], &frame(4, &[6])].concat(), Err(Code::FRAME_ERROR)),
    ];
    for (input, expected) in cases {
        assert_eq!(told(&mut connection(), &input), expected, "{input:?}");
    }
}

#[test]
fn streams_of_one_direction_are_there_once_and_stay() {
    let mut one = connection();
    for kind in [0, 2, 3] {
        let mut reader = UniReader::default();
        assert_eq!(reader.read(&mut one, NOW, &[kind]), Ok(Verdict::Wanted));
        let ended = reader.finish().map_err(|error| error.code);
        assert_eq!(ended, Err(Code::CLOSED_CRITICAL_STREAM));
        let again = UniReader::default().read(&mut one, NOW, &[kind]);
        assert_eq!(
            again.map_err(|error| error.code),
            Err(Code::STREAM_CREATION_ERROR)
        );
    }
    assert_eq!(
        told(&mut connection(), &[1]),
        Err(Code::STREAM_CREATION_ERROR)
    );
    assert_eq!(
        told(&mut connection(), &[0x21, 1, 2]),
        Ok(Verdict::Unwanted)
    );
    assert_eq!(UniReader::default().finish(), Ok(()));
}

#[test]
fn qpack_has_nothing_to_say_without_a_table() {
    let cases: [(&[u8], Result<Verdict, Code>); 7] = [
        (&[2, 0x20], Ok(Verdict::Wanted)),
        (&[2, 0x21], Err(Code::QPACK_ENCODER_STREAM_ERROR)),
        (&[2, 0xc0], Err(Code::QPACK_ENCODER_STREAM_ERROR)),
        (&[3, 0x40 | 4], Ok(Verdict::Wanted)),
        (&[3, 0x7f, 0x80, 1], Ok(Verdict::Wanted)),
        (&[3, 0x81], Err(Code::QPACK_DECODER_STREAM_ERROR)),
        (&[3, 0x01], Err(Code::QPACK_DECODER_STREAM_ERROR)),
    ];
    for (input, expected) in cases {
        assert_eq!(told(&mut connection(), input), expected, "{input:?}");
    }
}

#[test]
fn an_end_is_told_first_as_a_warning() {
    let mut connection = connection();
    assert!(connection.begin(0));
    assert_eq!(
        connection.goaway(false),
        [7, 8, 0xff, 255, 255, 255, 255, 255, 255, 252]
    );
    assert!(connection.begin(4));
    assert_eq!(connection.goaway(false), b"");
    assert_eq!(connection.goaway(true), [7, 1, 8]);
    assert_eq!(connection.goaway(true), b"");
    assert!(!connection.begin(8));
}

#[test]
fn a_response_is_no_larger_than_the_client_takes() {
    let mut connection = connection();
    assert_eq!(
        connection.response(204, std::iter::empty()),
        Some(vec![1, 4, 0, 0, 0xff, 1])
    );
    let mut control = UniReader::default();
    let small = [&[0][..], &frame(4, &[6, 41])].concat();
    assert_eq!(
        control.read(&mut connection, NOW, &small),
        Ok(Verdict::Wanted)
    );
    assert_eq!(connection.response(204, std::iter::empty()), None);
    assert!(connection.is_settled());
}

#[test]
fn resets_are_counted_on_both_sides() {
    let mut connection = connection();
    let Settings {
        client_resets,
        provoked_resets,
        ..
    } = Settings::default();
    for _ in 0..client_resets.burst {
        assert_eq!(connection.given_up(NOW), Ok(()));
    }
    assert!(connection.given_up(NOW).is_err());
    connection.ended_well();
    assert_eq!(connection.given_up(NOW), Ok(()));
    for _ in 0..provoked_resets.burst {
        assert_eq!(connection.provoked(NOW), Ok(()));
    }
    assert!(connection.provoked(NOW).is_err());
}
