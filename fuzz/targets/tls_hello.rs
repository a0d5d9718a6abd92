// SPDX-License-Identifier: Apache-2.0
//! The first message of a TLS client that is passed on: read the same however it is cut, or refused.
use tidegate_net::{Hello, HelloReader, NoHello};

/// What such messages are made of.
pub const PIECES: &[&[u8]] = &[
    b"\x16\x03\x01\x00\x05",
    b"\x16\x03\x01\x40\x00",
    b"\x01\0\0\x40",
    b"\x01\0\x40\0",
    b"\x03\x03",
    b"\0\x02\x13\x01",
    b"\x01\0",
    b"\0\0\0\x0a\0\x08\0\0\x05a.b.c",
    b"\0\x10\0\x05\0\x03\x02h2",
    b"\0\0",
    b"\x01",
    b"\xff",
];

/// Judges `data` as what a client sends first; whether it is a whole message.
pub fn run(data: &[u8]) -> bool {
    let whole = read(data, data.len().max(1));
    assert_eq!(whole, read(data, 1));
    assert_eq!(whole, read(data, 7));
    if let Ok(Some(hello)) = &whole {
        let name = hello.name.as_deref().unwrap_or("a");
        assert!(!name.is_empty() && name.len() <= 253);
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(hello.protocols.iter().all(|name| !name.is_empty()));
    }
    matches!(whole, Ok(Some(_)))
}

fn read(data: &[u8], step: usize) -> Result<Option<Hello>, NoHello> {
    let mut reader = HelloReader::default();
    for piece in data.chunks(step) {
        if let Some(hello) = reader.take(piece)? {
            return Ok(Some(hello));
        }
    }
    Ok(None)
}
