// SPDX-License-Identifier: Apache-2.0
use super::{ChunkDecoder, encode_chunk_head, encode_last_chunk};
use crate::HeadLimits;
use proptest::prelude::*;
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Reject};

const LIMITS: HeadLimits = HeadLimits {
    header_size: 60,
    header_fields: 2,
    target_size: 0,
};

/// Content, bytes used, trailers.
type Message = (Vec<u8>, usize, Fields);

/// Decodes `parts` one after the other; `None` when the message is not over at the end.
fn decode(decoder: &mut ChunkDecoder, parts: &[&[u8]]) -> Result<Option<Message>, Reject> {
    let mut content = Vec::new();
    let mut used = 0;
    for part in parts {
        let mut input = *part;
        loop {
            let decoded = decoder.decode(input)?;
            content.extend_from_slice(&input[decoded.data.clone()]);
            used += decoded.consumed;
            input = &input[decoded.consumed..];
            if decoded.done {
                return Ok(Some((content, used, decoder.take_trailers())));
            }
            if input.is_empty() {
                break;
            }
        }
    }
    Ok(None)
}

fn whole(input: &[u8]) -> Result<Option<Message>, u16> {
    decode(&mut ChunkDecoder::new(&LIMITS), &[input]).map_err(|reject| reject.status())
}

fn content(input: &[u8]) -> Vec<u8> {
    whole(input).unwrap().unwrap().0
}

#[test]
fn rfc9112_7_1_decodes_chunks() {
    assert_eq!(content(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), b"hello!");
    assert_eq!(content(b"0\r\n\r\n"), b"");
    assert_eq!(
        content(b"000000000000000a\r\n0123456789\r\n00\r\n\r\n"),
        b"0123456789"
    );
    assert_eq!(content(b"A\r\n0123456789\r\n0\r\n\r\n"), b"0123456789");
    assert_eq!(content(b"2\r\n\r\n\r\n0\r\n\r\n"), b"\r\n");
}

#[test]
fn bytes_after_the_message_are_left() {
    let (content, used, _) = whole(b"1\r\na\r\n0\r\n\r\nGET /").unwrap().unwrap();
    assert_eq!((content, used), (b"a".to_vec(), 11));
}

#[test]
fn a_whole_chunk_is_one_call() {
    let mut decoder = ChunkDecoder::default();
    let decoded = decoder.decode(b"3\r\nabc\r\n2\r\nde\r\n").unwrap();
    assert_eq!(
        (decoded.consumed, decoded.data, decoded.done),
        (8, 3..6, false)
    );
}

#[test]
fn row_12_refuses_sizes_that_are_no_plain_number() {
    let sizes = [
        "",
        " 3",
        "3 ",
        "\t3",
        "0x3",
        "+3",
        "-3",
        "3.",
        "3,",
        "g",
        "3g",
        "1_0",
        "00000000000000003",
        "10000000000000003",
        "3\0",
        "3\u{b}",
        "\u{ff13}",
    ];
    for size in sizes {
        assert_eq!(
            whole(format!("{size}\r\nabc\r\n0\r\n\r\n").as_bytes()),
            Err(400),
            "{size:?}"
        );
    }
    assert_eq!(whole(b"ffffffffffffffff\r\nabc"), Ok(None));
}

#[test]
fn row_11_skips_extensions_up_to_1_kib_in_all() {
    let extended =
        |length: usize| format!("1;{}\r\nx\r\n0;z\r\n\r\n", "e".repeat(length)).into_bytes();
    assert_eq!(content(&extended(1021)), b"x");
    assert_eq!(whole(&extended(1022)), Err(400));
}

#[test]
fn row_11_takes_extensions_of_the_proper_form_only() {
    for extension in [
        "a",
        "a=b",
        "a=\"\"",
        "a=\"b;c\\\" \t\u{e9}\"",
        "a;b=c;d=\"e\"",
        "a=\"\r\";b",
    ] {
        let input = format!("1;{extension}\r\nx\r\n0\r\n\r\n");
        let is_proper = !extension.contains('\r');
        assert_eq!(whole(input.as_bytes()).is_ok(), is_proper, "{extension:?}");
    }
    for extension in [
        "", ";", "a;", "a=", "a=;b", "=b", "a b", " a", "a ", "a=\"b", "a=\"b\"c", "a==b", "a=b=c",
        "é",
    ] {
        let input = format!("1;{extension}\r\nx\r\n0\r\n\r\n");
        assert_eq!(whole(input.as_bytes()), Err(400), "{extension:?}");
    }
}

#[test]
fn row_11_refuses_line_ends_other_than_crlf_anywhere() {
    let bad: [&[u8]; 17] = [
        b"1\nx\r\n0\r\n\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nx\r\n0\n\r\n",
        b"1\r\nx\r\n0\r\n\n",
        b"1;a\nx\r\n0\r\n\r\n",
        b"1;a\rb\r\nx\r\n0\r\n\r\n",
        b"1;\0\r\nx\r\n0\r\n\r\n",
        b"1;\x7f\r\nx\r\n0\r\n\r\n",
        b"1\r\rx\r\n0\r\n\r\n",
        b"1\r\nx0\r\n\r\n",
        b"1\r\nxx\r\n0\r\n\r\n",
        b"1\r\nx\rx0\r\n\r\n",
        b"1\r\nx\r\n\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b";a\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\r\n\n",
    ];
    for input in bad {
        assert_eq!(
            whole(input),
            Err(400),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
}

#[test]
fn row_13_drops_trailers_that_must_not_come_there() {
    let names = [
        "Transfer-Encoding",
        "Content-Length",
        "Host",
        "Authorization",
        "Cookie",
        "Connection",
        "X-Forwarded-For",
        "Content-Type",
        "Trailer",
        "content_length",
        "Set-Cookie",
    ];
    for name in names {
        let (_, _, trailers) = whole(format!("0\r\n{name}: x\r\nX-Sum: 1\r\n\r\n").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(trailers.len(), 1, "{name}");
        assert_eq!(trailers.get_name(b"x-sum"), Some(&b"1"[..]));
    }
}

#[test]
fn row_13_limits_trailers_inclusively() {
    let section = |fill: usize| format!("0\r\nA: {}\r\n\r\n", "x".repeat(fill)).into_bytes();
    assert!(whole(&section(60 - 7)).unwrap().is_some());
    assert_eq!(whole(&section(60 - 6)), Err(431));
    assert_eq!(whole(&section(10_000)), Err(431));
    assert!(whole(b"0\r\nA: 1\r\nB: 2\r\n\r\n").unwrap().is_some());
    assert_eq!(whole(b"0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), Err(431));
}

#[test]
fn row_13_refuses_malformed_trailers() {
    for trailer in [
        "A",
        "A : b",
        " A: b",
        "A: b\r\n c",
        ": b",
        "A: \0",
        "A: b\rc",
    ] {
        assert_eq!(
            whole(format!("0\r\n{trailer}\r\n\r\n").as_bytes()),
            Err(400),
            "{trailer:?}"
        );
    }
}

#[test]
fn responses_have_kinds_of_their_own() {
    let kind = |input: &[u8]| {
        ChunkDecoder::for_response(&LIMITS)
            .decode(input)
            .unwrap_err()
            .kind
    };
    assert_eq!(kind(b"x"), ErrorKind::HttpProtocolError);
    assert_eq!(kind(b"0\r\nA\r\n\r\n"), ErrorKind::HttpProtocolError);
    assert_eq!(
        kind(b"0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
        ErrorKind::HttpResponseHeaderSectionSize
    );
}

#[test]
fn chunk_heads_are_hexadecimal_and_never_end_the_message() {
    let head = |length| {
        let mut out = Vec::new();
        encode_chunk_head(&mut out, length);
        String::from_utf8(out).unwrap()
    };
    for length in [1, 9, 15, 16, 255, 256, 4095, 65536, usize::MAX] {
        assert_eq!(head(length), format!("{length:x}\r\n"));
    }
    assert_eq!(head(0), "");
}

/// RFC 9112 §7.1 word by word over the whole input: content and bytes used. No trailers.
fn reference(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let line = &input[at..];
        let Some(end) = line.iter().position(|byte| !byte.is_ascii_hexdigit()) else {
            return if line.len() > 16 { Err(()) } else { Ok(None) };
        };
        let size = std::str::from_utf8(&line[..end]).map_err(drop)?;
        if size.is_empty() || size.len() > 16 || line[end] != b'\r' {
            return Err(());
        }
        let size = usize::from_str_radix(size, 16).map_err(drop)?;
        at += end;
        expect_crlf(input, &mut at)?;
        let data = &input[at.min(input.len())..];
        content.extend_from_slice(&data[..size.min(data.len())]);
        if size > data.len() {
            return Ok(None);
        }
        at += size;
        expect_crlf(input, &mut at)?;
        match (at > input.len(), size) {
            (true, _) => return Ok(None),
            (false, 0) => return Ok(Some((content, at))),
            _ => {}
        }
    }
}

/// Moves over CRLF, of which the end may be missing.
fn expect_crlf(input: &[u8], at: &mut usize) -> Result<(), ()> {
    let have = &input[(*at).min(input.len())..];
    *at += 2;
    if b"\r\n".starts_with(&have[..have.len().min(2)]) {
        Ok(())
    } else {
        Err(())
    }
}

proptest! {
    #[test]
    fn decodes_like_the_reference_however_the_input_is_split(
        pieces in prop::collection::vec(prop::sample::select(&[
            "0\r\n\r\n", "1\r\nx\r\n", "3\r\nabc\r\n", "a\r\n0123456789\r\n", "\r\n", "\n", "\r", "0", "1", "F", "g", "00",
            "ffffffffffffffff", "5\r\nab", "x", " ",
        ][..]), 0..8),
        cuts in prop::collection::vec(0usize..60, 0..8)
    ) {
        let input = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
        let ours = decode(&mut ChunkDecoder::new(&LIMITS), &parts);
        match reference(&input) {
            Ok(Some((content, used))) => {
                let (our_content, our_used, trailers) = ours.unwrap().unwrap();
                prop_assert_eq!((our_content, our_used), (content, used));
                prop_assert!(trailers.is_empty());
            }
            Ok(None) => prop_assert_eq!(ours, Ok(None)),
            // Where the reference expects the end of trailers, we may wait for more of one.
            Err(()) => prop_assert!(ours.is_err() || ours == Ok(None)),
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5),
        trailers in prop::collection::vec(("X-[A-Za-z]{1,4}", "[!-~]{0,6}"), 0..3)
    ) {
        let mut out = Vec::new();
        for chunk in &chunks {
            encode_chunk_head(&mut out, chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        let mut fields = Fields::new();
        for (name, value) in &trailers {
            fields.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        encode_last_chunk(&mut out, &fields);
        let (content, used, read) = whole(&out).unwrap().unwrap();
        prop_assert_eq!((content, used), (chunks.concat(), out.len()));
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = whole(&input);
    }
}
