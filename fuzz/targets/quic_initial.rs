// SPDX-License-Identifier: Apache-2.0
//! The first packets of a client of QUIC that are passed on: a ClientHello is put together from them, or not.
use tidegate_net::{InitialReader, QuicId, Read, long_header};

/// What frames and headers are made of.
pub const PIECES: &[&[u8]] = &[
    b"\xc0\0\0\0\x01\x08",
    b"\xd0\x6b\x33\x43\xcf\x08",
    b"\x06\0\x40\x40",
    b"\x06\x40\x40\x10",
    b"\x06\x80\0\x40\0\x01",
    b"\x02\x05\0\0\x01",
    b"\x03\x05\0\0\x01\x01\x01\x01",
    b"\x1c\0\0\0",
    b"\0\0",
    b"\x01",
    b"\xff",
];
/// Bytes that a reader may hold: a message, and what it knows of it.
const MOST: usize = 64 << 10;

/// Judges `data` as what a client sends first: datagrams behind their lengths of two bytes, or, behind a length
/// of 0, the frames inside of packets. Whether a whole ClientHello was in it.
pub fn run(data: &[u8]) -> bool {
    let read = match data {
        [0, 0, frames @ ..] => of_frames(frames),
        _ => of_datagrams(data),
    };
    if let Read::Hello(hello) = &read {
        let name = hello.name.as_deref().unwrap_or("a");
        assert!(!name.is_empty() && name.len() <= 253);
        assert_eq!(name, name.to_ascii_lowercase());
    }
    matches!(read, Read::Hello(_))
}

fn of_frames(frames: &[u8]) -> Read {
    let made = || QuicId::new(&[7; 8]).and_then(|id| InitialReader::new(1, id));
    let (Some(mut reader), Some(mut again)) = (made(), made()) else {
        return Read::Foreign;
    };
    let read = reader.take_frames(frames);
    assert!(reader.size() <= MOST);
    // What comes twice changes nothing.
    let first = again.take_frames(frames);
    if first != Read::Malformed {
        assert_eq!(again.take_frames(frames), read);
    }
    read
}

fn of_datagrams(mut data: &[u8]) -> Read {
    let mut reader: Option<InitialReader> = None;
    let mut read = Read::Foreign;
    while let Some(([high, low], rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((datagram, rest)) = rest.split_at_checked(length) else {
            break;
        };
        data = rest;
        if let Some(header) = long_header(datagram)
            && reader.is_none()
        {
            let id = QuicId::new(header.destination);
            reader = id.and_then(|id| InitialReader::new(header.version, id));
        }
        if let Some(reader) = &mut reader {
            read = reader.take(datagram);
            assert!(reader.size() <= MOST);
        }
    }
    read
}
