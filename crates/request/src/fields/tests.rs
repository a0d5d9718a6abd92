// SPDX-License-Identifier: Apache-2.0
use super::{FieldError, FieldId, FieldSet, Fields, SectionError, folds_to, recognise_folded};
use crate::tests::texts;
use proptest::prelude::*;

fn filled(fields: &[(&str, &str)]) -> Fields {
    let mut filled = Fields::new();
    for (name, value) in fields {
        filled.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    filled
}

fn load(section: &[u8]) -> Result<Vec<(String, String)>, SectionError> {
    let mut fields = Fields::new();
    fields.load(section, 100)?;
    Ok(texts(&fields))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn every_known_name_is_recognised_in_any_case_and_nothing_near_it() {
    for id in FieldId::all() {
        let name = id.name();
        assert_eq!(FieldId::recognise(name.as_bytes()), id);
        assert_eq!(FieldId::recognise(name.to_uppercase().as_bytes()), id);
        assert_eq!(
            FieldId::recognise(format!("{name}x").as_bytes()),
            FieldId::Other
        );
        for index in 0..name.len() {
            for other in [b'\r', b' ', b'_', b'~', 0x12, 0x80] {
                let mut near = name.as_bytes().to_vec();
                near[index] = other;
                assert_eq!(FieldId::recognise(&near), FieldId::Other, "{near:?}");
            }
        }
    }
    assert_eq!(FieldId::recognise(b""), FieldId::Other);
}

#[test]
fn fields_keep_order_and_spelling() {
    let fields = filled(&[("B", "1"), ("a", " 2\t"), ("b", ""), ("X-Long-Name", "v w")]);
    assert_eq!(
        texts(&fields),
        [
            pair("B", "1"),
            pair("a", "2"),
            pair("b", ""),
            pair("X-Long-Name", "v w")
        ]
    );
    assert_eq!(fields.get_name(b"B"), Some(&b"1"[..]));
    assert_eq!(fields.get_all_name(b"b").count(), 2);
    assert_eq!(fields.get_name(b"c"), None);
    assert_eq!(fields.get(FieldId::Other), None);
}

#[test]
fn row_10_no_name_or_value_can_end_a_line() {
    let mut fields = filled(&[("A", "1")]);
    for name in [
        "", " ", "a b", "a:", "a\r", "a\n", "a\0", "a\t", "é", "a(", "a,b", "a/b", "{a}",
    ] {
        assert_eq!(
            fields.append(name.as_bytes(), b"v"),
            Err(FieldError::Name),
            "{name:?}"
        );
        assert_eq!(
            fields.set(name.as_bytes(), b"v"),
            Err(FieldError::Name),
            "{name:?}"
        );
    }
    for value in [
        "a\rb",
        "a\nb",
        "a\r\nB: c",
        "\0",
        "a\u{1}",
        "a\u{7f}",
        "a\u{b}b",
        "\u{1b}[0m",
    ] {
        assert_eq!(
            fields.append(b"N", value.as_bytes()),
            Err(FieldError::Value),
            "{value:?}"
        );
        assert_eq!(
            fields.set(b"A", value.as_bytes()),
            Err(FieldError::Value),
            "{value:?}"
        );
    }
    assert_eq!(fields.append(&[b'a'; 70_000], b"v"), Err(FieldError::Size));
    assert_eq!(texts(&fields), [pair("A", "1")]);
    fields.append(b"B", b"tab\tand \xff\x80").unwrap();
}

#[test]
fn a_field_of_a_known_name_is_judged_like_any_other() {
    let mut fields = Fields::new();
    fields.append_id(FieldId::Accept, b" a\t").unwrap();
    assert_eq!(
        fields.append_id(FieldId::Accept, b"a\r"),
        Err(FieldError::Value)
    );
    assert_eq!(
        fields.append_id(FieldId::Other, b"a"),
        Err(FieldError::Name)
    );
    fields.append(b"B", b"c").unwrap();
    fields.mark_last_secret();
    assert_eq!(texts(&fields), [pair("accept", "a"), pair("B", "c")]);
    let secret: Vec<bool> = fields.iter().map(|field| field.is_secret).collect();
    assert_eq!(secret, [false, true]);
    assert_eq!(fields.get(FieldId::Accept), Some(&b"a"[..]));
}

#[test]
fn set_replaces_all_in_the_place_of_the_first() {
    let mut fields = filled(&[
        ("A", "1"),
        ("Cookie", "a"),
        ("B", "2"),
        ("cookie", "b"),
        ("C", "3"),
    ]);
    fields.set(b"Cookie", b"c").unwrap();
    assert_eq!(
        texts(&fields),
        [
            pair("A", "1"),
            pair("Cookie", "c"),
            pair("B", "2"),
            pair("C", "3")
        ]
    );
    fields.set(b"D", b"4").unwrap();
    assert_eq!(fields.len(), 5);
    fields.set(b"a", b"9").unwrap();
    assert_eq!(fields.get_name(b"A"), Some(&b"9"[..]));
}

#[test]
fn remove_takes_all_of_a_name() {
    let mut fields = filled(&[("A", "1"), ("Cookie", "a"), ("a", "2"), ("cookie", "b")]);
    assert!(fields.remove(b"a"));
    assert!(!fields.remove(b"a"));
    assert!(fields.remove_id(FieldId::Cookie));
    assert!(!fields.remove_id(FieldId::Cookie) && !fields.remove_id(FieldId::Host));
    assert!(fields.is_empty());
    assert_eq!(fields.count(FieldId::Cookie), 0);
    fields.append(b"Cookie", b"c").unwrap();
    fields.clear();
    assert!(fields.is_empty() && !fields.may_have(FieldSet::of(&[FieldId::Cookie])));
}

#[test]
fn rfc9112_5_reads_a_section() {
    let section = b"Host: a\r\nX:\r\nY: \t b c \t\r\nZ:v\r\nQ:\ta:b\r\nW: \xe9\r\n\r\n";
    let read = load(section).unwrap();
    let expected = [
        pair("Host", "a"),
        pair("X", ""),
        pair("Y", "b c"),
        pair("Z", "v"),
        pair("Q", "a:b"),
    ];
    assert_eq!(read.get(..5), Some(&expected[..]));
    assert_eq!(load(b"\r\n"), Ok(Vec::new()));
    assert_eq!(load(b"A: \r\n\r\n"), Ok(vec![pair("A", "")]));
}

#[test]
fn rfc9112_5_refuses_every_other_layout() {
    let bad: [&[u8]; 24] = [
        b"",
        b"\n",
        b"\r",
        b"A: b",
        b"A: b\r\n",
        b"A: b\r",
        b"A: b\n\n",
        b"A: b\r\n\n",
        b"A: b\n\r\n",
        b"A : b\r\n\r\n",
        b"A\t: b\r\n\r\n",
        b" A: b\r\n\r\n",
        b"A: b\r\n c\r\n\r\n",
        b"A: b\r\n\tc\r\n\r\n",
        b": b\r\n\r\n",
        b"A\r\n\r\n",
        b"A: b\rc\r\n\r\n",
        b"A: b\0\r\n\r\n",
        b"A: \x0bb\r\n\r\n",
        b"A: b\x7f\r\n\r\n",
        b"A(: b\r\n\r\n",
        b"A: b\r\r\n\r\n",
        b"\r\nA: b\r\n\r\n",
        b"A: b\r\n\r\nC: d\r\n\r\n",
    ];
    for section in bad {
        assert!(
            load(section).is_err(),
            "{:?}",
            String::from_utf8_lossy(section)
        );
    }
}

#[test]
fn a_section_may_have_as_many_fields_as_allowed() {
    let mut fields = Fields::new();
    let section = b"A: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    assert_eq!(fields.load(section, 4), Ok(()));
    assert_eq!(fields.load(section, 3), Ok(()));
    assert_eq!(fields.load(section, 2), Err(SectionError::TooMany));
    assert_eq!(fields.load(b"\r\n", 0), Ok(()));
}

#[test]
fn names_fold_as_in_cgi() {
    assert!(folds_to(b"X_User.Name", b"x-user-name"));
    assert!(!folds_to(b"XUser", b"X-User") && !folds_to(b"X-User ", b"X-User"));
    assert_eq!(recognise_folded(b"CONTENT_LENGTH"), FieldId::ContentLength);
    assert_eq!(recognise_folded(&[b'a'; 40]), FieldId::Other);
}

proptest! {
    #[test]
    fn random_sections_never_panic_and_hold_no_line_ends(section in ".{0,200}", most in 0usize..8) {
        let mut fields = Fields::new();
        if fields.load(section.as_bytes(), most).is_ok() {
            prop_assert!(fields.len() <= most);
        }
        for field in fields.iter() {
            prop_assert!(!field.name.is_empty());
            prop_assert!(!field.value.iter().any(|byte| b"\r\n\0".contains(byte)));
        }
    }

    #[test]
    fn nearly_valid_sections_read_the_same_way_as_line_by_line(
        lines in prop::collection::vec("[A-Za-z_-]{0,12}:?[ \t]{0,2}[!-~ \t\u{e9}\u{1}\r\n]{0,24}", 0..6)
    ) {
        let mut section = lines.join("\r\n").into_bytes();
        section.extend_from_slice(b"\r\n\r\n");
        prop_assert_eq!(load(&section).ok(), by_line(&section));
    }

    #[test]
    fn the_control_search_finds_what_a_plain_one_finds(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let plain = text.iter().position(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f);
        prop_assert_eq!(crate::syntax::find_control(&text), plain.unwrap_or(text.len()));
    }

    #[test]
    fn the_control_search_skips_text_and_tabs(text in "[\t -~\u{80}-\u{ff}]{0,40}", at in 0usize..41, control in 0u8..32) {
        let mut text = text.into_bytes();
        text.insert(at.min(text.len()), control);
        let plain = text.iter().position(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f);
        prop_assert_eq!(crate::syntax::find_control(&text), plain.unwrap_or(text.len()));
    }
}

/// RFC 9112 §5 word by word, slowly.
fn by_line(section: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = section;
    let mut fields = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, after) = rest.split_at(end);
        rest = &after[2..];
        if line.is_empty() {
            return rest.is_empty().then_some(fields);
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_name = !name.is_empty() && name.iter().all(is_token);
        let is_value = value
            .iter()
            .all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f));
        if !is_name || !is_value {
            return None;
        }
        let value = String::from_utf8_lossy(value)
            .trim_matches([' ', '\t'])
            .to_owned();
        fields.push((String::from_utf8_lossy(name).into_owned(), value));
    }
}
