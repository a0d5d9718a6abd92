// SPDX-License-Identifier: Apache-2.0
//! Client and server against each other, and against bytes that make no sense.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One message's content, as far as it was sent and received.
#[derive(Default)]
struct Side {
    to_send: BTreeMap<u32, (Vec<u8>, usize)>,
    got: BTreeMap<u32, Vec<u8>>,
    ended: BTreeMap<u32, bool>,
}

impl Side {
    fn push(&mut self, connection: &mut Connection, stream: u32, most: usize) {
        let Some((body, sent)) = self.to_send.get_mut(&stream) else {
            return;
        };
        let end = body.len().min(sent.saturating_add(most));
        let taken = connection
            .send_data(stream, &body[*sent..end], end == body.len())
            .unwrap();
        *sent += taken.bytes;
        if taken.ended {
            assert_eq!(*sent, body.len());
            self.to_send.remove(&stream);
        }
    }

    /// Reads what has arrived; streams whose request or response head came.
    fn read(&mut self, connection: &mut Connection, input: &mut Vec<u8>) -> Vec<u32> {
        let (events, consumed) = receive_at(connection, Moment::default(), input).unwrap();
        input.drain(..consumed);
        let mut heads = Vec::new();
        for event in events {
            match event {
                Seen::Request(stream, .., ends) | Seen::Response(stream, .., ends) => {
                    heads.push(stream);
                    self.ended.insert(stream, ends);
                }
                Seen::Data(stream, data, ends) => {
                    connection.release(stream, data.len());
                    self.got.entry(stream).or_default().extend_from_slice(&data);
                    self.ended.insert(stream, ends);
                }
                Seen::Settings => {}
                other => panic!("{other:?}"),
            }
        }
        heads
    }
}

/// Moves up to `most` bytes over the wire.
fn carry(from: &mut Connection, to: &mut Vec<u8>, most: usize) {
    let length = from.output().len().min(most);
    to.extend_from_slice(&from.output()[..length]);
    from.sent(length);
}

fn body(seed: u32, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at as u32).wrapping_mul(31).wrapping_add(seed) as u8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn bodies_arrive_whole_whatever_the_windows_and_the_schedule(
        lengths in prop::collection::vec((0_usize..40_000, 0_usize..40_000), 1..6),
        steps in prop::collection::vec((100_usize..40_000, 100_usize..40_000), 1..12),
        windows in (200_u32..100_000, 200_u32..100_000),
        outputs in (200_usize..70_000, 200_usize..70_000),
    ) {
        let settings = |window, output| Settings {
            stream_window: window,
            connection_window: 65_535,
            output,
            glitches: crate::Allowance { burst: u32::MAX, per_second: 0 },
            control: usize::MAX,
            ..Settings::default()
        };
        let mut client = Connection::client(settings(windows.0, outputs.0));
        let mut server = Connection::server(settings(windows.1, outputs.1));
        let (mut up, mut down) = (Side::default(), Side::default());
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut waiting: Vec<usize> = (0..lengths.len()).rev().collect();
        let mut index = BTreeMap::new();
        for round in 0.. {
            prop_assert!(round < 200_000, "no progress");
            let (a, b) = steps[round % steps.len()];
            if let Some(&next) = waiting.last()
                && let Ok(stream) = client.send_request(HEAD, fields(&[("x", "y")]).iter(), false)
            {
                waiting.pop();
                index.insert(stream, next);
                up.to_send.insert(stream, (body(stream, lengths[next].0), 0));
                up.push(&mut client, stream, a);
            }
            while let Some(stream) = client.next_writable() {
                up.push(&mut client, stream, usize::MAX);
            }
            carry(&mut client, &mut to_server, a);
            for stream in down.read(&mut server, &mut to_server) {
                down.to_send.insert(stream, (body(!stream, lengths[index[&stream]].1), 0));
                match server.send_response(stream, 200, Fields::new().iter(), false) {
                    Ok(()) => down.push(&mut server, stream, b),
                    Err(error) => prop_assert_eq!(error, crate::SendError::Full),
                }
            }
            while let Some(stream) = server.next_writable() {
                if server.send_response(stream, 200, Fields::new().iter(), false) != Err(crate::SendError::Full) {
                    down.push(&mut server, stream, usize::MAX);
                }
            }
            carry(&mut server, &mut to_client, b);
            up.read(&mut client, &mut to_client);
            // What was pushed in part for want of bytes, not of room, goes on here.
            for (side, connection) in [(&mut up, &mut client), (&mut down, &mut server)] {
                let rest: Vec<u32> = side.to_send.keys().copied().collect();
                for stream in rest {
                    if connection.streams.get(stream).is_some_and(|stream| stream.head_sent) {
                        side.push(connection, stream, a.max(b));
                    }
                }
            }
            let is_done = waiting.is_empty() && up.to_send.is_empty() && down.to_send.is_empty();
            if is_done && client.streams() == 0 && server.streams() == 0 {
                break;
            }
        }
        for (stream, next) in index {
            let got = |side: &Side| side.got.get(&stream).cloned().unwrap_or_default();
            prop_assert_eq!(got(&down), body(stream, lengths[next].0));
            prop_assert_eq!(got(&up), body(!stream, lengths[next].1));
            prop_assert!(up.ended[&stream] && down.ended[&stream]);
        }
    }

    #[test]
    fn events_do_not_depend_on_how_bytes_arrive(
        pieces in prop::collection::vec((piece(), 1_usize..30), 1..40),
    ) {
        let start = [
            frame::PREFACE.to_vec(),
            raw(frame::SETTINGS, 0, 0, &[]),
            raw(frame::SETTINGS, frame::ACK, 0, &[]),
        ].concat();
        let input: Vec<u8> = [start, pieces.iter().flat_map(|(piece, _)| piece.clone()).collect()].concat();
        let mut whole = Connection::server(Settings::default());
        let expected = outcome(&mut whole, &[&input]);
        let mut cuts = Vec::new();
        let mut rest = &input[..];
        for (_, length) in pieces.iter().cycle() {
            let (first, after) = rest.split_at(rest.len().min(*length));
            cuts.push(first);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let mut cut = Connection::server(Settings::default());
        prop_assert_eq!(outcome(&mut cut, &cuts), expected);
        prop_assert_eq!(cut.output(), whole.output());
        prop_assert!(cut.memory() <= 256 << 10);
    }

    #[test]
    fn a_client_survives_anything(input in prop::collection::vec(piece(), 1..30)) {
        let mut client = client();
        open(&mut client);
        open(&mut client);
        let _ = receive_at(&mut client, Moment::default(), &input.concat());
        prop_assert!(client.memory() <= 256 << 10);
    }
}

/// Something like a frame.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0_u32), Just(1), Just(3), Just(5), 0_u32..12];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        Just(block(&GET)),
        Just(block(&[(":status", "200")])),
        Just(vec![0x82, 0x86, 0x84, 0x41, 0x01, b'a']),
        Just(vec![0, 0, 0, 9]),
    ];
    let framed = (0_u8..11, any::<u8>(), stream, payload)
        .prop_map(|(kind, flags, stream, payload)| raw(kind, flags & 0x2d, stream, &payload));
    let proper = (0_u32..8, 0_u8..6).prop_map(|(stream, what)| {
        let id = 2 * stream + 1;
        match what {
            0 => get(id),
            1 => post(id),
            2 => data(id, b"abcdef", false),
            3 => data(id, b"gh", true),
            4 => number(frame::RST_STREAM, id, 8),
            _ => number(frame::WINDOW_UPDATE, id, 100),
        }
    });
    prop_oneof![3 => proper, 1 => framed, 1 => prop::collection::vec(any::<u8>(), 0..12)]
}

/// The events of bytes that arrive in these pieces, content joined, and how it ended.
fn outcome(connection: &mut Connection, pieces: &[&[u8]]) -> (Vec<Seen>, Option<ConnectionError>) {
    let (mut events, mut buffer, mut error) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match connection.receive(Moment::default(), &buffer) {
                Ok(received) => {
                    let consumed = received.consumed;
                    let event = received.event.map(seen);
                    buffer.drain(..consumed);
                    match event {
                        Some(event) => join(&mut events, event),
                        None => break,
                    }
                }
                Err(found) => {
                    error = Some(found);
                    break;
                }
            }
        }
    }
    (events, error)
}

fn join(events: &mut Vec<Seen>, event: Seen) {
    if let (Some(Seen::Data(stream, text, ended)), Seen::Data(more_of, more, ends)) =
        (events.last_mut(), &event)
        && stream == more_of
        && !*ended
    {
        text.extend_from_slice(more);
        *ended = *ends;
    } else {
        events.push(event);
    }
}
