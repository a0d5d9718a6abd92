// SPDX-License-Identifier: Apache-2.0
//! What a node reads of a function worker: the same however it arrives; a confused worker is cut off.
use std::iter::empty;
use tidegate_functions::{Body, Client, Frames, RequestParts, WorkerMessage};

/// What streams of this kind are made of: length, kind, exchange, payload.
pub const PIECES: &[&[u8]] = &[
    b"\0\0\0\x0b\x41\0\0\0\0\0\x02\0\0\0\x08",
    b"\0\0\0\x05\x47\0\0\0\x02",
    b"\0\0\0\x06\x48\0\0\0\x01\x01",
    b"\0\0\0\x05\x49\0\0\0\0",
    b"\0\0\0\x09\x46\0\0\0\x02\0\0\0\x05",
    b"\0\0\0\x0b\x45\0\0\0\x01\x01hello",
    b"\0\0\0\x0e\x43\0\0\0\x01",
    b"\0\0\0\x08\x42\0\0\0\x02\x01\0\0",
    b"\0\0\0\x0d\x4a\0\0\0\0\0\0\0\x01",
    b"\0\0\0\x06",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x01",
    b"\0\0\0\x02",
    b"\0\xc8",
    b"\0",
    b"\x01",
    b"\x44",
    b"hello",
];

/// Judges `data` as what a worker sent; whether all of it was taken.
pub fn run(data: &[u8]) -> bool {
    let whole = read(data, data.len().max(1));
    assert_eq!(whole, read(data, 1));
    let seen = client(data, data.len().max(1));
    assert_eq!(seen, client(data, 1));
    assert_eq!(seen, client(data, 5));
    seen.last().is_none_or(|last| last != "malformed")
}

fn read(data: &[u8], step: usize) -> Vec<String> {
    let mut frames = Frames::default();
    let mut seen = Vec::new();
    for piece in data.chunks(step) {
        frames.push(piece);
        while let Ok(Some(frame)) = frames.next() {
            seen.push(format!("{:?}", WorkerMessage::decode(frame)));
        }
    }
    seen
}

const ASKED: RequestParts<'static> = RequestParts {
    method: "POST",
    scheme: "http",
    authority: "h",
    path: "/",
    query: None,
    client: "192.0.2.1",
    route: "r",
    request_id: "0",
    function: "f",
    identity: "",
    is_http_1_0: false,
    deadline_ms: 1000,
    settings: 0,
};

/// Events of a node's end of the connection, with two requests under way, and whether it gave up.
fn client(data: &[u8], step: usize) -> Vec<String> {
    let mut client = Client::new();
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for body in [Body::None, Body::OnDemand] {
        let begun = client.begin(&mut out, &ASKED, empty(), empty(), body);
        assert!(begun.is_ok());
    }
    for piece in data.chunks(step) {
        let space = client.space(piece.len());
        for (to, from) in space.iter_mut().zip(piece) {
            *to = *from;
        }
        client.filled(piece.len());
        loop {
            match client.next() {
                Ok(Some(event)) => seen.push(format!("{event:?}")),
                Ok(None) => break,
                Err(_) => {
                    seen.push("malformed".to_owned());
                    return seen;
                }
            }
        }
    }
    let in_flight = client.in_flight();
    assert!(in_flight <= 2);
    assert_eq!(client.lost().len(), in_flight);
    seen
}
