// SPDX-License-Identifier: Apache-2.0
//! What a function worker reads: frames are cut the same however they arrive, and each is read or refused.
use tidegate_functions::{Frames, NodeMessage};

/// What streams of this kind are made of: length, kind, exchange, payload.
pub const PIECES: &[&[u8]] = &[
    b"\0\0\0\x05\x01\0\0\0\x01",
    b"\0\0\0\x05\x03\0\0\0\x01",
    b"\0\0\0\x09\x04\0\0\0\x01\0\0\0\x05",
    b"\0\0\0\x10\x02\0\0\0\x01",
    b"\0\0\0\x0b\x06\0\0\0\x01\0\0\0\x02{}",
    b"\0\0\0\x04",
    b"\0\x10\0\x01",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x01",
    b"\0\x03GET",
    b"\0",
    b"\x01",
    b"\x02",
    b"\x05",
    b"hello",
];

/// Judges `data` as what a node sent; whether all of it was taken.
pub fn run(data: &[u8]) -> bool {
    let whole = read(data, data.len().max(1));
    assert_eq!(whole, read(data, 1));
    assert_eq!(whole, read(data, 7));
    !whole
        .iter()
        .any(|seen| seen.starts_with("Err") || seen == "malformed")
}

/// Each frame as text, and how the stream ended.
fn read(data: &[u8], step: usize) -> Vec<String> {
    let mut frames = Frames::default();
    let mut seen = Vec::new();
    for piece in data.chunks(step) {
        frames.push(piece);
        loop {
            match frames.next() {
                Ok(Some(frame)) => seen.push(format!("{:?}", NodeMessage::decode(frame))),
                Ok(None) => break,
                Err(_) => {
                    seen.push("malformed".to_owned());
                    return seen;
                }
            }
        }
    }
    seen.push(format!("inside a frame: {}", frames.is_inside_frame()));
    seen
}
