// SPDX-License-Identifier: Apache-2.0
//! The content of calls by gRPC-Web: the same bytes and the same messages however it arrives, and encoded
//! again it is that content.
use tidegate_http::{Messages, TextDecoder, TextEncoder};

/// What content of this kind is made of.
pub const PIECES: &[&[u8]] = &[
    b"\0\0\0\0\0",
    b"\0\0\0\0\x03abc",
    b"\x01\0\0\0\x01a",
    b"\x80\0\0\0\x00",
    b"\0\xff\xff\xff\xff",
    b"AAAAAAA=",
    b"AAAAAANhYmM=",
    b"Zg==",
    b"Zm8=",
    b"Zm9v",
    b"=",
    b"A",
    b"+/",
    b"-_",
    b"\r\n",
    b"\0",
    b"\x80",
];

/// Judges `data` in both forms; whether either was taken as whole messages.
pub fn run(data: &[u8]) -> bool {
    let in_binary = followed(data, data.len());
    let decoded = read(data, data.len());
    for step in [1, 3] {
        assert_eq!(in_binary, followed(data, step));
        assert_eq!(decoded, read(data, step));
    }
    let in_text = decoded.as_ref().and_then(|(bytes, is_over)| {
        assert!(bytes.len() <= data.len() / 4 * 3 + 2);
        encoded_again(bytes);
        followed(bytes, bytes.len()).map(|is_between| is_between && *is_over)
    });
    in_binary == Some(true) || in_text == Some(true)
}

/// Whether the messages end with `data`, of which `step` bytes come at a time; `None` where they are none.
fn followed(data: &[u8], step: usize) -> Option<bool> {
    let mut messages = Messages::default();
    for piece in data.chunks(step.max(1)) {
        messages.see(piece).ok()?;
    }
    Some(messages.is_between())
}

/// The bytes of a text, and whether it may end there; `None` where it is no base64.
fn read(data: &[u8], step: usize) -> Option<(Vec<u8>, bool)> {
    let mut decoder = TextDecoder::default();
    let mut out = Vec::new();
    for piece in data.chunks(step.max(1)) {
        let from = out.len();
        out.extend_from_slice(piece);
        decoder.decode(&mut out, from).ok()?;
    }
    Some((out, decoder.is_between()))
}

fn encoded_again(bytes: &[u8]) {
    for step in [1, 2, 7] {
        let mut encoder = TextEncoder::default();
        let mut out = Vec::new();
        for (number, piece) in bytes.chunks(step).enumerate() {
            encoder.encode(piece, number % 3 == 0, &mut out);
        }
        encoder.encode(b"", true, &mut out);
        assert_eq!(read(&out, out.len()), Some((bytes.to_vec(), true)));
    }
}
