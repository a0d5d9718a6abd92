// SPDX-License-Identifier: Apache-2.0
//! The chunked coding: the same content however it arrives, and encoded again it is that content.
use tidegate_http::{ChunkDecoder, HeadLimits, encode_chunk_head, encode_last_chunk};
use tidegate_request::Fields;

/// What bodies of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"0\r\n",
    b"5\r\nhello\r\n",
    b"A\r\n0123456789\r\n",
    b"1;a=b;c=\"d\"\r\nx\r\n",
    b"00000000000000001\r\nx\r\n",
    b"ffffffffffffffff\r\n",
    b"+1\r\n",
    b"X-Trailer: a\r\n",
    b"Content-Length: 5\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"0",
    b" ",
    b";",
    b"\0",
    b"\x80",
];

const LIMITS: HeadLimits = HeadLimits {
    header_size: 1024,
    header_fields: 10,
    target_size: 1024,
};

/// What a decoder made of a body.
struct Read {
    content: Vec<u8>,
    trailers: Fields,
    used: usize,
}

/// Judges `data` as the body of a request and of a response; whether it was taken.
pub fn run(data: &[u8]) -> bool {
    let mut is_taken = false;
    for is_response in [false, true] {
        let whole = read(data, data.len().max(1), is_response);
        for step in [1, 3] {
            let parts = read(data, step, is_response);
            match (&whole, &parts) {
                (Some(whole), Some(parts)) => {
                    assert_eq!(whole.content, parts.content);
                    assert_eq!(whole.used, parts.used);
                    assert!(pairs(&whole.trailers).eq(pairs(&parts.trailers)));
                }
                _ => assert_eq!(whole.is_some(), parts.is_some()),
            }
        }
        if let Some(whole) = whole {
            is_taken = true;
            encoded_again(&whole, is_response);
        }
    }
    is_taken
}

fn encoded_again(whole: &Read, is_response: bool) {
    let mut out = Vec::new();
    if !whole.content.is_empty() {
        encode_chunk_head(&mut out, whole.content.len());
        out.extend_from_slice(&whole.content);
        out.extend_from_slice(b"\r\n");
    }
    encode_last_chunk(&mut out, &whole.trailers);
    let again = read(&out, out.len(), is_response);
    assert!(again.is_some(), "{}", String::from_utf8_lossy(&out));
    if let Some(again) = again {
        assert_eq!((again.used, &again.content), (out.len(), &whole.content));
        assert!(pairs(&again.trailers).eq(pairs(&whole.trailers)));
    }
}

fn pairs(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|field| (field.name, field.value))
}

/// Hands over `step` bytes at a time; `None` when it is refused or does not end.
fn read(data: &[u8], step: usize, is_response: bool) -> Option<Read> {
    let mut decoder = if is_response {
        ChunkDecoder::for_response(&LIMITS)
    } else {
        ChunkDecoder::new(&LIMITS)
    };
    let mut content = Vec::new();
    let mut used = 0;
    for piece in data.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let decoded = decoder.decode(rest).ok()?;
            assert!(decoded.consumed <= rest.len());
            content.extend_from_slice(rest.get(decoded.data.clone())?);
            used += decoded.consumed;
            if decoded.done {
                let trailers = decoder.take_trailers();
                return Some(Read {
                    content,
                    trailers,
                    used,
                });
            }
            assert!(decoded.consumed > 0, "no progress");
            rest = rest.get(decoded.consumed..)?;
        }
    }
    None
}
