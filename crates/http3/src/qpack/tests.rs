// SPDX-License-Identifier: Apache-2.0
use super::{Decoder, Outcome, begin, field, status};
use proptest::prelude::*;
use tidegate_http2::sections::{Key, Sink};
use tidegate_request::FieldId;

type Field = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Kept(Vec<Field>, Vec<bool>);

impl Sink for Kept {
    fn field(&mut self, key: Key, name: &[u8], value: &[u8], is_secret: bool) {
        if let Key::Field(id) = key
            && id != FieldId::Other
        {
            assert_eq!(id.name().as_bytes(), name);
        }
        self.0.push((name.to_vec(), value.to_vec()));
        self.1.push(is_secret);
    }
}

fn decode(section: &[u8]) -> Result<Vec<Field>, &'static str> {
    let mut kept = Kept::default();
    match Decoder::default().decode(section, 1 << 16, &mut kept) {
        Ok(Outcome::Whole) => Ok(kept.0),
        Ok(Outcome::TooLarge) => Err("too large"),
        Err(error) => Err(error.0),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn rfc9204_b_1_a_literal_field_line_with_a_name_reference() {
    let section = bytes("0000 510b 2f69 6e64 6578 2e68 746d 6c");
    let path = (b":path".to_vec(), b"/index.html".to_vec());
    assert_eq!(decode(&section), Ok(vec![path]));
}

#[test]
fn what_needs_a_dynamic_table_is_no_qpack_here() {
    // RFC 9204 B.2, B.3 and B.5, and a post-base index, §4.5.3 and §4.5.5.
    for section in [
        "0381 10 11",
        "0500 80 c1 81",
        "0500 80",
        "0000 80",
        "0000 10",
        "0000 40 00",
        "0000 00 00",
    ] {
        let refused = decode(&bytes(section));
        assert_eq!(
            refused,
            Err("an entry of a dynamic table, which was not offered"),
            "{section}"
        );
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let cases = [
        ("", "a block that ends within a field"),
        ("00", "a section that ends within a field"),
        ("0080", "a base below zero"),
        ("0000 ff 24", "an index outside the static table"),
        ("0000 5f 80 01 00", "an index outside the static table"),
        ("0000 51", "a section that ends within a field"),
        ("0000 51 0b 2f", "a section that ends within a field"),
        ("0000 23 61", "a section that ends within a field"),
        ("0000 51 81 00", "a malformed Huffman string"),
        ("0000 ff ff ff ff ff 7f", "an integer that is too large"),
    ];
    for (section, problem) in cases {
        assert_eq!(decode(&bytes(section)), Err(problem), "{section}");
    }
}

#[test]
fn an_entry_of_the_static_table_is_one_or_two_bytes() {
    let line = |name: &str, value: &str| {
        let mut out = Vec::new();
        let id = FieldId::recognise(name.as_bytes());
        field(
            &mut out,
            id,
            name.as_bytes(),
            value.as_bytes(),
            false,
            &mut Vec::new(),
        );
        out
    };
    assert_eq!(line("Accept-Ranges", "bytes"), [0xc0 | 32]);
    assert_eq!(line("x-frame-options", "sameorigin"), [0xff, 98 - 63]);
    // A credential is never by its value, and says that it is to be kept so.
    assert_eq!(line("set-cookie", "a=1")[0], 0x70 | 14);
    assert_eq!(line("x-api-key", "12")[0] & 0xf0, 0x30);
    let mut out = Vec::new();
    status(&mut out, 200);
    assert_eq!(out, [0xc0 | 25]);
}

#[test]
fn sections_end_at_the_limit() {
    let mut section = Vec::new();
    begin(&mut section);
    field(
        &mut section,
        FieldId::Other,
        b"x-a",
        b"0123456789",
        false,
        &mut Vec::new(),
    );
    let size = 3 + 10 + 32;
    for (most, expected) in [(size, Outcome::Whole), (size - 1, Outcome::TooLarge)] {
        let mut kept = Kept::default();
        let outcome = Decoder::default().decode(&section, most, &mut kept);
        assert_eq!(outcome, Ok(expected));
        assert_eq!(kept.0.len(), usize::from(expected == Outcome::Whole));
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        fields in proptest::collection::vec(("[a-z-]{1,30}", proptest::collection::vec(32u8..127, 0..300)), 0..40),
        is_secret: bool,
    ) {
        let mut section = Vec::new();
        begin(&mut section);
        for (name, value) in &fields {
            let id = FieldId::recognise(name.as_bytes());
            field(&mut section, id, name.as_bytes(), value, is_secret, &mut Vec::new());
        }
        let expected: Vec<Field> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.clone()))
            .collect();
        prop_assert_eq!(decode(&section), Ok(expected));
    }

    #[test]
    fn any_bytes_are_taken_or_refused(section in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&section);
    }
}
