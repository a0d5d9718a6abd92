// SPDX-License-Identifier: Apache-2.0
use crate::*;
use proptest::prelude::*;

type Pair = (Vec<u8>, Vec<u8>);

fn pairs(list: &[Pair]) -> impl Iterator<Item = (&[u8], &[u8])> {
    list.iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
}

fn parts() -> RequestParts<'static> {
    RequestParts {
        method: "POST",
        scheme: "http",
        authority: "shop.example:8080",
        path: "/users/7",
        query: Some(b"a=1&b"),
        client: "192.0.2.1",
        route: "users",
        request_id: "01J",
        function: "users",
        identity: r#"{"subject":"ada"}"#,
        is_http_1_0: false,
        deadline_ms: 1000,
        settings: 0,
    }
}

fn request(body: Body<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = [
        (b"Accept".to_vec(), b"*/*".to_vec()),
        (b"X-Tier".to_vec(), b"gold".to_vec()),
    ];
    let parameters = [(b"id".to_vec(), b"7".to_vec())];
    encode_request(
        &mut out,
        9,
        &parts(),
        pairs(&parameters),
        pairs(&fields),
        body,
    )
    .unwrap();
    out
}

fn one(bytes: &[u8]) -> (Frames, usize) {
    let mut frames = Frames::default();
    frames.push(bytes);
    (frames, bytes.len())
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    let (mut frames, _) = one(&request(Body::Inline(b"hello")));
    let frame = frames.next().unwrap().unwrap();
    assert_eq!(frame.exchange, 9);
    let NodeMessage::Request(head) = NodeMessage::decode(frame).unwrap() else {
        panic!("not a request")
    };
    assert_eq!(
        (head.method(), head.scheme(), head.authority()),
        ("POST", "http", "shop.example:8080")
    );
    assert_eq!(
        (head.path(), head.query()),
        ("/users/7", Some(&b"a=1&b"[..]))
    );
    assert_eq!(
        (head.client(), head.route(), head.request_id()),
        ("192.0.2.1", "users", "01J")
    );
    assert_eq!(head.function(), "users");
    assert_eq!(head.identity(), r#"{"subject":"ada"}"#);
    assert_eq!((head.deadline_ms(), head.is_http_1_0()), (1000, false));
    assert_eq!(head.parameters().get(b"id"), Some(&b"7"[..]));
    assert_eq!(head.fields().get(b"x-tier"), Some(&b"gold"[..]));
    assert_eq!(head.fields().len(), 2);
    assert_eq!(
        (head.body(), head.inline_body()),
        (BodyKind::Inline, &b"hello"[..])
    );
    assert!(frames.next().unwrap().is_none());
}

#[test]
fn settings_are_told_apart_and_named_by_number() {
    let mut out = Vec::new();
    encode_settings(&mut out, 3, r#"{"tier":"gold"}"#).unwrap();
    let plain = request(Body::None).len();
    let before = out.len();
    let named = RequestParts {
        settings: 3,
        ..parts()
    };
    encode_request(&mut out, 9, &named, pairs(&[]), pairs(&[]), Body::None).unwrap();
    let (mut frames, _) = one(&out);
    let frame = frames.next().unwrap().unwrap();
    assert_eq!(frame.exchange, 3);
    match NodeMessage::decode(frame).unwrap() {
        NodeMessage::Settings(text) => assert_eq!(text, r#"{"tier":"gold"}"#),
        other => panic!("{other:?}"),
    }
    match NodeMessage::decode(frames.next().unwrap().unwrap()).unwrap() {
        NodeMessage::Request(head) => {
            assert_eq!((head.settings(), head.path()), (3, "/users/7"));
        }
        other => panic!("{other:?}"),
    }
    // Who has none pays nothing.
    let mut bare = Vec::new();
    encode_request(&mut bare, 9, &parts(), pairs(&[]), pairs(&[]), Body::None).unwrap();
    assert_eq!(bare.len() + 4, out.len() - before);
    assert!(bare.len() < plain);
}

#[test]
fn settings_have_a_length_and_numbers_their_bounds() {
    let mut out = Vec::new();
    for (length, is_good) in [
        (MAX_SETTINGS - 1, true),
        (MAX_SETTINGS, true),
        (MAX_SETTINGS + 1, false),
    ] {
        out.clear();
        let told = encode_settings(&mut out, 1, &"x".repeat(length));
        assert_eq!((told.is_ok(), !out.is_empty()), (is_good, is_good));
    }
    for (number, is_good) in [
        (0, false),
        (1, true),
        (MAX_SETS, true),
        (MAX_SETS + 1, false),
    ] {
        out.clear();
        encode_settings(&mut out, number, "{}").unwrap();
        let (mut frames, _) = one(&out);
        let told = NodeMessage::decode(frames.next().unwrap().unwrap());
        assert_eq!(told.is_ok(), is_good, "{number}");
    }
}

#[test]
fn an_empty_query_differs_from_none() {
    for query in [None, Some(&b""[..])] {
        let mut out = Vec::new();
        let parts = RequestParts {
            query,
            is_http_1_0: true,
            ..parts()
        };
        encode_request(&mut out, 1, &parts, pairs(&[]), pairs(&[]), Body::OnDemand).unwrap();
        let (mut frames, _) = one(&out);
        let NodeMessage::Request(head) =
            NodeMessage::decode(frames.next().unwrap().unwrap()).unwrap()
        else {
            panic!("not a request")
        };
        assert_eq!(
            (head.query(), head.is_http_1_0(), head.body()),
            (query, true, BodyKind::OnDemand)
        );
    }
}

#[test]
fn a_frame_is_cut_out_of_any_reads() {
    let mut bytes = request(Body::None);
    encode_body(&mut bytes, 9, b"abc", true);
    let mut frames = Frames::default();
    let mut seen = Vec::new();
    for byte in &bytes {
        frames.push(std::slice::from_ref(byte));
        while let Some(frame) = frames.next().unwrap() {
            seen.push(frame.kind);
        }
    }
    assert_eq!(seen, [0x01, 0x02]);
    assert!(!frames.is_inside_frame());
}

#[test]
fn a_frame_length_is_checked_one_below_at_and_above_its_bounds() {
    for (length, is_good) in [
        (4, false),
        (5, true),
        (MAX_FRAME, true),
        (MAX_FRAME + 1, false),
    ] {
        let mut frames = Frames::default();
        frames.push(&(length as u32).to_be_bytes());
        assert_eq!(frames.next().is_ok(), is_good, "length {length}");
    }
}

#[test]
fn an_inline_body_is_bounded_and_a_long_body_is_cut_into_chunks() {
    let whole = vec![7; INLINE];
    assert!(!request(Body::Inline(&whole)).is_empty());
    let mut out = Vec::new();
    let over = vec![7; INLINE + 1];
    let none: [Pair; 0] = [];
    let refused = encode_request(
        &mut out,
        1,
        &parts(),
        pairs(&none),
        pairs(&none),
        Body::Inline(&over),
    );
    assert_eq!((refused, out.len()), (Err(TooLarge), 0));
    assert_eq!(
        encode_respond(&mut out, 1, 200, pairs(&none), &over, false),
        Err(TooLarge)
    );

    encode_body(&mut out, 1, &over, true);
    let mut frames = Frames::default();
    frames.push(&out);
    let mut parts = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        let NodeMessage::Body { bytes, is_last } = NodeMessage::decode(frame).unwrap() else {
            panic!("not a body")
        };
        parts.push((bytes.len(), is_last));
    }
    assert_eq!(parts, [(CHUNK, false), (1, true)]);
}

#[test]
fn a_head_over_the_frame_limit_is_taken_back() {
    let mut out = b"before".to_vec();
    let fields = [(b"x".to_vec(), vec![b'a'; MAX_FRAME])];
    assert_eq!(
        encode_respond(&mut out, 1, 200, pairs(&fields), b"", false),
        Err(TooLarge)
    );
    assert_eq!(
        encode_response(&mut out, 1, 200, pairs(&fields)),
        Err(TooLarge)
    );
    let change = Change::Set(b"x", &fields[0].1);
    assert_eq!(
        encode_continue(&mut out, 1, std::iter::once(change), false),
        Err(TooLarge)
    );
    assert_eq!(out, b"before");
}

fn message(bytes: &[u8]) -> Result<(u32, String), Malformed> {
    let (mut frames, _) = one(bytes);
    let frame = frames.next()?.ok_or(Malformed("cut off"))?;
    Ok((
        frame.exchange,
        format!("{:?}", WorkerMessage::decode(frame)?),
    ))
}

#[test]
fn every_message_of_a_worker_reads_back() {
    type Encode = Box<dyn Fn(&mut Vec<u8>)>;
    let cases: Vec<(&str, Encode)> = vec![
        ("Ready", Box::new(|out| encode_ready(out, 8))),
        (
            "Continue",
            Box::new(|out| encode_continue(out, 3, std::iter::empty(), true).unwrap()),
        ),
        (
            "Respond",
            Box::new(|out| encode_respond(out, 3, 204, std::iter::empty(), b"", false).unwrap()),
        ),
        (
            "Changes",
            Box::new(|out| {
                encode_response_changes(
                    out,
                    3,
                    [Change::Status(201), Change::Remove(b"a")].into_iter(),
                )
                .unwrap();
            }),
        ),
        (
            "Body",
            Box::new(|out| encode_worker_body(out, 3, b"", true)),
        ),
        ("Credit", Box::new(|out| encode_worker_credit(out, 3, 10))),
        ("BodyWanted", Box::new(|out| encode_body_wanted(out, 3))),
        (
            "Error(Memory)",
            Box::new(|out| encode_error(out, 3, Reason::Memory)),
        ),
        ("Closing", Box::new(encode_closing)),
        (
            "Fatal",
            Box::new(|out| encode_fatal(out, [1, 2].into_iter()).unwrap()),
        ),
    ];
    for (name, encode) in cases {
        let mut out = Vec::new();
        encode(&mut out);
        let (_, text) = message(&out).unwrap();
        assert!(text.starts_with(name), "{name}: {text}");
    }
}

#[test]
fn a_status_outside_200_to_599_is_refused() {
    for (status, is_good) in [
        (101, false),
        (199, false),
        (200, true),
        (599, true),
        (600, false),
    ] {
        let mut out = Vec::new();
        encode_respond(&mut out, 3, status, std::iter::empty(), b"", false).unwrap();
        assert_eq!(message(&out).is_ok(), is_good, "status {status}");
        out.clear();
        encode_response_changes(&mut out, 3, std::iter::once(Change::Status(status))).unwrap();
        assert_eq!(message(&out).is_ok(), is_good, "changed to {status}");
    }
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let mut out = Vec::new();
    encode_ready(&mut out, 8);
    out[10] += 1;
    assert!(message(&out).is_err());
}

struct Pipe {
    client: Client,
    sent: Vec<u8>,
}

impl Pipe {
    fn new(requests: usize) -> Self {
        let mut pipe = Self {
            client: Client::new(),
            sent: Vec::new(),
        };
        for _ in 0..requests {
            let none: [Pair; 0] = [];
            pipe.client
                .begin(
                    &mut pipe.sent,
                    &parts(),
                    pairs(&none),
                    pairs(&none),
                    Body::None,
                )
                .unwrap();
        }
        pipe
    }

    fn hear(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Option<(u32, bool)>, Malformed> {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.client.space(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
        self.client.filled(bytes.len());
        Ok(self
            .client
            .next()?
            .map(|event| (event.exchange, event.is_last)))
    }
}

#[test]
fn a_client_follows_a_policy_that_waits_for_the_response() {
    let mut pipe = Pipe::new(1);
    assert_eq!(pipe.hear(|out| encode_ready(out, 4)), Ok(Some((0, false))));
    assert_eq!(pipe.client.capacity(), Some(4));
    let passed = pipe.hear(|out| encode_continue(out, 1, std::iter::empty(), true).unwrap());
    assert_eq!(passed, Ok(Some((1, false))));
    let changed = pipe.hear(|out| encode_response_changes(out, 1, std::iter::empty()).unwrap());
    assert_eq!((changed, pipe.client.in_flight()), (Ok(Some((1, true))), 0));
}

#[test]
fn a_client_refuses_messages_out_of_order() {
    let mut pipe = Pipe::new(1);
    assert!(
        pipe.hear(|out| encode_worker_body(out, 1, b"x", true))
            .is_err()
    );
    let mut pipe = Pipe::new(1);
    assert!(
        pipe.hear(|out| encode_response_changes(out, 1, std::iter::empty()).unwrap())
            .is_err()
    );
    let mut pipe = Pipe::new(1);
    assert!(
        pipe.hear(|out| encode_error(out, 0, Reason::Exception))
            .is_err()
    );
}

#[test]
fn a_client_drops_what_comes_for_a_cancelled_exchange() {
    let mut pipe = Pipe::new(2);
    let mut out = Vec::new();
    pipe.client.cancel(&mut out, 1);
    pipe.client.cancel(&mut out, 1);
    assert_eq!(out.len(), 9);
    let mut late = Vec::new();
    encode_respond(&mut late, 1, 200, std::iter::empty(), b"", false).unwrap();
    let heard = pipe.hear(|out| {
        out.extend_from_slice(&late);
        encode_respond(out, 2, 200, std::iter::empty(), b"", false).unwrap();
    });
    assert_eq!(heard, Ok(Some((2, true))));
}

#[test]
fn a_body_may_fill_its_window_and_not_a_byte_more() {
    for (extra, is_good) in [(0, true), (1, false)] {
        let mut pipe = Pipe::new(1);
        let head =
            pipe.hear(|out| encode_respond(out, 1, 200, std::iter::empty(), b"abc", true).unwrap());
        assert_eq!(head, Ok(Some((1, false))));
        let mut left = WINDOW as usize - 3 + 10 + extra;
        pipe.client.credit(&mut Vec::new(), 1, 10);
        let mut heard = Ok(None);
        while left > 0 && heard.is_ok() {
            let chunk = left.min(CHUNK);
            left -= chunk;
            heard = pipe.hear(|out| encode_worker_body(out, 1, &vec![0; chunk], false));
        }
        assert_eq!(heard.is_ok(), is_good);
    }
}

#[test]
fn a_dying_worker_gives_back_what_it_had_not_begun() {
    let mut pipe = Pipe::new(3);
    pipe.hear(|out| encode_fatal(out, [2].into_iter()).unwrap())
        .unwrap();
    assert!(pipe.client.is_closing());
    let lost: Vec<_> = pipe
        .client
        .lost()
        .iter()
        .map(|lost| (lost.exchange, lost.may_have_begun))
        .collect();
    assert_eq!(lost, [(1, false), (2, true), (3, false)]);

    let mut silent = Pipe::new(1);
    assert!(silent.client.lost().iter().all(|lost| lost.may_have_begun));
}

fn any_pairs() -> impl Strategy<Value = Vec<Pair>> {
    prop::collection::vec(
        (
            prop::collection::vec(any::<u8>(), 0..12),
            prop::collection::vec(any::<u8>(), 0..40),
        ),
        0..8,
    )
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..0x50,
    ) {
        let frame = Frame { kind, exchange: 1, payload: &bytes };
        if let Ok(NodeMessage::Request(head)) = NodeMessage::decode(frame) {
            let _ = (head.path().len(), head.fields().iter().count(), head.inline_body().len());
        }
        if let Ok(WorkerMessage::Continue { changes, .. }) = WorkerMessage::decode(frame) {
            let _ = changes.iter().count();
        }
        let mut frames = Frames::default();
        frames.push(&bytes);
        while let Ok(Some(_)) = frames.next() {}
    }

    #[test]
    fn a_damaged_request_is_refused_or_read_without_a_panic(at in 9usize..150, to in any::<u8>(), cut in 0usize..160) {
        let mut bytes = request(Body::Inline(b"hello"));
        if let Some(byte) = bytes.get_mut(at) { *byte = to; }
        let payload = &bytes[9..bytes.len().saturating_sub(cut).max(9)];
        if let Ok(head) = RequestHead::decode(payload) {
            prop_assert_eq!(head.fields().iter().count(), head.fields().len());
            prop_assert_eq!(head.parameters().iter().count(), head.parameters().len());
        }
    }

    #[test]
    fn any_response_reads_back(fields in any_pairs(), body in prop::collection::vec(any::<u8>(), 0..200), follows: bool) {
        let mut out = Vec::new();
        encode_respond(&mut out, 5, 200, pairs(&fields), &body, follows).unwrap();
        let (mut frames, _) = one(&out);
        match WorkerMessage::decode(frames.next().unwrap().unwrap()).unwrap() {
            WorkerMessage::Respond { fields: read, body: bytes, body_follows, .. } => {
                prop_assert!(read.iter().eq(pairs(&fields)));
                prop_assert_eq!((bytes, body_follows), (&body[..], follows));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_changes_read_back_in_order(fields in any_pairs()) {
        let list: Vec<Change<'_>> = fields.iter().enumerate().map(|(position, (name, value))| match position % 4 {
            0 => Change::Set(name, value),
            1 => Change::Append(name, value),
            2 => Change::Remove(name),
            _ => Change::Path(value),
        }).collect();
        let mut out = Vec::new();
        encode_continue(&mut out, 5, list.iter().copied(), false).unwrap();
        let (mut frames, _) = one(&out);
        match WorkerMessage::decode(frames.next().unwrap().unwrap()).unwrap() {
            WorkerMessage::Continue { changes, .. } => prop_assert!(changes.iter().eq(list.iter().copied())),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
