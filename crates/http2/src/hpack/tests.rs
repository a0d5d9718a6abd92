// SPDX-License-Identifier: Apache-2.0
use super::{Decoder, Encoder, Key, Outcome, Sink, huffman, integer};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_request::FieldId;

type Field = (Vec<u8>, Vec<u8>);

/// Keeps what it gets, and which of it was secret.
#[derive(Default)]
struct Kept {
    fields: Vec<Field>,
    secret: Vec<bool>,
}

impl Sink for Kept {
    fn field(&mut self, key: Key, name: &[u8], value: &[u8], is_secret: bool) {
        if let Key::Field(id) = key
            && id != FieldId::Other
        {
            assert_eq!(id.name().as_bytes(), name);
        }
        self.fields.push((name.to_vec(), value.to_vec()));
        self.secret.push(is_secret);
    }
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, &'static str> {
    let mut kept = Kept::default();
    match decoder.decode(block, 1 << 20, &mut kept) {
        Ok(Outcome::Whole) => Ok(kept.fields),
        Ok(Outcome::TooLarge) => Err("too large"),
        Err(error) => Err(error.0),
    }
}

fn text(fields: &[(&str, &str)]) -> Vec<Field> {
    let bytes =
        |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    fields.iter().map(bytes).collect()
}

#[derive(Deserialize)]
struct Case {
    wire: String,
    headers: Vec<BTreeMap<String, String>>,
    header_table_size: Option<usize>,
}

#[derive(Deserialize)]
struct Story {
    cases: Vec<Case>,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_blocks_of_another_encoder_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hpack");
    let mut blocks = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let story: Story = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let most = story.cases.iter().filter_map(|case| case.header_table_size);
        let mut decoder = Decoder::new(most.max().unwrap_or(4096));
        for case in story.cases {
            let expected: Vec<Field> = case
                .headers
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
                .collect();
            assert_eq!(
                decode(&mut decoder, &unhex(&case.wire)).unwrap(),
                expected,
                "{path:?}"
            );
            blocks += 1;
        }
    }
    assert!(blocks > 100, "{blocks}");
}

#[test]
fn rfc7541_c_6_evicts_what_is_too_much() {
    let mut decoder = Decoder::new(256);
    decoder.set_limit(256);
    let first = "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    let fields = decode(&mut decoder, &unhex(first)).unwrap();
    let expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    assert_eq!(fields, text(&expected));
    let fields = decode(&mut decoder, &unhex("4883640effc1c0bf")).unwrap();
    assert_eq!(fields[0], text(&[(":status", "307")])[0]);
    assert_eq!(fields[1..], text(&expected)[1..]);
}

#[test]
fn rfc7541_5_1_integers() {
    let read = |bytes: &[u8], bits| integer::read(bytes, &mut 0, bits).ok();
    assert_eq!(read(&[0b1110_1010], 5), Some(10));
    assert_eq!(read(&[0x1f, 0x9a, 0x0a], 5), Some(1337));
    assert_eq!(read(&[42], 8), Some(42));
    assert_eq!(read(&[0x1f, 0x9a], 5), None);
    assert_eq!(read(&[], 5), None);
    assert_eq!(
        read(&[0x7f, 0xff, 0xff, 0xff, 0x7f], 7),
        Some(127 + (1 << 28) - 1)
    );
    assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x01], 7), None);
    assert_eq!(read(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 7), None);
}

#[test]
fn rfc7541_5_2_padding_is_the_beginning_of_eos_and_short() {
    let decode = |bytes: &[u8]| {
        let mut out = [0; 64];
        huffman::decode(bytes, &mut out).map(|length| out[..length].to_vec())
    };
    assert_eq!(decode(&[]), Ok(Vec::new()));
    // `a` is 00011; then ones.
    assert_eq!(decode(&[0b0001_1111]), Ok(b"a".to_vec()));
    assert!(decode(&[0b0001_1110]).is_err(), "a zero in the padding");
    assert!(decode(&[0b0001_1111, 0xff]).is_err(), "eleven bits");
    assert!(decode(&[0xff]).is_err(), "eight bits");
    assert!(decode(&[0xff, 0xff, 0xff, 0xfc]).is_err(), "EOS");
    assert!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    // `?` is 1111111100, ten bits.
    assert_eq!(decode(&[0xff, 0b0011_1111]), Ok(b"?".to_vec()));
    let mut short = [0; 2];
    assert_eq!(
        huffman::decode(&[0b0001_1000, 0b1100_0111], &mut short).ok(),
        None
    );
    let mut exact = [0; 3];
    assert_eq!(
        huffman::decode(&[0b0001_1000, 0b1100_0111], &mut exact),
        Ok(3)
    );
}

#[test]
fn every_symbol_comes_back_next_to_every_other() {
    for first in 0..=255_u8 {
        for second in 0..=255 {
            let text = [first, second, first];
            let mut coded = Vec::new();
            huffman::encode(&text, &mut coded);
            assert_eq!(coded.len(), huffman::encoded_length(&text));
            let mut out = [0; 3];
            assert_eq!(huffman::decode(&coded, &mut out), Ok(3));
            assert_eq!(out, text);
        }
    }
}

#[test]
fn rfc7541_6_3_the_table_is_sized_at_the_beginning_and_within_the_limit() {
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).is_ok());
    assert!(
        decode(&mut decoder, &[0x3f, 0xe2, 0x1f, 0x82]).is_err(),
        "4097"
    );
    assert!(
        decode(&mut decoder, &[0x82, 0x20]).is_err(),
        "behind a field"
    );
    decoder.set_limit(100);
    assert!(
        decode(&mut decoder, &[0x82]).is_err(),
        "no update after the setting"
    );
    assert!(decode(&mut decoder, &[0x3f, 0x45, 0x82]).is_ok());
    assert!(decode(&mut decoder, &[0x82]).is_ok());
}

#[test]
fn an_index_outside_the_tables_and_every_cut_are_errors() {
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &[0x80]).is_err());
    assert!(decode(&mut decoder, &[0xbe]).is_err());
    assert!(decode(&mut decoder, &[0x7f, 0x00, 0x00]).is_err());
    let block = b"\x40\x03abc\x03def";
    for end in 1..block.len() {
        assert!(
            decode(&mut Decoder::new(4096), &block[..end]).is_err(),
            "{end}"
        );
    }
    assert_eq!(
        decode(&mut decoder, block).unwrap(),
        text(&[("abc", "def")])
    );
    assert_eq!(
        decode(&mut decoder, &[0xbe]).unwrap(),
        text(&[("abc", "def")])
    );
}

#[test]
fn row_42_a_bomb_is_dropped_and_the_table_stays_the_peers() {
    let mut decoder = Decoder::new(4096);
    let mut bomb = b"\x40\x01a".to_vec();
    integer::write(&mut bomb, 4000, 7, 0);
    bomb.extend_from_slice(&[b'x'; 4000]);
    bomb.extend_from_slice(&[0xbe; 10_000]);
    bomb.extend_from_slice(b"\x40\x01b\x01c");
    let mut kept = Kept::default();
    let outcome = decoder.decode(&bomb, 16 << 10, &mut kept).unwrap();
    assert_eq!(outcome, Outcome::TooLarge);
    assert_eq!(kept.fields.len(), 4);
    assert!(decoder.memory() < 20 << 10, "{}", decoder.memory());
    // The last entry went in.
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap(), text(&[("b", "c")]));
    // A string longer than the section may be is not decoded, and empties the table as it would.
    let mut block = vec![0x40, 0x01, b'a'];
    integer::write(&mut block, 12_000, 7, 0x80);
    block.extend_from_slice(&[0x18, 0xc6, 0x31, 0x8c, 0x63].repeat(2400));
    let outcome = decoder.decode(&block, 8 << 10, &mut kept).unwrap();
    assert_eq!(outcome, Outcome::TooLarge);
    assert!(decode(&mut decoder, &[0xbe]).is_err());
}

#[test]
fn row_42_the_limit_is_inclusive() {
    for (most, outcome) in [
        (37, Outcome::TooLarge),
        (38, Outcome::Whole),
        (39, Outcome::Whole),
    ] {
        let mut decoder = Decoder::new(4096);
        let block = b"\x40\x03abc\x03def";
        assert_eq!(
            decoder.decode(block, most, &mut Kept::default()),
            Ok(outcome)
        );
    }
}

#[test]
fn secrets_go_into_no_table_and_stay_secret() {
    let mut encoder = Encoder::new(4096);
    let mut block = Vec::new();
    encoder.begin(&mut block);
    for _ in 0..2 {
        let fields: [(&[u8], bool); 5] = [
            (b"authorization", false),
            (b"cookie", false),
            (b"X-Api-Key", false),
            (b"x-mine", true),
            (b"x-plain", false),
        ];
        for (name, is_secret) in fields {
            encoder.field(
                &mut block,
                FieldId::recognise(name),
                name,
                b"12345",
                is_secret,
            );
        }
    }
    let mut kept = Kept::default();
    Decoder::new(4096).decode(&block, 4096, &mut kept).unwrap();
    assert_eq!(
        kept.secret,
        [true, true, true, true, false, true, true, true, true, false]
    );
    assert_eq!(kept.fields[2].0, b"x-api-key");
    // The plain one came by its index the second time.
    assert_eq!(block.last(), Some(&0xbe));
}

#[test]
fn what_comes_again_costs_one_byte() {
    let mut encoder = Encoder::new(4096);
    let mut sizes = Vec::new();
    let mut decoder = Decoder::new(4096);
    for _ in 0..3 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(&mut block, 418);
        encoder.field(&mut block, FieldId::Server, b"Server", b"shop", false);
        encoder.field(
            &mut block,
            FieldId::Other,
            b"X-Frame-Options",
            b"DENY",
            false,
        );
        sizes.push(block.len());
        assert_eq!(decode(&mut decoder, &block).unwrap().len(), 3);
    }
    assert!(sizes[0] > 10 && sizes[1] == 3 && sizes[2] == 3, "{sizes:?}");
}

fn fields() -> impl Strategy<Value = Vec<Field>> {
    let name = prop_oneof![
        Just("server".to_owned()),
        Just("cookie".to_owned()),
        Just("x-long-name-of-a-field".to_owned()),
        "[a-z]{1,4}",
    ];
    let value = prop_oneof![
        Just("deny".to_owned()),
        "[ -~]{0,40}",
        "[a-e]{0,2}",
        "[x]{0,300}"
    ];
    let field = (name, value).prop_map(|(name, value)| (name.into_bytes(), value.into_bytes()));
    prop::collection::vec(field, 0..12)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        sections in prop::collection::vec((fields(), prop::option::of(0_usize..5000)), 1..20),
        limit in prop_oneof![Just(0_usize), Just(64), Just(300), Just(4096)],
    ) {
        let mut encoder = Encoder::new(limit);
        let mut decoder = Decoder::new(8192);
        for (fields, size) in sections {
            if let Some(size) = size {
                encoder.set_most(size);
            }
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for (name, value) in &fields {
                encoder.field(&mut block, FieldId::recognise(name), name, value, false);
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(fields));
            prop_assert!(encoder.memory() < 16 << 10);
        }
    }

    #[test]
    fn huffman_strings_come_back(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut coded = Vec::new();
        huffman::encode(&text, &mut coded);
        let mut out = vec![0; text.len()];
        prop_assert_eq!(huffman::decode(&coded, &mut out), Ok(text.len()));
        prop_assert_eq!(out, text);
    }

    #[test]
    fn random_huffman_strings_are_read_as_bit_by_bit(coded in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut out = [0; 80];
        let read = huffman::decode(&coded, &mut out).ok().map(|length| out[..length].to_vec());
        prop_assert_eq!(read, by_bit(&coded));
    }

    #[test]
    fn random_blocks_never_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
            prop_assert!(decoder.memory() < 32 << 10);
        }
    }
}

/// RFC 7541 §5.2 word by word: the code of each symbol, found again by encoding it.
fn by_bit(coded: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<bool> = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let mut codes = BTreeMap::new();
    for symbol in 0..=255_u8 {
        let (code, length) = huffman::code(symbol);
        let code: Vec<bool> = (0..length).rev().map(|bit| code >> bit & 1 == 1).collect();
        codes.insert(code, symbol);
    }
    let (mut text, mut start) = (Vec::new(), 0);
    for end in 0..=bits.len() {
        if let Some(symbol) = codes.get(&bits[start..end]) {
            text.push(*symbol);
            start = end;
        }
    }
    let padding = &bits[start..];
    (padding.len() < 8 && padding.iter().all(|bit| *bit)).then_some(text)
}
