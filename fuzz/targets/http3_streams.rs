// SPDX-License-Identifier: Apache-2.0
//! What a client or a server sends on one stream of HTTP/3, its first byte saying of which kind the stream is: the same
//! parts and the same end however it arrives, and never more memory than a head may have.
use tidegate_http3::{Connection, Failure, Part, RequestReader, Settings, UniReader, Verdict};

/// What streams of this kind are made of: frames, sections and instructions, whole and in pieces.
pub const PIECES: &[&[u8]] = &[
    b"r",
    b"u",
    b"a",
    b"v",
    b"\x01\x03\0\0\xd9",
    b"\x01\x04\0\0\xff\0",
    b"\x01\x08\0\0\xd1\xd7\xc1\x50\x01a",
    b"\x01\x0c\0\0\xd4\xd7\xc1\x50\x01a\x54\x013",
    b"\x01\x08\0\0\x23x-a\x01b",
    b"\0\x03abc",
    b"\0\0",
    b"\x21\x04more",
    b"\x40\x21\x40\x01x",
    b"\xc0\0\0\0\0\0\0\x01\xc0\0\0\0\0\0\0\x02",
    b"\0\x04\0",
    b"\0\x04\x04\x06\x40\x64",
    b"\x08\x01",
    b"\x07\x01\0",
    b"\x0d\x01\x08",
    b"\x03\x01\0",
    b"\x80\x0f\x07\0\x04\0u=1",
    b"\x02\x20",
    b"\x03\x44",
    b"\x51\x8b\xff\xff",
    b"\xff\x24",
    b"\x7f",
];

/// What is worth comparing of a stream: parts, content joined, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    parts: Vec<String>,
    content: Vec<u8>,
    end: Option<Failure>,
}

fn sides(is_client: bool) -> (Connection, RequestReader) {
    let settings = Settings::default();
    match is_client {
        true => (Connection::client(settings), RequestReader::response(false)),
        false => (Connection::server(settings), RequestReader::default()),
    }
}

fn message(data: &[u8], step: usize, is_client: bool) -> Seen {
    let (mut connection, mut reader) = sides(is_client);
    let mut seen = Seen::default();
    for piece in data.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let read = match reader.read(&mut connection, Default::default(), rest) {
                Ok(read) => read,
                Err(failure) => {
                    seen.end = Some(failure);
                    return seen;
                }
            };
            assert!(read.consumed <= rest.len());
            assert!(read.part.is_some() || read.consumed == rest.len());
            match read.part {
                Some(Part::Content { start, end }) => {
                    let content = rest.get(start..end).unwrap_or_default();
                    assert!(!content.is_empty() && end <= read.consumed);
                    seen.content.extend_from_slice(content);
                }
                Some(Part::Head) if is_client => {
                    let (status, storage) = connection.answer();
                    let text = format!("{status} {:?}", storage.fields());
                    seen.parts.push(text);
                }
                Some(Part::Head) => {
                    let (pseudo, storage) = connection.request();
                    let text = format!("{pseudo:?} {:?}", storage.fields());
                    seen.parts.push(text);
                }
                Some(Part::Trailers) => {
                    seen.parts
                        .push(format!("{:?}", connection.trailers().fields()));
                }
                Some(Part::Refused) => seen.parts.push("refused".to_owned()),
                None => {}
            }
            assert!(connection.memory() + reader.memory() <= 256 << 10);
            rest = rest.get(read.consumed..).unwrap_or_default();
        }
    }
    seen.end = reader.finish().err();
    seen
}

fn unidirectional(data: &[u8], step: usize, is_client: bool) -> Seen {
    let (mut connection, _) = sides(is_client);
    let mut reader = UniReader::default();
    let mut seen = Seen::default();
    for piece in data.chunks(step) {
        match reader.read(&mut connection, Default::default(), piece) {
            Ok(Verdict::Wanted) => {}
            Ok(Verdict::Unwanted) => {
                seen.parts = vec!["unwanted".to_owned()];
                return seen;
            }
            Err(error) => {
                seen.end = Some(Failure::Connection(error));
                return seen;
            }
        }
    }
    seen.parts.push(connection.is_settled().to_string());
    seen
}

/// Judges `data` as what a client or a server sent; whether it was a whole message, or settings, and nothing was wrong.
pub fn run(data: &[u8]) -> bool {
    let Some((kind, data)) = data.split_first() else {
        return false;
    };
    let read = |step| match kind {
        b'r' => message(data, step, false),
        b'a' => message(data, step, true),
        b'v' => unidirectional(data, step, true),
        _ => unidirectional(data, step, false),
    };
    let whole = read(usize::MAX);
    assert_eq!(whole, read(1));
    assert_eq!(whole, read(7));
    let is_said = whole.parts.first().is_some_and(|part| part != "false");
    whole.end.is_none() && is_said
}
