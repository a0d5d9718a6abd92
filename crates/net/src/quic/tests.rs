// SPDX-License-Identifier: Apache-2.0
use super::{InitialReader, LongKind, QuicId, Read, long_header};
use crate::Hello;
use proptest::prelude::*;

fn reader() -> InitialReader {
    InitialReader::new(1, QuicId::new(&[1; 8]).unwrap()).unwrap()
}

/// A ClientHello for `host`, `size` bytes of it filled up.
fn message(host: &str, size: usize) -> Vec<u8> {
    let long = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let name = long(&[&[0][..], &long(host.as_bytes())].concat());
    let extensions = [&[0, 0][..], &long(&name), &[0xff, 1], &long(&vec![9; size])].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &long(&[0x13, 0x01]),
        &[1, 0],
        &long(&extensions),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

fn crypto(start: usize, piece: &[u8]) -> Vec<u8> {
    let number = |number: usize| ((number as u32) | 0x8000_0000).to_be_bytes();
    [&[6][..], &number(start), &number(piece.len()), piece].concat()
}

fn wanted(host: &str) -> Read {
    Read::Hello(Hello {
        name: Some(host.into()),
        protocols: Vec::new(),
    })
}

proptest! {
    #[test]
    fn a_message_is_read_from_pieces_in_any_order_that_may_lie_over_each_other(
        cuts in prop::collection::vec((0usize..1200, 1usize..400), 1..20),
        at_once in 1usize..5,
    ) {
        let message = message("shop.test", 1000);
        let end = message.len();
        // What the cuts leave out comes last.
        let mut pieces: Vec<_> = cuts
            .iter()
            .map(|(start, length)| {
                let start = *start % end;
                let stop = (start + length).min(end);
                crypto(start, &message[start..stop])
            })
            .collect();
        pieces.extend((0..end).step_by(97).rev().map(|at| crypto(at, &message[at..(at + 97).min(end)])));
        let mut reader = reader();
        let mut read = Read::More;
        for group in pieces.chunks(at_once) {
            read = reader.take_frames(&group.concat());
            prop_assert!(matches!(read, Read::More | Read::Hello(_)));
        }
        prop_assert_eq!(read, wanted("shop.test"));
    }
}

#[test]
fn what_is_beyond_the_limits_or_in_no_initial_packet_is_refused() {
    let far = crypto(4 + (16 << 10), b"x");
    assert_eq!(reader().take_frames(&far), Read::Malformed);
    let last = crypto(3 + (16 << 10), b"x");
    assert_eq!(reader().take_frames(&last), Read::More);
    // More holes than anybody leaves.
    let holes: Vec<_> = (0..70).flat_map(|at| crypto(at * 2 + 1, b"x")).collect();
    assert_eq!(reader().take_frames(&holes), Read::Malformed);
    for frames in [
        &b"\x08\0"[..],
        b"\x06\0",
        b"\x06\0\x05abc",
        b"\x02\0\0\x3f\0",
        b"\x40",
    ] {
        assert_eq!(reader().take_frames(frames), Read::Malformed, "{frames:?}");
    }
    // Another message than a ClientHello.
    let other = crypto(0, &[2, 0, 0, 1, 0]);
    assert_eq!(reader().take_frames(&other), Read::Malformed);
    assert_eq!(reader().take_frames(b"\x1c\0\0\0"), Read::More);
}

#[test]
fn headers_are_taken_apart() {
    let packet = b"\xc3\0\0\0\x01\x02ab\x03cde-rest";
    let header = long_header(packet).unwrap();
    assert_eq!(header.version, 1);
    assert_eq!(header.kind, Some(LongKind::Initial));
    assert_eq!(
        (header.destination, header.source),
        (&b"ab"[..], &b"cde"[..])
    );
    assert_eq!(header.rest, b"-rest");
    // RFC 9369 §3.2: the kinds have other numbers.
    let second = b"\xd3\x6b\x33\x43\xcf\0\0";
    assert_eq!(long_header(second).unwrap().kind, Some(LongKind::Initial));
    let unknown = b"\xff\x0a\x1a\x2a\x3a\x15aaaaaaaaaaaaaaaaaaaaa\0";
    assert_eq!(long_header(unknown).unwrap().kind, None);
    let too_long = b"\xc0\0\0\0\x01\x15aaaaaaaaaaaaaaaaaaaaa\0";
    assert_eq!(long_header(too_long), None);
    for bytes in [&b""[..], b"\x40", b"\xc0\0\0", b"\xc0\0\0\0\x01\x08a"] {
        assert_eq!(long_header(bytes), None);
    }
    let id = QuicId::new(b"ab").unwrap();
    assert!(id.begins(b"\x40abc") && !id.begins(b"\x40a") && !id.is_empty());
    assert_eq!(QuicId::of_short(b"\x40abc", 2), Some(id));
    assert_eq!(QuicId::of_short(b"\x40a", 2), None);
    assert_eq!(QuicId::new(&[0; 21]), None);
}
