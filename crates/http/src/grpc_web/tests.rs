// SPDX-License-Identifier: Apache-2.0
use super::{BadMessage, BadText, Messages, TextDecoder, TextEncoder, trailers_frame};
use tidegate_core::base64_encoded;
use tidegate_request::Fields;

/// Every way to cut `bytes` into two pieces, and into single bytes.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let halves = (0..=bytes.len()).map(|at| {
        let (first, second) = bytes.split_at(at);
        vec![first, second]
    });
    halves.chain([bytes.chunks(1).collect()])
}

fn decoded(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), BadText> {
    let mut decoder = TextDecoder::default();
    let mut out = b"before".to_vec();
    for piece in pieces {
        let from = out.len();
        out.extend_from_slice(piece);
        decoder.decode(&mut out, from)?;
    }
    assert!(out.starts_with(b"before"));
    Ok((out.split_off(6), decoder.is_between()))
}

#[test]
fn messages_are_followed_wherever_they_are_cut() {
    let stream = [
        &[0, 0, 0, 0, 3][..],
        b"abc",
        &[1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 2],
        &[0x80; 258],
    ]
    .concat();
    let ends = [0, 8, 13, stream.len()];
    for cut in pieces(&stream) {
        let mut messages = Messages::default();
        let mut at = 0;
        for piece in cut {
            messages.see(piece).unwrap();
            at += piece.len();
            assert_eq!(messages.is_between(), ends.contains(&at), "at {at}");
        }
    }
}

#[test]
fn what_is_no_message_is_seen_where_it_begins() {
    for flags in [2, 0x80, 0x81, 0xff, b'{'] {
        let stream = [&[0, 0, 0, 0, 1, b'a', flags][..], &[0; 4]].concat();
        for cut in pieces(&stream) {
            let mut messages = Messages::default();
            let seen: Result<Vec<()>, BadMessage> =
                cut.into_iter().map(|piece| messages.see(piece)).collect();
            assert_eq!(seen, Err(BadMessage), "{flags}");
        }
    }
    let mut messages = Messages::default();
    messages.see(&[0, 0xff, 0xff, 0xff, 0xff]).unwrap();
    messages.see(&[0x80; 1000]).unwrap();
    assert!(!messages.is_between(), "four gigabytes are still to come");
}

#[test]
fn text_is_decoded_wherever_it_is_cut() {
    let bytes: Vec<u8> = (0..=255).collect();
    for length in 0..20 {
        let bytes = bytes.get(200..200 + length).unwrap();
        let text = base64_encoded(bytes);
        for cut in pieces(text.as_bytes()) {
            assert_eq!(decoded(&cut), Ok((bytes.to_vec(), true)), "{text}");
        }
    }
}

#[test]
fn padding_may_stand_inside() {
    for cut in pieces(b"Zg==Zm8=Zm9vZg==") {
        assert_eq!(decoded(&cut), Ok((b"ffofoof".to_vec(), true)));
    }
}

#[test]
fn what_is_no_base64_is_refused_and_what_is_half_is_not_over() {
    for text in [
        "=", "A=", "A===", "=AAA", "AA=A", "AAA==", "AA===", "AAAA=", "AA A", "AAAA\r\n", "A-A_",
        "AA\0A", "AAAé",
    ] {
        for cut in pieces(text.as_bytes()) {
            assert_eq!(decoded(&cut), Err(BadText), "{text}");
        }
    }
    for text in ["A", "AA", "AAA", "AA=", "AAAAA"] {
        assert!(!decoded(&[text.as_bytes()]).unwrap().1, "{text}");
    }
}

#[test]
fn text_is_padded_only_where_it_is_flushed() {
    for length in 0..20_u8 {
        let bytes: Vec<u8> = (0..length).collect();
        for cut in pieces(&bytes) {
            let (mut encoder, mut out) = (TextEncoder::default(), Vec::new());
            for piece in cut {
                encoder.encode(piece, false, &mut out);
                assert!(!out.contains(&b'='));
            }
            encoder.encode(b"", true, &mut out);
            assert_eq!(out, base64_encoded(&bytes).into_bytes());
            encoder.encode(b"", true, &mut out);
            encoder.encode(b"f", true, &mut out);
            assert!(out.ends_with(b"Zg=="), "begun anew");
        }
    }
}

#[test]
fn trailers_are_a_frame_with_names_in_lower_case() {
    let mut fields = Fields::default();
    assert_eq!(trailers_frame(&fields), [0x80, 0, 0, 0, 0]);
    fields.append(b"Grpc-Status", b"0").unwrap();
    fields.append(b"x-a", b"").unwrap();
    let text = b"grpc-status: 0\r\nx-a: \r\n";
    let mut wanted = vec![0x80, 0, 0, 0, text.len() as u8];
    wanted.extend_from_slice(text);
    assert_eq!(trailers_frame(&fields), wanted);
}
