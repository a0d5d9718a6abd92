// SPDX-License-Identifier: Apache-2.0
//! Streams and their ends: RFC 9113 §5.1, §6.4, §6.8.
use super::*;

const CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;

#[test]
fn rfc9113_5_1_half_closed_streams_take_no_more() {
    for late in [data(1, b"a", true), get(1)] {
        let mut server = server();
        let events = receive(&mut server, &[get(1), late].concat()).unwrap();
        assert_eq!(events[1], Seen::Reset(1, CLOSED, false));
        assert_eq!(reset_code(&mut server, 1), Some(CLOSED));
        assert_eq!(server.streams(), 0);
    }
    // What says nothing about content is fine.
    let mut server = server();
    let rest = [
        number(frame::WINDOW_UPDATE, 1, 1),
        raw(frame::PRIORITY, 0, 1, &[0; 5]),
    ];
    assert_eq!(
        receive(&mut server, &[get(1), rest.concat()].concat())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn rfc9113_5_1_closed_streams_take_nothing() {
    for late in [data(1, b"a", true), get(1)] {
        let mut server = server();
        receive(&mut server, &get(1)).unwrap();
        answer(&mut server, 1);
        assert_eq!(server.streams(), 0);
        let harmless = [
            number(frame::WINDOW_UPDATE, 1, 1),
            number(frame::RST_STREAM, 1, 8),
            raw(frame::PRIORITY, 0, 1, &[0; 5]),
        ];
        assert_eq!(receive(&mut server, &harmless.concat()), Ok(Vec::new()));
        assert_eq!(fatal(server, &late), CLOSED);
    }
    let reset = number(frame::RST_STREAM, 1, 8);
    for late in [data(1, b"a", true), get(1)] {
        assert_eq!(
            fatal(server(), &[post(1), reset.clone(), late].concat()),
            CLOSED
        );
    }
}

#[test]
fn rfc9113_5_4_2_what_was_on_its_way_when_we_reset_is_ignored_and_gives_its_window_back() {
    let settings = Settings {
        connection_window: 65_535,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    receive(
        &mut server,
        &[post(1), data(1, &[0; 10_000], false)].concat(),
    )
    .unwrap();
    server.reset(1, ErrorCode::CANCEL);
    assert_eq!(reset_code(&mut server, 1), Some(ErrorCode::CANCEL));
    for _ in 0..8 {
        let late = data(1, &[0; 16_000], false);
        assert_eq!(receive(&mut server, &late), Ok(Vec::new()));
    }
    let opened: usize = frames(&mut server)
        .iter()
        .filter(|frame| frame.0 == frame::WINDOW_UPDATE && frame.2 == 0)
        .map(|frame| frame::number(&frame.3).unwrap() as usize)
        .sum();
    assert!(opened > 100_000, "{opened}");
    // Trailers keep the table the same.
    let mut encoder = Encoder::new(4096);
    let late = indexed(&mut encoder, &[("x-late", "1")]);
    let flags = frame::END_HEADERS | frame::END_STREAM;
    assert_eq!(
        receive(&mut server, &raw(frame::HEADERS, flags, 1, &late)),
        Ok(Vec::new())
    );
    let block = [block(&GET), indexed(&mut encoder, &[("x-late", "1")])].concat();
    let events = receive(&mut server, &raw(frame::HEADERS, flags, 3, &block)).unwrap();
    let expected = pairs(&[("x-late", "1"), ("host", "a")]);
    assert_eq!(
        events,
        [Seen::Request(3, "GET http /".to_owned(), expected, true)]
    );
}

#[test]
fn a_reset_in_the_middle_of_a_frame_drops_the_rest_of_it() {
    let mut server = server();
    let frame = data(1, b"abcdef", true);
    let events = receive(&mut server, &[post(1), frame[..11].to_vec()].concat()).unwrap();
    assert_eq!(events[1], Seen::Data(1, b"ab".to_vec(), false));
    server.cancel(1);
    let events = receive(&mut server, &[frame[11..].to_vec(), get(3)].concat()).unwrap();
    assert!(matches!(events[..], [Seen::Request(3, ..)]), "{events:?}");
}

#[test]
fn the_peers_reset_is_told() {
    let mut server = server();
    let reset = number(frame::RST_STREAM, 1, 0x77);
    let events = receive(&mut server, &[post(1), reset].concat()).unwrap();
    assert_eq!(events[1], Seen::Reset(1, ErrorCode(0x77), true));
    assert_eq!(server.streams(), 0);
    let sent = server.send_response(1, 200, Fields::new().iter(), true);
    assert_eq!(sent, Err(crate::SendError::Closed));
}

#[test]
fn rfc9113_6_8_a_server_ends_in_two_steps() {
    let mut server = server();
    receive(&mut server, &post(1)).unwrap();
    server.shut_down();
    assert!(!server.is_drained());
    let said = frames(&mut server);
    assert_eq!(
        (said[0].0, frame::number(&said[0].3)),
        (frame::GOAWAY, Some(0x7fff_ffff))
    );
    assert_eq!(said[1].0, frame::PING);
    // What the client began before it knew is taken.
    let pong = raw(frame::PING, frame::ACK, 0, &said[1].3);
    let events = receive(&mut server, &[get(3), pong].concat()).unwrap();
    assert!(matches!(events[..], [Seen::Request(3, ..)]));
    let said = frames(&mut server);
    assert_eq!(
        (said[0].0, frame::number(&said[0].3)),
        (frame::GOAWAY, Some(3))
    );
    // And what it begins after is not, nor is it an error.
    let late = [post(5), data(5, b"abc", true)].concat();
    assert_eq!(receive(&mut server, &late), Ok(Vec::new()));
    answer(&mut server, 3);
    receive(&mut server, &data(1, b"", true)).unwrap();
    assert!(!server.is_drained());
    answer(&mut server, 1);
    assert!(server.is_drained());
}

#[test]
fn rfc9113_6_8_a_client_learns_which_requests_were_not_taken() {
    let mut client = client();
    let streams = [open(&mut client), open(&mut client), open(&mut client)];
    assert_eq!(streams, [1, 3, 5]);
    let warning = raw(frame::GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let events = receive(&mut client, &warning).unwrap();
    assert_eq!(events, [Seen::GoAway(0x7fff_ffff, ErrorCode::NO_ERROR)]);
    assert_eq!(client.room(), 0);
    let refused = client.send_request(HEAD, Fields::new().iter(), true);
    assert_eq!(refused, Err(crate::SendError::Ending));
    let last = raw(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let events = receive(&mut client, &last).unwrap();
    let reset = |stream| Seen::Reset(stream, ErrorCode::REFUSED_STREAM, true);
    assert_eq!(
        events,
        [Seen::GoAway(1, ErrorCode::NO_ERROR), reset(3), reset(5)]
    );
    assert!(!client.is_drained());
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS | frame::END_STREAM,
        1,
        &block(&[(":status", "200")]),
    );
    receive(&mut client, &head).unwrap();
    assert!(client.is_drained());
}

#[test]
fn goaway_at_once_names_what_was_begun() {
    let mut server = server();
    receive(&mut server, &get(7)).unwrap();
    server.goaway(ErrorCode::ENHANCE_YOUR_CALM);
    let said = frames(&mut server).pop().unwrap();
    assert_eq!(frame::number(&said.3), Some(7));
    assert_eq!(frame::number(&said.3[4..]), Some(0xb));
}

#[test]
fn a_client_knows_no_streams_but_its_own() {
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS,
        2,
        &block(&[(":status", "200")]),
    );
    assert_eq!(fatal(client(), &head), ErrorCode::PROTOCOL_ERROR);
    let head = raw(
        frame::HEADERS,
        frame::END_HEADERS,
        1,
        &block(&[(":status", "200")]),
    );
    assert_eq!(fatal(client(), &head), ErrorCode::PROTOCOL_ERROR);
    let promise = raw(frame::PUSH_PROMISE, frame::END_HEADERS, 1, &[0, 0, 0, 2]);
    assert_eq!(fatal(client(), &promise), ErrorCode::PROTOCOL_ERROR);
}
