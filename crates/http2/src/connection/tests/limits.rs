// SPDX-License-Identifier: Apache-2.0
//! Each limit, tripped: rows 39 to 45 and 48 of attacks.
use super::*;
use crate::Allowance;

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

const FEW: Allowance = Allowance {
    burst: 5,
    per_second: 1,
};

/// Feeds `step(0)`, `step(1)`, ... until the connection ends; how many were taken, and why it ended.
fn flood(
    mut connection: Connection,
    now: impl Fn(u32) -> Moment,
    step: impl Fn(u32) -> Vec<u8>,
) -> (u32, Option<ErrorCode>) {
    let base = connection.memory();
    for index in 0..3000 {
        if let Err(error) = receive_at(&mut connection, now(index), &step(index)) {
            return (index, Some(error.code));
        }
        drain(&mut connection);
        assert!(connection.memory() < base + (64 << 10));
    }
    (3000, None)
}

fn at_once(_: u32) -> Moment {
    Moment::default()
}

#[test]
fn row_39_rapid_reset_ends_the_connection() {
    let settings = Settings {
        client_resets: FEW,
        ..Settings::default()
    };
    let step = |index| {
        [
            get(2 * index + 1),
            number(frame::RST_STREAM, 2 * index + 1, 8),
        ]
        .concat()
    };
    assert_eq!(flood(server_with(settings), at_once, step), (5, Some(CALM)));
    assert_eq!(flood(server(), at_once, step), (100, Some(CALM)));
    // One a second is what the allowance gives back.
    let slowly = |index| Moment::default().after_millis(u64::from(index) * 1000);
    assert_eq!(flood(server_with(settings), slowly, step).1, None);
}

#[test]
fn row_39_streams_that_end_well_earn_resets() {
    let settings = Settings {
        client_resets: FEW,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    for index in 0..100 {
        let id = 4 * index + 1;
        receive(&mut server, &[get(id), get(id + 2)].concat()).unwrap();
        answer(&mut server, id);
        receive(&mut server, &number(frame::RST_STREAM, id + 2, 8)).unwrap();
        drain(&mut server);
    }
}

#[test]
fn row_40_resets_that_the_peer_provokes_end_the_connection() {
    let triggers: [fn(u32) -> Vec<u8>; 6] = [
        |id| [get(id), number(frame::WINDOW_UPDATE, id, 0)].concat(),
        |id| [get(id), number(frame::WINDOW_UPDATE, id, 0x7fff_ffff)].concat(),
        |id| [get(id), data(id, b"", true)].concat(),
        |id| [get(id), get(id)].concat(),
        |id| {
            raw(
                frame::HEADERS,
                frame::END_HEADERS,
                id,
                &block(&[("A", "b")]),
            )
        },
        |id| {
            let list = [&GET[..], &[("content-length", "1")]].concat();
            let head = raw(frame::HEADERS, frame::END_HEADERS, id, &block(&list));
            [head, data(id, b"ab", false)].concat()
        },
    ];
    for trigger in triggers {
        let step = |index| trigger(2 * index + 1);
        assert_eq!(flood(server(), at_once, step), (50, Some(CALM)));
        let settings = Settings {
            provoked_resets: FEW,
            ..Settings::default()
        };
        assert_eq!(flood(server_with(settings), at_once, step), (5, Some(CALM)));
    }
}

#[test]
fn rfc9113_5_1_2_more_streams_than_allowed_are_refused() {
    let settings = Settings {
        concurrent_streams: 2,
        provoked_resets: FEW,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    let input = [post(1), post(3), post(5), data(5, b"a", true)].concat();
    assert_eq!(receive(&mut server, &input).unwrap().len(), 2);
    assert_eq!(reset_code(&mut server, 5), Some(ErrorCode::REFUSED_STREAM));
    answer(&mut server, 1);
    receive(&mut server, &data(1, b"", true)).unwrap();
    assert_eq!(receive(&mut server, &post(7)).unwrap().len(), 1);
    let step = |index| post(2 * index + 9);
    assert_eq!(flood(server, at_once, step), (4, Some(CALM)));
    // A client that never acknowledges the limit has no more patience with it.
    let mut fresh = Connection::server(settings);
    receive(
        &mut fresh,
        &[frame::PREFACE.to_vec(), raw(frame::SETTINGS, 0, 0, &[])].concat(),
    )
    .unwrap();
    let (_, code) = flood(fresh, at_once, |index| post(2 * index + 1));
    assert_eq!(code, Some(CALM));
}

#[test]
fn row_41_continuation_frames_and_their_bytes_are_counted() {
    let begin = raw(frame::HEADERS, frame::END_STREAM, 1, &block(&GET));
    let more = raw(frame::CONTINUATION, 0, 1, &[]);
    let end = raw(frame::CONTINUATION, frame::END_HEADERS, 1, &[]);
    let send = |count: usize, settings| {
        let mut server = server_with(settings);
        let input = [begin.clone(), more.repeat(count - 1), end.clone()].concat();
        receive(&mut server, &input)
            .map(|events| events.len())
            .map_err(|error| error.code)
    };
    assert_eq!(send(8, Settings::default()), Ok(1));
    assert_eq!(send(9, Settings::default()), Err(CALM));
    let settings = Settings {
        continuations: 2,
        ..Settings::default()
    };
    assert_eq!((send(2, settings), send(3, settings)), (Ok(1), Err(CALM)));
    let long = raw(frame::CONTINUATION, 0, 1, &[b'a'; 16_384]);
    assert_eq!(
        fatal(server(), &[begin.clone(), long.clone(), long].concat()),
        CALM
    );
    let settings = Settings {
        header_block: 20,
        ..Settings::default()
    };
    assert_eq!(fatal(server_with(settings), &get(1)), CALM);
}

#[test]
fn rows_42_43_and_48_large_heads_are_refused_and_pin_little() {
    let flags = frame::END_HEADERS | frame::END_STREAM;
    let head = |fields: usize, name: &str| {
        let list = [&GET[..], &vec![(name, "12345"); fields]].concat();
        raw(frame::HEADERS, flags, 1, &block(&list))
    };
    for name in ["a", "cookie"] {
        let events = receive(&mut server(), &head(100, name)).unwrap();
        assert!(matches!(events[0], Seen::Request(..)));
        let mut server = server();
        let events = receive(&mut server, &head(101, name)).unwrap();
        assert_eq!(events, [Seen::Refused(1, 431, true)]);
        // It is answered like any other.
        server
            .send_response(1, 431, Fields::new().iter(), true)
            .unwrap();
        assert_eq!(server.streams(), 0);
    }
    // One byte above the size: 4 fields of 42, 43, 43 and 38 bytes, and one more.
    let size = |value: usize| {
        let settings = Settings {
            header_size: 300,
            ..Settings::default()
        };
        let value = "b".repeat(value);
        let list = [&GET[..], &[("a", &value[..])]].concat();
        receive(
            &mut server_with(settings),
            &raw(frame::HEADERS, flags, 1, &block(&list)),
        )
        .unwrap()
    };
    let base: usize = GET
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    assert!(matches!(size(300 - base - 33)[0], Seen::Request(..)));
    assert_eq!(size(300 - base - 32), [Seen::Refused(1, 431, true)]);
    // The bomb: an entry of 4,000 bytes, named again and again, on every stream.
    let mut server = server();
    let mut bomb = block(&GET);
    bomb.extend_from_slice(b"\x40\x01a\x7f\xa1\x1e");
    bomb.extend_from_slice(&[b'x'; 4000]);
    bomb.extend_from_slice(&[0xbe; 8000]);
    for stream in 0..100 {
        let input = raw(frame::HEADERS, flags, 2 * stream + 1, &bomb);
        assert_eq!(
            receive(&mut server, &input),
            Ok(vec![Seen::Refused(2 * stream + 1, 431, true)])
        );
    }
    assert!(server.memory() < 256 << 10, "{}", server.memory());
}

#[test]
fn rows_42_43_and_48_large_heads_in_a_row_end_the_connection() {
    let flags = frame::END_HEADERS | frame::END_STREAM;
    let list = [&GET[..], &vec![("a", "1"); 101]].concat();
    let mut server = server();
    let mut refused = 0;
    let error = (0..1_000).find_map(|number| {
        let stream = 2 * number + 1;
        let input = raw(frame::HEADERS, flags, stream, &block(&list));
        match receive(&mut server, &input) {
            Ok(_) => {
                refused += 1;
                let fields = Fields::new();
                server
                    .send_response(stream, 431, fields.iter(), true)
                    .unwrap();
                None
            }
            Err(error) => Some(error),
        }
    });
    assert_eq!(
        error.map(|error| error.code),
        Some(ErrorCode::ENHANCE_YOUR_CALM)
    );
    assert!((100..200).contains(&refused), "{refused}");
}

#[test]
fn row_44_frames_of_no_use_end_the_connection() {
    type Frame = fn(u32) -> Vec<u8>;
    let cases: [(&str, Frame); 8] = [
        ("settings", |_| raw(frame::SETTINGS, 0, 0, &[])),
        ("acknowledgements", |_| {
            raw(frame::SETTINGS, frame::ACK, 0, &[])
        }),
        ("pings", |_| raw(frame::PING, 0, 0, &[0; 8])),
        ("priority", |_| raw(frame::PRIORITY, 0, 1, &[0; 5])),
        ("windows", |_| number(frame::WINDOW_UPDATE, 0, 1)),
        ("empty data", |_| data(1, b"", false)),
        ("unknown", |_| raw(0x77, 0, 0, &[])),
        ("goaway", |_| raw(frame::GOAWAY, 0, 0, &[0; 8])),
    ];
    for (name, step) in cases {
        let mut server = server();
        receive(&mut server, &post(1)).unwrap();
        let (taken, code) = flood(server, at_once, step);
        assert_eq!(code, Some(CALM), "{name}");
        assert!((90..=1010).contains(&taken), "{name}: {taken}");
        let settings = Settings {
            glitches: FEW,
            ..Settings::default()
        };
        let mut server = server_with(settings);
        receive(&mut server, &post(1)).unwrap();
        assert!(flood(server, at_once, step).0 <= 6, "{name}");
    }
}

#[test]
fn row_44_window_updates_for_what_was_sent_are_of_use() {
    let mut server = server();
    receive(&mut server, &get(1)).unwrap();
    server
        .send_response(1, 200, Fields::new().iter(), false)
        .unwrap();
    for _ in 0..5000 {
        let updates = [
            number(frame::WINDOW_UPDATE, 0, 10),
            number(frame::WINDOW_UPDATE, 1, 10),
        ];
        receive(&mut server, &updates.concat()).unwrap();
        assert_eq!(server.send_data(1, &[0; 10], false).unwrap().bytes, 10);
        drain(&mut server);
    }
}

#[test]
fn row_44_answers_that_nobody_reads_end_the_connection() {
    let mut server = server();
    let ping = raw(frame::PING, 0, 0, &[0; 8]);
    // 8 KiB are 481 answers of 17 bytes.
    assert_eq!(receive(&mut server, &ping.repeat(481)), Ok(Vec::new()));
    assert_eq!(fatal(server, &ping.repeat(482)), CALM);
    let mut server = super::server();
    for _ in 0..4 {
        receive(&mut server, &ping.repeat(200)).unwrap();
        server.sent(200 * 17);
    }
    let settings = Settings {
        control: 100,
        ..Settings::default()
    };
    assert_eq!(
        receive(&mut server_with(settings), &ping.repeat(5)),
        Ok(Vec::new())
    );
    assert_eq!(fatal(server_with(settings), &ping.repeat(6)), CALM);
}

#[test]
fn row_45_a_stalled_stream_is_named_and_holds_no_output() {
    let mut server = server();
    receive(
        &mut server,
        &[setting(frame::INITIAL_WINDOW_SIZE, 0), get(1), get(3)].concat(),
    )
    .unwrap();
    drain(&mut server);
    for stream in [1, 3] {
        server
            .send_response(stream, 200, Fields::new().iter(), false)
            .unwrap();
        assert_eq!(server.send_data(stream, &[0; 1000], true).unwrap().bytes, 0);
    }
    drain(&mut server);
    assert_eq!(server.stalled().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(server.next_writable(), None);
    receive(&mut server, &number(frame::WINDOW_UPDATE, 3, 1)).unwrap();
    assert_eq!(server.stalled().collect::<Vec<_>>(), [1]);
    assert_eq!(server.next_writable(), Some(3));
    assert_eq!(server.send_data(3, &[0; 1000], true).unwrap().bytes, 1);
    server.cancel(1);
    assert_eq!(server.stalled().collect::<Vec<_>>(), [3]);
}

#[test]
fn interim_responses_are_counted() {
    let mut client = client();
    let stream = open(&mut client);
    let interim = raw(
        frame::HEADERS,
        frame::END_HEADERS,
        stream,
        &block(&[(":status", "103")]),
    );
    assert_eq!(receive(&mut client, &interim.repeat(8)).unwrap().len(), 8);
    let events = receive(&mut client, &interim).unwrap();
    assert_eq!(events, [Seen::Reset(stream, CALM, false)]);
}

#[test]
fn only_so_many_closed_streams_are_remembered() {
    let settings = Settings {
        closed_streams: 2,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    receive(&mut server, &[post(1), post(3), post(5)].concat()).unwrap();
    for stream in [1, 3, 5] {
        server.cancel(stream);
    }
    let late = [data(3, b"a", true), data(5, b"a", true)].concat();
    assert_eq!(receive(&mut server, &late), Ok(Vec::new()));
    assert_eq!(
        fatal(server, &data(1, b"a", true)),
        ErrorCode::STREAM_CLOSED
    );
}

#[test]
fn content_beyond_a_window_is_an_error() {
    let settings = Settings {
        stream_window: 10,
        connection_window: 65_535,
        ..Settings::default()
    };
    let mut server = server_with(settings);
    receive(&mut server, &[post(1), data(1, &[0; 10], false)].concat()).unwrap();
    drain(&mut server);
    receive(&mut server, &data(1, b"a", false)).unwrap();
    assert_eq!(
        reset_code(&mut server, 1),
        Some(ErrorCode::FLOW_CONTROL_ERROR)
    );
    let settings = Settings {
        connection_window: 65_535,
        ..Settings::default()
    };
    let full: Vec<u8> = [1, 3, 5, 7]
        .iter()
        .flat_map(|&stream| [post(stream), data(stream, &[0; 16_383], false)].concat())
        .collect();
    let mut server = server_with(settings);
    receive(&mut server, &full).unwrap();
    assert_eq!(
        fatal(server, &data(1, &[0; 4], false)),
        ErrorCode::FLOW_CONTROL_ERROR
    );
}

#[test]
fn the_worst_that_a_peer_can_make_us_hold_is_256_kib() {
    let mut server = server();
    let flags = frame::END_HEADERS;
    let name = "n".repeat(100);
    let list = [&GET[..], &vec![(&name[..], &name[..]); 99]].concat();
    let body = vec![0; 64 << 10];
    let head = block(&list);
    let large = |id| {
        let begin = raw(frame::HEADERS, 0, id, &head[..16_000]);
        [begin, raw(frame::CONTINUATION, flags, id, &head[16_000..])].concat()
    };
    for stream in 0..100 {
        let id = 2 * stream + 1;
        receive(&mut server, &large(id)).unwrap();
        if server
            .send_response(id, 200, Fields::new().iter(), false)
            .is_ok()
        {
            server.send_data(id, &body, true).unwrap();
        }
        receive(&mut server, &data(id, &[0; 1000], false)).unwrap();
    }
    // Heads that make each buffer grow, one after the other: `:path` and `cookie`, static 4 and 32.
    server.cancel(199);
    for (id, pseudo, name) in [(201, 3, &[0x04][..]), (203, 4, &[0x0f, 0x11][..])] {
        // 19,000 in three bytes behind the prefix.
        let length = [0x7f, 0xb9, 0x93, 0x01];
        let block = [&block(&GET[..pseudo])[..], name, &length, &[b'c'; 19_000]].concat();
        let begin = raw(frame::HEADERS, 0, id, &block[..16_000]);
        let end = raw(frame::CONTINUATION, flags, id, &block[16_000..]);
        let events = receive(&mut server, &[begin, end].concat()).unwrap();
        assert!(matches!(&events[0], Seen::Request(..)), "{events:?}");
        server.cancel(id);
    }
    let more = [b'a'; 16_384];
    let begin = raw(frame::HEADERS, 0, 205, &more[..16_000]);
    receive(
        &mut server,
        &[begin, raw(frame::CONTINUATION, 0, 205, &more)].concat(),
    )
    .unwrap();
    assert!(server.streams() == 99 && server.output().len() > 60_000);
    assert!(server.memory() <= 256 << 10, "{}", server.memory());
    // Of what is over nothing stays, and nobody can go on with it.
    server.discard();
    assert!(server.memory() < 2 << 10, "{}", server.memory());
    assert!(server.output().is_empty() && server.streams() == 0);
    assert_eq!(
        server.send_data(1, b"late", true),
        Err(crate::SendError::Closed)
    );
    assert!(receive(&mut server, &large(207)).is_err());
    // And what an idle connection keeps is little.
    let mut idle = super::server();
    let before = idle.memory();
    receive(&mut idle, &large(1)).unwrap();
    idle.cancel(1);
    drain(&mut idle);
    idle.shrink();
    assert!(
        idle.memory() < before + (16 << 10),
        "{} {before}",
        idle.memory()
    );
    assert!(before < 4 << 10, "{before}");
}
