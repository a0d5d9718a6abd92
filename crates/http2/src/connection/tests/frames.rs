// SPDX-License-Identifier: Apache-2.0
//! Frames that cannot be: RFC 9113 §4 and §6, and the cases of h2spec on them.
use super::*;

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;

#[test]
fn rfc9113_3_4_a_connection_begins_with_the_preface_and_settings() {
    let fresh = || Connection::server(Settings::default());
    assert_eq!(fatal(fresh(), b"GET / HTTP/1.1\r\n"), PROTOCOL);
    assert_eq!(fatal(fresh(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"), PROTOCOL);
    let ping = raw(frame::PING, 0, 0, &[0; 8]);
    assert_eq!(
        fatal(fresh(), &[frame::PREFACE, &ping[..]].concat()),
        PROTOCOL
    );
    let ack = raw(frame::SETTINGS, frame::ACK, 0, &[]);
    assert_eq!(
        fatal(fresh(), &[frame::PREFACE, &ack[..]].concat()),
        PROTOCOL
    );
    assert_eq!(
        fatal(Connection::client(Settings::default()), &ping),
        PROTOCOL
    );
    // In pieces it is fine, and not consumed before it is whole.
    let mut server = fresh();
    assert_eq!(
        receive_at(&mut server, Moment::default(), b"PRI * HT")
            .unwrap()
            .1,
        0
    );
}

#[test]
fn rfc9113_4_2_frames_have_their_sizes() {
    let cases = [
        raw(frame::DATA, 0, 1, &[0; 16_385]),
        raw(frame::HEADERS, frame::END_HEADERS, 1, &[0; 16_385]),
        raw(frame::PRIORITY, 0, 1, &[0; 4]),
        raw(frame::RST_STREAM, 0, 1, &[0; 3]),
        raw(frame::SETTINGS, 0, 0, &[0; 3]),
        raw(frame::SETTINGS, frame::ACK, 0, &[0; 6]),
        raw(frame::PING, 0, 0, &[0; 7]),
        raw(frame::GOAWAY, 0, 0, &[0; 7]),
        raw(frame::WINDOW_UPDATE, 0, 0, &[0; 3]),
        raw(
            frame::HEADERS,
            frame::END_HEADERS | frame::WITH_PRIORITY,
            3,
            &[0; 4],
        ),
        raw(frame::HEADERS, frame::END_HEADERS | frame::PADDED, 3, &[]),
        raw(frame::DATA, frame::PADDED, 1, &[]),
    ];
    for case in cases {
        assert_eq!(
            fatal(server(), &[post(1), case.clone()].concat()),
            SIZE,
            "{case:?}"
        );
    }
}

#[test]
fn rfc9113_6_frames_belong_to_the_connection_or_to_a_stream_that_is() {
    let cases = [
        data(0, b"a", false),
        raw(frame::HEADERS, frame::END_HEADERS, 0, &block(&GET)),
        raw(frame::PRIORITY, 0, 0, &[0; 5]),
        number(frame::RST_STREAM, 0, 8),
        raw(frame::SETTINGS, 0, 1, &[]),
        raw(frame::PING, 0, 1, &[0; 8]),
        raw(frame::GOAWAY, 0, 1, &[0; 8]),
        raw(frame::PUSH_PROMISE, frame::END_HEADERS, 1, &[0; 8]),
        raw(frame::CONTINUATION, frame::END_HEADERS, 1, &[]),
        number(frame::WINDOW_UPDATE, 0, 0),
        // Idle streams, and those a client cannot begin.
        data(5, b"a", false),
        number(frame::RST_STREAM, 5, 8),
        number(frame::WINDOW_UPDATE, 5, 8),
        get(2),
        data(2, b"a", false),
    ];
    for case in cases {
        assert_eq!(
            fatal(server(), &[post(1), case.clone()].concat()),
            PROTOCOL,
            "{case:?}"
        );
    }
    // A stream below the last was closed by that, RFC 9113 §5.1.1.
    assert_eq!(
        fatal(server(), &[get(5), get(3)].concat()),
        ErrorCode::STREAM_CLOSED
    );
}

#[test]
fn rfc9113_6_1_padding_is_taken_off_and_may_not_pass_the_payload() {
    let mut server = server();
    let mut padded = vec![3];
    padded.extend_from_slice(&block(&GET));
    padded.extend_from_slice(&[0; 3]);
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS | frame::PADDED,
        1,
        &padded,
    );
    let content = raw(
        frame::DATA,
        frame::PADDED | frame::END_STREAM,
        1,
        b"\x02ab\0\0",
    );
    let events = receive(&mut server, &[head, content].concat()).unwrap();
    assert!(matches!(&events[0], Seen::Request(1, ..)));
    assert_eq!(events[1], Seen::Data(1, b"ab".to_vec(), true));
    for kind in [frame::DATA, frame::HEADERS] {
        let wrong = raw(kind, frame::PADDED | frame::END_HEADERS, 1, b"\x05abcd");
        assert_eq!(fatal(super::server(), &[post(1), wrong].concat()), PROTOCOL);
    }
    // Nothing but padding is a frame without content, which is fine.
    let only = raw(frame::DATA, frame::PADDED, 1, b"\x04abcd");
    assert_eq!(
        receive(&mut super::server(), &[post(1), only].concat())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn rfc9113_5_3_a_stream_does_not_depend_on_itself() {
    let priority = raw(frame::PRIORITY, 0, 1, &[0x80, 0, 0, 1, 0]);
    assert_eq!(fatal(server(), &[post(1), priority].concat()), PROTOCOL);
    let block = [&[0, 0, 0, 3, 0][..], &block(&GET)].concat();
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS | frame::WITH_PRIORITY,
        3,
        &block,
    );
    assert_eq!(fatal(server(), &head), PROTOCOL);
    let mut server = server();
    let other = raw(frame::PRIORITY, 0, 99, &[0, 0, 0, 1, 0]);
    assert_eq!(receive(&mut server, &other), Ok(Vec::new()));
}

#[test]
fn rfc9113_6_5_settings_are_judged_acknowledged_and_followed() {
    let bad = [
        (frame::ENABLE_PUSH, 2, PROTOCOL),
        (frame::INITIAL_WINDOW_SIZE, 1 << 31, FLOW),
        (frame::MAX_FRAME_SIZE, 16_383, PROTOCOL),
        (frame::MAX_FRAME_SIZE, 1 << 24, PROTOCOL),
        (frame::ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL),
    ];
    for (name, value, code) in bad {
        assert_eq!(fatal(server(), &setting(name, value)), code, "{name}");
    }
    assert_eq!(fatal(client(), &setting(frame::ENABLE_PUSH, 1)), PROTOCOL);
    let mut server = server();
    let good = [setting(frame::ENABLE_PUSH, 1), setting(0x99, 7)].concat();
    assert_eq!(receive(&mut server, &good), Ok(Vec::new()));
    let ack = (frame::SETTINGS, frame::ACK, 0, Vec::new());
    assert_eq!(frames(&mut server), [ack.clone(), ack]);
}

#[test]
fn rfc9113_6_7_a_ping_is_answered_with_its_own_bytes() {
    let mut server = server();
    receive(&mut server, &raw(frame::PING, 0, 0, b"12345678")).unwrap();
    assert_eq!(
        frames(&mut server),
        [(frame::PING, frame::ACK, 0, b"12345678".to_vec())]
    );
    // An answer that nobody asked for is none.
    assert_eq!(
        receive(&mut server, &raw(frame::PING, frame::ACK, 0, b"12345678")),
        Ok(Vec::new())
    );
    server.ping();
    let probe = frames(&mut server).pop().unwrap();
    let pong = raw(frame::PING, frame::ACK, 0, &probe.3);
    assert_eq!(receive(&mut server, &pong), Ok(vec![Seen::Pong]));
    assert_eq!(receive(&mut server, &pong), Ok(Vec::new()));
}

#[test]
fn rfc9113_6_9_windows_end_at_two_to_the_31() {
    let most = 0x7fff_ffff;
    assert_eq!(
        fatal(server(), &number(frame::WINDOW_UPDATE, 0, most)),
        FLOW
    );
    let mut server = server();
    receive(
        &mut server,
        &[get(1), number(frame::WINDOW_UPDATE, 1, most)].concat(),
    )
    .unwrap();
    assert_eq!(reset_code(&mut server, 1), Some(FLOW));
    receive(
        &mut server,
        &[get(3), number(frame::WINDOW_UPDATE, 3, 0)].concat(),
    )
    .unwrap();
    assert_eq!(reset_code(&mut server, 3), Some(PROTOCOL));
    receive(
        &mut server,
        &[get(5), number(frame::WINDOW_UPDATE, 5, most - 65_535)].concat(),
    )
    .unwrap();
    assert_eq!(
        fatal(server, &setting(frame::INITIAL_WINDOW_SIZE, 65_536)),
        FLOW
    );
}

#[test]
fn rfc9113_6_10_nothing_comes_between_a_head_and_its_continuation() {
    let block = block(&GET);
    let begin = raw(frame::HEADERS, frame::END_STREAM, 1, &block[..7]);
    let cases = [
        data(1, b"a", false),
        raw(frame::PING, 0, 0, &[0; 8]),
        raw(frame::HEADERS, frame::END_HEADERS, 1, &block),
        raw(frame::CONTINUATION, frame::END_HEADERS, 3, &block[7..]),
        raw(0x99, 0, 0, &[]),
    ];
    for case in cases {
        assert_eq!(fatal(server(), &[begin.clone(), case].concat()), PROTOCOL);
    }
    let mut server = server();
    assert_eq!(receive(&mut server, &begin), Ok(Vec::new()));
    assert!(server.awaits_continuation());
    let middle = raw(frame::CONTINUATION, 0, 1, &block[7..20]);
    let end = raw(frame::CONTINUATION, frame::END_HEADERS, 1, &block[20..]);
    let events = receive(&mut server, &[middle, end.clone()].concat()).unwrap();
    let expected = pairs(&[("host", "a")]);
    assert_eq!(
        events,
        [Seen::Request(1, "GET http /".to_owned(), expected, true)]
    );
    assert!(!server.awaits_continuation());
    assert_eq!(fatal(server, &end), PROTOCOL);
}

#[test]
fn rfc9113_4_1_and_5_5_unknown_frames_flags_and_the_reserved_bit_are_ignored() {
    let mut server = server();
    let mut head = get(1);
    head[4] |= 0xd2;
    head[5] |= 0x80;
    let unknown = raw(0x16, 0xff, 77, b"abc");
    let ping = raw(frame::PING, 0xfe, 0, &[1; 8]);
    let events = receive(&mut server, &[unknown, head, ping].concat()).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        frames(&mut server),
        [(frame::PING, frame::ACK, 0, vec![1; 8])]
    );
}

#[test]
fn rfc9113_4_3_what_is_no_hpack_ends_the_connection() {
    let head = raw(frame::HEADERS, frame::END_HEADERS, 1, &[0xbe]);
    assert_eq!(fatal(server(), &head), ErrorCode::COMPRESSION_ERROR);
}
