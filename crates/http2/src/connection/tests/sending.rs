// SPDX-License-Identifier: Apache-2.0
//! What is sent, and whose turn it is.
use super::*;
use crate::{SendError, Taken};

fn none() -> Fields {
    Fields::new()
}

/// A server with requests on `streams`, each answered by a head without end.
fn answering(settings: Settings, streams: &[u32]) -> Connection {
    let mut server = server_with(settings);
    for &stream in streams {
        receive(&mut server, &get(stream)).unwrap();
        server
            .send_response(stream, 200, none().iter(), false)
            .unwrap();
    }
    drain(&mut server);
    server
}

#[test]
fn heads_lose_what_belongs_to_connections_and_upper_case() {
    let mut client = client();
    let list = [
        ("Host", "b"),
        ("Connection", "close"),
        ("Keep-Alive", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("TE", "trailers"),
        ("X-Mixed", "Value"),
        ("Accept", "*/*"),
    ];
    let head = RequestHead {
        query: Some(b"q=1"),
        path: b"/p",
        ..HEAD
    };
    client
        .send_request(head, fields(&list).iter(), true)
        .unwrap();
    let mut server = server();
    let events = receive(&mut server, &drain(&mut client)).unwrap();
    let kept = pairs(&[
        ("te", "trailers"),
        ("x-mixed", "Value"),
        ("accept", "*/*"),
        ("host", "a"),
    ]);
    assert_eq!(
        events,
        [Seen::Request(1, "GET http /p?q=1".to_owned(), kept, true)]
    );
    server.send_response(1, 103, none().iter(), false).unwrap();
    server
        .send_response(1, 302, fields(&list[1..6]).iter(), false)
        .unwrap();
    server
        .send_trailers(1, fields(&[("X-Sum", "1")]).iter())
        .unwrap();
    let events = receive(&mut client, &drain(&mut server)).unwrap();
    let expected = [
        Seen::Response(1, 103, Vec::new(), false),
        Seen::Response(1, 302, Vec::new(), false),
        Seen::Trailers(1, pairs(&[("x-sum", "1")])),
    ];
    assert_eq!(events, expected);
    assert_eq!((client.streams(), server.streams()), (0, 0));
}

#[test]
fn rfc9113_4_3_a_long_head_goes_in_continuations() {
    let mut client = client();
    let value = "v".repeat(9000);
    let stream = client.send_request(
        HEAD,
        fields(&[("a", &value), ("b", &value), ("c", &value)]).iter(),
        true,
    );
    let said = drain(&mut client);
    let mut server = server();
    let events = receive(&mut server, &said).unwrap();
    assert!(
        matches!(&events[0], Seen::Request(id, _, fields, true) if Ok(*id) == stream && fields.len() == 4)
    );
    let head = FrameHeader::read(&said).unwrap();
    assert_eq!((head.length, head.has(frame::END_HEADERS)), (16_384, false));
}

#[test]
fn what_is_out_of_order_is_not_sent() {
    let mut server = server();
    assert_eq!(server.send_data(1, b"a", true), Err(SendError::Closed));
    assert_eq!(
        server.send_request(HEAD, none().iter(), true),
        Err(SendError::Order)
    );
    receive(&mut server, &post(1)).unwrap();
    assert_eq!(server.send_data(1, b"a", true), Err(SendError::Order));
    assert_eq!(
        server.send_trailers(1, none().iter()),
        Err(SendError::Order)
    );
    assert_eq!(
        server.send_response(1, 101, none().iter(), false),
        Err(SendError::Order)
    );
    assert_eq!(
        server.send_response(1, 103, none().iter(), true),
        Err(SendError::Order)
    );
    answer(&mut server, 1);
    assert_eq!(
        server.send_response(1, 200, none().iter(), true),
        Err(SendError::Order)
    );
    assert_eq!(server.send_data(1, b"a", true), Err(SendError::Order));
    assert_eq!(
        server.send_trailers(1, none().iter()),
        Err(SendError::Order)
    );
    let mut client = client();
    let stream = open(&mut client);
    assert_eq!(
        client.send_response(stream, 200, none().iter(), true),
        Err(SendError::Order)
    );
    assert_eq!(client.send_data(stream, b"a", true), Err(SendError::Order));
}

#[test]
fn rfc9113_6_5_2_a_head_larger_than_the_peer_takes_is_not_sent() {
    let mut server = server();
    receive(
        &mut server,
        &[setting(frame::MAX_HEADER_LIST_SIZE, 100), get(1)].concat(),
    )
    .unwrap();
    let large = fields(&[("a", &"b".repeat(26))]);
    assert_eq!(
        server.send_response(1, 200, large.iter(), true),
        Err(SendError::TooLarge)
    );
    let fits = fields(&[("a", &"b".repeat(25))]);
    assert_eq!(server.send_response(1, 200, fits.iter(), true), Ok(()));
}

#[test]
fn rfc9113_5_1_2_no_more_requests_than_the_server_takes() {
    let mut client = client();
    assert_eq!(client.room(), 100);
    receive(&mut client, &setting(frame::MAX_CONCURRENT_STREAMS, 2)).unwrap();
    open(&mut client);
    let second = open(&mut client);
    assert_eq!(client.room(), 0);
    assert_eq!(
        client.send_request(HEAD, none().iter(), true),
        Err(SendError::NoStream)
    );
    client.cancel(second);
    assert_eq!(client.room(), 1);
    assert_eq!(open(&mut client), second + 2);
}

#[test]
fn rfc9113_6_9_content_goes_as_far_as_both_windows() {
    let mut server = answering(Settings::default(), &[1]);
    receive(&mut server, &setting(frame::INITIAL_WINDOW_SIZE, 10)).unwrap();
    drain(&mut server);
    let part = |bytes, ended| Ok(Taken { bytes, ended });
    assert_eq!(server.send_data(1, &[1; 25], true), part(10, false));
    assert_eq!(server.send_data(1, &[1; 15], true), part(0, false));
    // A lower setting takes the window below zero.
    receive(&mut server, &setting(frame::INITIAL_WINDOW_SIZE, 4)).unwrap();
    receive(&mut server, &number(frame::WINDOW_UPDATE, 1, 6)).unwrap();
    assert_eq!(server.next_writable(), None);
    receive(&mut server, &number(frame::WINDOW_UPDATE, 1, 20)).unwrap();
    assert_eq!(server.next_writable(), Some(1));
    assert_eq!(server.send_data(1, &[1; 15], true), part(15, true));
    assert_eq!(server.streams(), 0);
}

#[test]
fn an_empty_end_needs_no_window() {
    let mut server = answering(Settings::default(), &[1]);
    receive(&mut server, &setting(frame::INITIAL_WINDOW_SIZE, 0)).unwrap();
    let all = Taken {
        bytes: 0,
        ended: true,
    };
    assert_eq!(server.send_data(1, b"", true), Ok(all));
}

#[test]
fn streams_that_wait_take_turns() {
    let settings = Settings {
        output: 20_000,
        ..Settings::default()
    };
    let mut server = answering(settings, &[1, 3, 5]);
    let wide = [
        number(frame::WINDOW_UPDATE, 0, 1 << 30),
        setting(frame::INITIAL_WINDOW_SIZE, 1 << 20),
    ];
    receive(&mut server, &wide.concat()).unwrap();
    drain(&mut server);
    let body = [7; 60_000];
    assert!(server.send_data(1, &body, true).unwrap().bytes < 20_000);
    for stream in [3, 5] {
        assert_eq!(server.send_data(stream, &body, true).unwrap().bytes, 0);
    }
    assert_eq!(server.next_writable(), None);
    let mut order = Vec::new();
    for _ in 0..6 {
        drain(&mut server);
        let stream = server.next_writable().unwrap();
        order.push(stream);
        // One that is not in turn gets nothing, whoever asks.
        let other = if stream == 5 { 1 } else { 5 };
        assert_eq!(server.send_data(other, &body, true).unwrap().bytes, 0);
        assert_eq!(server.send_data(stream, &body, true).unwrap().bytes, 16_384);
    }
    assert_eq!(order, [1, 3, 5, 1, 3, 5]);
}

#[test]
fn a_full_output_takes_no_head_until_it_is_written() {
    let settings = Settings {
        output: 1000,
        ..Settings::default()
    };
    let mut server = answering(settings, &[1]);
    receive(&mut server, &get(3)).unwrap();
    assert_eq!(server.send_data(1, &[0; 2000], true).unwrap().bytes, 991);
    assert_eq!(
        server.send_response(3, 200, none().iter(), true),
        Err(SendError::Full)
    );
    assert_eq!(server.next_writable(), None);
    drain(&mut server);
    assert_eq!(server.next_writable(), Some(1));
    assert_eq!(server.next_writable(), Some(3));
    assert_eq!(server.send_response(3, 200, none().iter(), true), Ok(()));
}

#[test]
fn a_head_may_go_where_the_connections_window_is_shut() {
    let settings = Settings {
        output: 70_000,
        ..Settings::default()
    };
    let mut server = answering(settings, &[1]);
    receive(
        &mut server,
        &[setting(frame::INITIAL_WINDOW_SIZE, 1 << 20), get(3)].concat(),
    )
    .unwrap();
    drain(&mut server);
    assert_eq!(
        server.send_data(1, &[0; 70_000], true).unwrap().bytes,
        65_535
    );
    assert_eq!(server.stalled().collect::<Vec<_>>(), [1]);
    server.send_response(3, 200, none().iter(), true).unwrap();
    drain(&mut server);
    assert_eq!(server.next_writable(), None);
    receive(&mut server, &number(frame::WINDOW_UPDATE, 0, 5000)).unwrap();
    assert_eq!(server.next_writable(), Some(1));
    assert!(server.send_data(1, &[0; 4465], true).unwrap().ended);
}

#[test]
fn released_content_opens_the_windows_again() {
    let settings = Settings {
        stream_window: 1000,
        connection_window: 65_535,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    receive(&mut server, &[post(1), data(1, &[0; 1000], false)].concat()).unwrap();
    assert!(frames(&mut server).is_empty());
    server.release(1, 499);
    assert!(frames(&mut server).is_empty());
    server.release(1, 1);
    let update = (frame::WINDOW_UPDATE, 0, 1, 500_u32.to_be_bytes().to_vec());
    assert_eq!(frames(&mut server), [update]);
    // No more than was handed out comes back.
    server.release(1, 1_000_000);
    assert_eq!(frames(&mut server)[0].3, 500_u32.to_be_bytes());
    server.release(1, 1_000_000);
    assert!(frames(&mut server).is_empty());
}

#[test]
fn a_window_that_was_widened_opens_again_in_larger_steps() {
    let settings = Settings {
        stream_window: 2 << 10,
        connection_window: 1 << 20,
        ..Settings::default()
    };
    let update = |by: u32| (frame::WINDOW_UPDATE, 0, 1, by.to_be_bytes().to_vec());
    let mut server = server_with(settings);
    let content = [post(1), data(1, &[0; 2 << 10], false)].concat();
    receive(&mut server, &content).unwrap();
    server.release(1, 1 << 10);
    assert_eq!(frames(&mut server), [update(1 << 10)]);
    for (by, step) in [(14_u32 << 10, 8_u32 << 10), (112 << 10, 8 << 10)] {
        server.widen(1, by);
        assert_eq!(frames(&mut server), [update(by)]);
        receive(&mut server, &data(1, &[0; 8 << 10], false)).unwrap();
        server.release(1, step as usize - 1);
        assert!(frames(&mut server).is_empty());
        server.release(1, 1);
        assert_eq!(frames(&mut server), [update(step)]);
    }
}

#[test]
fn a_window_that_our_settings_lowered_opens_by_what_was_released_before() {
    let settings = Settings {
        stream_window: 100,
        ..Settings::default()
    };
    let mut server = Connection::server(settings);
    let start = [frame::PREFACE.to_vec(), raw(frame::SETTINGS, 0, 0, &[])];
    let content = [post(1), data(1, &[0; 300], false)];
    receive(&mut server, &[start, content].concat().concat()).unwrap();
    server.release(1, 300);
    drain(&mut server);
    receive(&mut server, &raw(frame::SETTINGS, frame::ACK, 0, &[])).unwrap();
    let update = (frame::WINDOW_UPDATE, 0, 1, 300_u32.to_be_bytes().to_vec());
    assert_eq!(frames(&mut server), [update]);
}

#[test]
fn whoever_asks_whether_there_is_room_is_told_when_there_is() {
    let mut server = answering(Settings::default(), &[1]);
    let small = [&[0, 4][..], &1000_u32.to_be_bytes()].concat();
    receive(&mut server, &raw(frame::SETTINGS, 0, 0, &small)).unwrap();
    assert!(server.may_send(1));
    assert_eq!(server.send_data(1, &[0; 5000], false).unwrap().bytes, 1000);
    assert!(!server.may_send(1));
    drain(&mut server);
    assert_eq!(server.next_writable(), None);
    let more = raw(frame::WINDOW_UPDATE, 0, 1, &500_u32.to_be_bytes());
    receive(&mut server, &more).unwrap();
    assert_eq!(server.next_writable(), Some(1));
    assert!(server.may_send(1));
    assert_eq!(server.send_data(1, &[0; 5000], false).unwrap().bytes, 500);
    // Whoever only asks is in turn as well.
    assert!(!server.may_send(1));
    receive(&mut server, &more).unwrap();
    assert_eq!(server.next_writable(), Some(1));
}
